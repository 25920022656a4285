//! What the router learns of its targets, and what it must not: from answers that were not waited for,
//! from probes, from many failures of one moment.

#![cfg(feature = "mock")]

#[path = "support/routes.rs"]
mod routes;

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use routes::{Providers, attempts, pair, served};
use tower::ServiceExt as _;
use tower_completions::{
    mock::{Script, Upstream},
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Live, Model, Router, Table},
};

type Routed = Router<Providers, Live>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A request for a model, read to its end; who served it, and the attempts.
async fn ask(router: &Routed, model: &str) -> (String, u32) {
    let text = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"a"}}]}}"#);
    let chat = tower_completions::parse::Chat::parse(text.into()).expect("readable");
    let request = http::Request::new(tower_completions::parse::ChatBody::new(chat));
    let response = router.clone().oneshot(request).await.expect("infallible");
    let said = (served(&response), attempts(&response));
    response.into_body().collect().await.expect("whole");
    said
}

/// Upstreams by name, each reached with these keys.
fn router(
    models: impl IntoIterator<Item = Model>,
    upstreams: &[(&'static str, &Upstream, &[&'static str])],
) -> tower_completions::router::Builder<Providers, Live> {
    let table = Live::new(Table::new(models).expect("sound"));
    let translate = || OpenAi::new("http://upstream/v1").expect("a URL");
    let mut builder = Router::builder(table);
    for (name, upstream, keys) in upstreams {
        let provider = Provider::new(*name, (*upstream).clone(), translate());
        builder = builder.provider(*name, provider.with_keys(keys.iter().copied()));
    }
    builder
}

fn later(status: u16, seconds: &'static str) -> Script {
    let status = StatusCode::from_u16(status).expect("a status");
    Script::failed().with_status(status).with_header(
        HeaderName::from_static("retry-after"),
        HeaderValue::from_static(seconds),
    )
}

/// What all requests share is not spent where nobody is left to ask.
#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_be_made_costs_no_leave() {
    let lone = Model::new("n").target(Candidate::new("b", "z"));
    let [m] = pair();
    let (a, b) = (Upstream::new(), Upstream::new());
    let upstreams: [(_, _, &[_]); 2] = [("a", &a, &["k"]), ("b", &b, &["k"])];
    let router = router([m, lone], &upstreams).build().expect("sound");
    for _ in 0..20 {
        b.queue(later(429, "60"));
        assert_eq!(ask(&router, "n").await, (String::new(), 1));
        tokio::time::advance(ms(60_000)).await;
    }
    a.queue(Script::failed());
    assert_eq!(ask(&router, "m").await, ("b/y".into(), 2));
}
