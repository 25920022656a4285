//! A provider of one's own, in five steps: an upstream whose API nobody else speaks.
//!
//! ```text
//! cargo run --example custom_provider -- 127.0.0.1:3000
//! curl 127.0.0.1:3000/v1/chat/completions -H 'authorization: Bearer sk-demo' \
//!   --json '{"model":"parrot","stream":true,"messages":[{"role":"user","content":"hi there"}]}'
//! ```

use std::{convert::Infallible, error::Error as StdError};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_completions::{
    Error, Principal, Target,
    auth::Keys,
    body::Full,
    error::{Class, Kind},
    parse::Chat,
    provider::{Answer, Asked, Framing, Notes, Provider, Translate, TranslateStream},
    stack::Gateway,
    wire::{Usage, request::Name},
};

/// 1. What the translation needs to know. It is pure: no clock, no network, no key.
#[derive(Clone)]
struct Parrot;

impl Translate for Parrot {
    type Stream = Squawks;

    /// 2. The request: an absolute URI and a body. What the upstream cannot be given goes into the
    ///    notes: they drop it and have `x-params-dropped` say so, or refuse it if the meaning is lost.
    fn request(&self, chat: &Chat, to: &Target, notes: &mut Notes) -> Result<Request<Full>, Error> {
        if chat.has(Name::Seed) {
            notes.without("seed")?;
        }
        if chat.n() > 1 {
            notes.unsupported("n")?;
        }
        let body: Value = serde_json::from_slice(&chat.bytes()).unwrap_or_default();
        let heard = body["messages"].as_array().and_then(|all| all.last());
        let ask = json!({ "bird": &*to.model, "heard": heard, "live": chat.stream() });
        let body = Full::new(ask.to_string());
        let request = Request::post("http://parrot.invalid/repeat").body(body);
        request.map_err(|why| broken().with_source(why))
    }

    /// 3. A whole answer. The re-framer around it adds the members that are missing.
    fn answer(&self, _: &Asked, body: Bytes) -> Result<Answer, Error> {
        let said: Value = serde_json::from_slice(&body).map_err(|why| broken().with_source(why))?;
        let text = said["said"].as_str().ok_or_else(broken)?;
        let message = json!({ "role": "assistant", "content": text });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let answer = json!({ "object": "chat.completion", "choices": [choice] });
        let usage = Usage::new(1, text.split_whitespace().count() as u64);
        Ok(Answer::new(answer.to_string().into()).with_usage(usage))
    }

    /// 4. A stream; `None` would forward the upstream's own events as they are.
    fn stream(&self, _: &Asked) -> Option<Squawks> {
        Some(Squawks::default())
    }

    /// 5. A refusal: its class tells a router whether another try is worth while.
    fn error(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Error {
        let class = match status {
            StatusCode::SERVICE_UNAVAILABLE => Class::Overload,
            _ => Class::Transient,
        };
        let text = String::from_utf8_lossy(body).into_owned();
        broken().with_class(class).with_source(text)
    }
}

/// The state of one stream: here a word a line.
#[derive(Default)]
struct Squawks {
    words: u64,
    over: bool,
}

impl TranslateStream for Squawks {
    fn framing(&self) -> Framing {
        Framing::JsonLines
    }

    fn event(&mut self, _: Option<&str>, line: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let line: Value = serde_json::from_slice(line).map_err(|why| broken().with_source(why))?;
        self.over = line["end"] == true;
        let (delta, reason) = match line["word"].as_str() {
            Some(word) => (json!({ "content": word }), None),
            None => (json!({}), Some("stop")),
        };
        self.words += u64::from(reason.is_none());
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = json!({ "object": "chat.completion.chunk", "choices": [choice] });
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
        Ok(())
    }

    /// An answer that is not whole must be an error: a cut stream may not look like a finished one.
    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        if !self.over {
            return Err(broken());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Ok(())
    }

    fn usage(&self) -> Option<Usage> {
        self.over.then(|| Usage::new(1, self.words))
    }
}

fn broken() -> Error {
    Error::new(Kind::BadUpstream, "The parrot makes no sense.")
}

/// The upstream itself, in place of an HTTP client (feature `client`).
async fn parrot(request: Request<Full>) -> Result<Response<Full>, Infallible> {
    let body = request.into_body().collect().await?.to_bytes();
    let ask: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = ask["heard"]["content"].as_str().unwrap_or("...");
    let words = said
        .split_inclusive(' ')
        .map(|word| json!({ "word": word }));
    let lines: String = words.map(|line| format!("{line}\n")).collect();
    let mut response = Response::new(Full::new(json!({ "said": said }).to_string()));
    if ask["live"] == true {
        *response.body_mut() = Full::new(lines + "{\"end\":true}\n");
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let provider = Provider::new("parrot", tower::service_fn(parrot), Parrot);
    let gateway = Gateway::builder(keys).build(provider);

    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().fallback_service(gateway)).await?;
    Ok(())
}
