//! What a provider of one's own says of a failure reaches the client as it was said, by whatever way.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Error, Target,
    body::{BoxBody, Full},
    error::{Class, Kind},
    parse::{Chat, ChatBody},
    provider::{Answer, Asked, BoxProvider, Framing, Notes, Provider, Translate, TranslateStream},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    wire::Usage,
};

/// Fails behind so many events with content.
#[derive(Clone, Copy)]
struct Own(usize);

fn said() -> Error {
    Error::new(Kind::RateLimit, "Come again on Monday.")
        .with_code("closed")
        .with_class(Class::RateLimit)
}

impl Translate for Own {
    type Stream = Self;

    fn request(&self, chat: &Chat, _: &Target, _: &mut Notes) -> Result<Request<Full>, Error> {
        let request = Request::post("http://own/").body(Full::new(chat.bytes()));
        Ok(request.expect("a request"))
    }

    fn answer(&self, _: &Asked, _: Bytes) -> Result<Answer, Error> {
        Err(said())
    }

    fn stream(&self, _: &Asked) -> Option<Self> {
        Some(*self)
    }

    fn error(&self, _: StatusCode, _: &HeaderMap, _: &[u8]) -> Error {
        said()
    }
}

impl TranslateStream for Own {
    fn framing(&self) -> Framing {
        Framing::JsonLines
    }

    fn event(&mut self, _: Option<&str>, _: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let Some(left) = self.0.checked_sub(1) else {
            return Err(said());
        };
        self.0 = left;
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": "x"}}]});
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        Err(said())
    }

    fn usage(&self) -> Option<Usage> {
        None
    }
}

async fn upstream(_: Request<Full>) -> Result<Response<Full>, Infallible> {
    Ok(Response::new(Full::new("{}\n{}\n")))
}

/// The provider alone, or in a router.
fn service(translate: Own, routed: bool) -> BoxProvider {
    let provider = Provider::new("own", service_fn(upstream), translate);
    if !routed {
        return provider.boxed();
    }
    let table = Table::new([Model::new("m").target(Candidate::new("own", "m"))]).expect("sound");
    let router = Router::builder(table).provider("own", provider);
    let router = router.attempts(std::num::NonZeroU32::MIN).build();
    BoxProvider::with_keys(router.expect("sound"), 0)
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_stream_is_told_as_it_was_said() {
    for content in [0, 1] {
        for routed in [false, true] {
            for reframed in [false, true] {
                for stream in [false, true] {
                    let case = format!("{content} {routed} {reframed} {stream}");
                    let body = json!({"model": "m", "stream": stream,
                        "messages": [{"role": "user", "content": "hi"}]});
                    let chat = Chat::parse(body.to_string().into()).expect("readable");
                    let request = Request::new(ChatBody::new(chat));
                    let service = service(Own(content), routed);
                    let response = if reframed {
                        let service = ReframeLayer::new(Dialect::openai()).layer(service);
                        let response = service.oneshot(request).await.expect("infallible");
                        response.map(BoxBody::new)
                    } else {
                        service.oneshot(request).await.expect("infallible")
                    };
                    // What has not begun is refused by its status.
                    let begun = stream && (!routed || content > 0);
                    let status = if begun { 200 } else { 429 };
                    assert_eq!(response.status(), status, "{case}");
                    let text = response.into_body().collect().await.expect("whole");
                    let text = String::from_utf8(text.to_bytes().to_vec()).expect("text");
                    let last = text.trim_end().rsplit("data: ").next().expect("an event");
                    let error: Value = serde_json::from_str(last).expect("JSON");
                    assert_eq!(
                        error,
                        json!({"error": {"message": "Come again on Monday.",
                            "type": "rate_limit_error", "param": null, "code": "closed"}}),
                        "{case}"
                    );
                }
            }
        }
    }
}
