use http_body::Body as _;
use serde_json::{Value, json};

use super::*;
use crate::error::Class;

fn sent(model: &str, stream: bool) -> (String, Value) {
    let body = json!({"model": "m", "stream": stream, "metadata": {"team": "a"},
        "messages": [{"role": "user", "content": "Hi"}]});
    let chat = Chat::parse(body.to_string().into()).expect("a request");
    let vertex = Vertex::at("http://host/", "p/1", "eu").expect("a URL");
    let target = Target::new("vertex", model);
    let request = vertex.request(&chat, &target, &mut Notes::default());
    let request = request.expect("translates");
    let uri = request.uri().to_string();
    let mut body = request.into_body();
    let waker = std::task::Waker::noop();
    let frame =
        std::pin::Pin::new(&mut body).poll_frame(&mut std::task::Context::from_waker(waker));
    let std::task::Poll::Ready(Some(Ok(frame))) = frame else {
        panic!("a body")
    };
    let data = frame.into_data().expect("data");
    (uri, serde_json::from_slice(&data).expect("JSON"))
}

#[test]
fn each_publisher_has_its_own_api() {
    let base = "http://host/v1/projects/p%2F1/locations/eu/publishers";
    let (uri, body) = sent("google/gemini-2.5-pro", true);
    assert_eq!(
        uri,
        format!("{base}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse")
    );
    assert_eq!(body["labels"], json!({"team": "a"}));
    let (uri, body) = sent("claude-sonnet-4-5@20250929", false);
    assert_eq!(
        uri,
        format!("{base}/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict")
    );
    assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
    assert!(body.get("model").is_none() && body.get("stream").is_none());
    let (uri, body) = sent("anthropic/claude-opus-4-7", true);
    assert_eq!(
        uri,
        format!("{base}/anthropic/models/claude-opus-4-7:streamRawPredict")
    );
    assert_eq!(body["stream"], true);
}

#[test]
fn locations() {
    for (location, host) in [
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ] {
        let vertex = Vertex::new("p", location).expect("a URL");
        let uri = vertex.uri("m", false).expect("a URL");
        assert_eq!(uri.host(), Some(host));
    }
}

#[test]
fn refusals_of_both() {
    let vertex = Vertex::new("p", "global").expect("a URL");
    for (status, body, class) in [
        (
            401,
            json!({"error": {"code": 401, "message": "x", "status": "UNAUTHENTICATED"}}),
            Class::Credential,
        ),
        (
            429,
            json!({"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}),
            Class::RateLimit,
        ),
        (
            529,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
            Class::Overload,
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = vertex.error(status, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(error.class(), Some(class), "{body}");
    }
}
