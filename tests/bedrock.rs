//! Bedrock through the provider service: signatures, keys that must be fetched, wrong clocks.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_completions::{
    Error, Sending,
    body::Full,
    error::Class,
    meter::Tally,
    parse::ParseLayer,
    provider::{
        Provider,
        bedrock::{AccessKey, Bedrock, SignLayer},
    },
    sse::aws::{Kind, write_message},
};

type Sent = Arc<Mutex<Vec<Request<Bytes>>>>;

/// An upstream that keeps what it is sent and answers what `answer` makes of its number.
fn upstream(
    sent: &Sent,
    answer: impl Fn(usize) -> Response<Full> + Clone + Send + 'static,
) -> impl Service<Request<Full>, Response = Response<Full>, Error = Infallible, Future: Send> + Clone
{
    let sent = Arc::clone(sent);
    tower::service_fn(move |request: Request<Full>| {
        let (sent, answer) = (Arc::clone(&sent), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("whole").to_bytes();
            let mut sent = sent.lock().expect("not poisoned");
            sent.push(Request::from_parts(head, body));
            Ok(answer(sent.len()))
        }
    })
}

fn reply(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Full> {
    let response = Response::builder()
        .status(status)
        .header("content-type", kind);
    response.body(Full::new(body)).expect("a response")
}

fn message() -> &'static str {
    include_str!("fixtures/converse.json")
}

/// What botocore's own parsers read in `scripts/clients/bedrock_fake.py`.
const STREAM: &[u8] = include_bytes!("fixtures/converse.eventstream");

fn stream() -> Bytes {
    Bytes::from_static(STREAM)
}

#[test]
fn the_fixture_is_what_is_written() {
    let usage = json!({"inputTokens": 4, "outputTokens": 2, "totalTokens": 6});
    let mut out = BytesMut::new();
    for (name, payload) in [
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "lo"}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"metrics": {"latencyMs": 1}, "usage": usage}),
        ),
    ] {
        write_message(&mut out, Kind::Event, name, payload.to_string().as_bytes());
    }
    assert_eq!(out, STREAM);
}

fn question(stream: bool) -> Request<Full> {
    let body = json!({"model": "amazon.nova-lite-v1:0", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    Request::post("/")
        .header("authorization", "Bearer sk-client")
        .body(Full::new(body.to_string()))
        .expect("a request")
}

fn bedrock() -> Bedrock {
    Bedrock::region("us-east-1").expect("a URL")
}

async fn ask<C>(provider: Provider<C, Bedrock>, stream: bool) -> (http::response::Parts, String)
where
    C: Service<Request<Full>, Response = Response<Full>> + Clone,
    C::Error: Into<tower_completions::body::BoxError>,
{
    let response = ParseLayer::new()
        .layer(provider)
        .oneshot(question(stream))
        .await;
    let (head, body) = response.expect("infallible").into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    (head, String::from_utf8(text.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn a_bearer_key_and_a_whole_answer() {
    let sent = Sent::default();
    let client = upstream(&sent, |_| reply(200, "application/json", message()));
    let provider = Provider::new("aws", client, bedrock()).with_keys(["bedrock-api-key"]);
    let (head, text) = ask(provider, false).await;
    assert_eq!(head.status, 200);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
    let sent = sent.lock().expect("not poisoned");
    assert_eq!(sent[0].headers()["authorization"], "Bearer bedrock-api-key");
    assert!(!sent[0].headers().contains_key("x-amz-date"));
}

#[tokio::test]
async fn a_signed_stream() {
    let sent = Sent::default();
    let client = upstream(&sent, |_| {
        reply(200, "application/vnd.amazon.eventstream", stream())
    });
    let key = AccessKey::new("AKIDEXAMPLE", "secret").with_session_token("token");
    let client = SignLayer::bedrock(key, "us-east-1").layer(client);
    let (head, text) = ask(Provider::new("aws", client, bedrock()), true).await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(
        text.contains("\"Hel\"") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    let usage = head.extensions.get::<Tally>().and_then(Tally::usage);
    assert_eq!(usage.map(|it| (it.input, it.output)), Some((4, 2)));
    let sent = sent.lock().expect("not poisoned");
    let line = sent[0].headers()["authorization"].to_str().expect("text");
    assert!(
        line.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{line}"
    );
    assert!(line.contains("/us-east-1/bedrock/aws4_request"), "{line}");
    assert!(line.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"));
    assert_eq!(sent[0].headers()["x-amz-security-token"], "token");
}

#[tokio::test]
async fn a_session_token_is_cut_out_of_what_the_upstream_says() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEHc//+==";
    // Refused, refused after a second signature by the upstream's clock, answered.
    for statuses in [&[400][..], &[403, 400], &[200]] {
        let sent = Sent::default();
        let client = upstream(&sent, move |nth| {
            let status = statuses[nth - 1];
            let words = format!("The token {TOKEN} is {TOKEN} good");
            let text = match status {
                200 => message().replace("Hello", &words),
                _ => json!({ "message": words }).to_string(),
            };
            let mut response = reply(status, "application/json", text);
            let date = "Sun, 30 Aug 2015 12:36:00 GMT".parse().expect("text");
            response.headers_mut().insert("date", date);
            response
        });
        let key = AccessKey::new("AKIDEXAMPLE", "secret").with_session_token(TOKEN);
        let client = SignLayer::bedrock(key, "us-east-1").layer(client);
        let (head, text) = ask(Provider::new("aws", client, bedrock()), false).await;
        assert_eq!(Some(&head.status.as_u16()), statuses.last());
        assert!(text.contains("The token […] is […] good"), "{text}");
    }
}

#[tokio::test]
async fn a_providers_own_key_is_cut_out_beside_a_session_token() {
    const KEY: &str = "own-key/of+the=provider";
    // Another text, and one that begins with the key: neither cut leaves a rest of the other.
    for token in ["IQoJb3JpZ2luX2VjEHc//+==", "own-key/of+the=provider+more"] {
        for status in [200, 400] {
            let sent = Sent::default();
            let client = upstream(&sent, move |_| {
                let words = format!("Both {KEY} and {token} here");
                let text = match status {
                    200 => message().replace("Hello", &words),
                    _ => json!({ "message": words }).to_string(),
                };
                reply(status, "application/json", text)
            });
            let key = AccessKey::new("AKIDEXAMPLE", "secret").with_session_token(token);
            let client = SignLayer::bedrock(key, "us-east-1").layer(client);
            let provider = Provider::new("aws", client, bedrock()).with_keys([KEY]);
            let (_, text) = ask(provider, false).await;
            assert!(text.contains("Both […] and […] here"), "{text}");
        }
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_remembered() {
    let sent = Sent::default();
    let client = upstream(&sent, |nth| {
        let mut response = match nth {
            1 => reply(
                403,
                "application/json",
                r#"{"message":"Signature expired"}"#,
            ),
            _ => reply(200, "application/json", message()),
        };
        // 2015-08-30T12:36:00Z, an hour before what the clock here says.
        let date = "Sun, 30 Aug 2015 12:36:00 GMT".parse().expect("text");
        response.headers_mut().insert("date", date);
        response
    });
    let key = AccessKey::new("AKIDEXAMPLE", "secret");
    let layer = SignLayer::bedrock(key, "us-east-1").with_clock(|| at(1_440_938_160 + 3600));
    let provider = Provider::new("aws", layer.layer(client), bedrock());
    for _ in 0..2 {
        assert_eq!(ask(provider.clone(), false).await.0.status, 200);
    }
    let sent = sent.lock().expect("not poisoned");
    let dates = sent
        .iter()
        .map(|it| it.headers()["x-amz-date"].to_str().expect("text"));
    let dates: Vec<&str> = dates.collect();
    assert_eq!(
        dates,
        ["20150830T133600Z", "20150830T123600Z", "20150830T123600Z"]
    );
    assert_eq!(sent[0].body(), sent[1].body());
}

#[tokio::test]
async fn a_refused_key_is_not_tried_twice_and_a_lying_clock_only_once() {
    for (date, sends) in [
        ("Sun, 30 Aug 2015 12:37:00 GMT", 1),
        ("Sun, 30 Aug 2015 15:00:00 GMT", 2),
    ] {
        let sent = Sent::default();
        let client = upstream(&sent, move |_| {
            let mut response = reply(403, "application/json", r#"{"message":"no"}"#);
            response
                .headers_mut()
                .insert("date", date.parse().expect("text"));
            response
        });
        let key = AccessKey::new("AKIDEXAMPLE", "secret");
        let layer = SignLayer::bedrock(key, "us-east-1").with_clock(|| at(1_440_938_160));
        let (head, _) = ask(Provider::new("aws", layer.layer(client), bedrock()), false).await;
        assert_eq!(head.status, StatusCode::BAD_GATEWAY);
        let error = head.extensions.get::<Error>().expect("an error");
        assert_eq!(error.class(), Some(Class::Forbidden));
        assert_eq!(sent.lock().expect("not poisoned").len(), sends, "{date}");
    }
}

#[tokio::test]
async fn what_is_signed_again_waits_for_its_key_and_nobody_has_it() {
    let sent = Sent::default();
    let client = upstream(&sent, |_| {
        let mut response = reply(403, "application/json", r#"{"message":"no"}"#);
        let date = "Sun, 30 Aug 2015 12:36:00 GMT".parse().expect("text");
        response.headers_mut().insert("date", date);
        response
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let credentials = move || {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            Ok(AccessKey::new("AKIDEXAMPLE", "secret"))
        }
    };
    let layer = SignLayer::bedrock(credentials, "us-east-1");
    let layer = layer.with_clock(|| at(1_440_938_160 + 3600));
    let mut request = Request::post("https://bedrock/").body(Full::new("{}"));
    let sending = Sending::new();
    let request = request.as_mut().expect("a request");
    request.extensions_mut().insert(sending.clone());
    let call = layer.layer(client).call(request.clone());
    let mut call = tokio_test::task::spawn(call);
    assert!(call.poll().is_pending());
    assert_eq!(sent.lock().expect("not poisoned").len(), 1);
    assert!(sending.is_waiting());
}

#[tokio::test]
async fn no_credentials_is_the_gateways_own_failure() {
    let sent = Sent::default();
    let client = upstream(&sent, |_| reply(200, "application/json", message()));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let credentials = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { Err::<AccessKey, _>("the vault at https://vault is closed".into()) }
    };
    let client = SignLayer::bedrock(credentials, "us-east-1").layer(client);
    let (head, text) = ask(Provider::new("aws", client, bedrock()), false).await;
    assert_eq!(head.status, StatusCode::BAD_GATEWAY);
    let error = head.extensions.get::<Error>().expect("an error");
    assert_eq!(
        (error.class(), error.code()),
        (Some(Class::Credential), Some("upstream_unauthorized"))
    );
    assert!(!text.contains("vault"), "{text}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(sent.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_damaged_stream_ends_in_an_error() {
    let sent = Sent::default();
    let mut bytes = stream().to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let bytes = Bytes::from(bytes);
    let client = upstream(&sent, move |_| {
        reply(200, "application/vnd.amazon.eventstream", bytes.clone())
    });
    let (head, text) = ask(Provider::new("aws", client, bedrock()), true).await;
    assert_eq!(head.status, 200);
    assert!(
        text.contains("\"error\"") && !text.contains("[DONE]"),
        "{text}"
    );
}
