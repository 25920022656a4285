//! What a whole gateway keeps of a request while its answer streams: none of the buffer that the
//! request was read into, which is many times as large.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, request::Parts};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Principal,
    auth::Keys,
    body::{BoxBody, Full},
    cost::{DrainLayer, MemoryLedger, Price, Prices},
    limit::Limits,
    observe::{Event, Watch},
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Model, Router, Table},
    stack::Gateway,
    telemetry::TelemetryLayer,
};

/// A buffer that says when nobody holds any of it.
struct Buffer {
    bytes: Vec<u8>,
    open: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Two events, and then nothing for ever.
struct Open(Vec<Bytes>);

impl Body for Open {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

fn chunk(delta: &str) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    ))
}

#[tokio::test]
async fn an_open_stream_holds_nothing_of_its_requests_buffer() {
    let upstream = service_fn(async |request: Request<Full>| {
        // It has been sent.
        drop(request);
        let events = vec![
            chunk(r#"{"content":"token"}"#),
            chunk(r#"{"role":"assistant","content":""}"#),
        ];
        let head = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, Infallible>(head.body(Open(events)).expect("a response"))
    });
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new("p", upstream, translate).with_keys(["sk-upstream"]);
    let table = Table::new([Model::new("m").target(Candidate::new("p", "m"))]).expect("a table");
    let router = Router::builder(table)
        .provider("p", provider)
        .build()
        .expect("sound");
    let keys = Keys::new();
    let limits = Limits::new().requests_per_minute(60).max_concurrent(1);
    keys.insert("sk-demo", Principal::new("demo").attach(limits));
    let prices = Prices::new().with("m", Price::new("1", "1").expect("amounts"));
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "1".parse().expect("an amount"));
    let gateway = Gateway::builder(keys).cost(prices, ledger).build(router);
    let gateway = DrainLayer::new(|_| {}).layer(gateway);
    let gateway = TelemetryLayer::new(|_: &Parts| Watch::new(|_: &Event<'_>| {})).layer(gateway);

    let open = Arc::new(AtomicUsize::new(0));
    let buffer = |text: &str| {
        open.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Buffer {
            bytes: text.as_bytes().to_vec(),
            open: Arc::clone(&open),
        })
    };
    let value = |text: &str| HeaderValue::from_maybe_shared(buffer(text)).expect("a value");
    let request =
        Request::post(Uri::from_maybe_shared(buffer("/v1/chat/completions")).expect("a URI"))
            .header("authorization", value("Bearer sk-demo"))
            .header("content-type", value("application/json"))
            .header("user-agent", value("someone"))
            .header(
                "traceparent",
                value("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            )
            .body(Full::new(buffer(
                r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#,
            )));
    assert_eq!(open.load(Ordering::Relaxed), 6);
    let response = gateway.oneshot(request.expect("a request")).await;
    let mut body: BoxBody = BoxBody::new(response.expect("infallible").into_body());
    let first = body.frame().await.expect("a frame").expect("no error");
    let first = first.into_data().expect("data");
    assert!(first.starts_with(b"data: "), "{first:?}");
    assert_eq!(open.load(Ordering::Relaxed), 0, "buffers are held");
}
