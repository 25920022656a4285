//! A router over two providers, and what is asked of it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use http::{Request, Response};
use tower_completions::{
    Error, Served,
    mock::Upstream,
    parse::{Chat, ChatBody},
    provider::{Provider, openai::OpenAi},
    router::{Builder, Candidate, Live, Model, Router, Table},
};

pub type Providers = Provider<Upstream, OpenAi>;

pub fn provider(name: &'static str, upstream: &Upstream) -> Providers {
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new(name, upstream.clone(), translate);
    provider.with_keys([format!("sk-{name}"), format!("sk-{name}")])
}

/// A builder over the providers `a` and `b`, with two keys each, which are told alike.
pub fn builder(
    models: impl IntoIterator<Item = Model>,
) -> (Upstream, Upstream, Builder<Providers, Live>) {
    let (a, b) = (Upstream::new(), Upstream::new());
    let table = Table::new(models).expect("sound");
    let builder = Router::builder(Live::new(table))
        .provider("a", provider("a", &a))
        .provider("b", provider("b", &b));
    (a, b, builder)
}

/// One model at `a`, and at `b` as a reserve.
pub fn pair() -> [Model; 1] {
    let reserve = Candidate::new("b", "y").priority(1);
    [Model::new("m")
        .target(Candidate::new("a", "x"))
        .target(reserve)]
}

pub fn chat(more: &str) -> Request<ChatBody> {
    let text = if more.starts_with(r#","messages""#) {
        format!(r#"{{"model":"m"{more}}}"#)
    } else {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}]{more}}}"#)
    };
    Request::new(ChatBody::new(Chat::parse(text.into()).expect("readable")))
}

pub fn attempts<B>(response: &Response<B>) -> u32 {
    let value = response.headers()["x-attempts"].to_str().expect("text");
    value.parse().expect("a number")
}

pub fn served<B>(response: &Response<B>) -> String {
    let served = response.extensions().get::<Served>();
    served.map_or_else(String::new, |to| format!("{}/{}", to.provider, to.model))
}

pub fn code<B>(response: &Response<B>) -> String {
    let error = response.extensions().get::<Error>().and_then(Error::code);
    error.unwrap_or_default().to_owned()
}
