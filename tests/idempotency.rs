//! `Idempotency` through its public layer: one call for all who ask under one key.

#[path = "support/books.rs"]
mod books;
#[path = "idempotency/bounds.rs"]
mod bounds;
#[path = "idempotency/leaving.rs"]
mod leaving;
#[path = "idempotency/length.rs"]
mod length;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_completions::{
    Error, Principal,
    auth::Keys,
    body::{BoxError, Full},
    cost::{CostLayer, DrainLayer, MemoryLedger, Price, Prices},
    error::Kind,
    idempotency::IdempotencyLayer,
    meter::{Outcome, Tally},
    mock::{Clock, Script, Upstream},
    parse::ChatBody,
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
    wire::Usage,
};

type Piece = Result<&'static str, BoxError>;

/// A body that the test feeds, and that counts itself while it lives.
struct Fed {
    pieces: mpsc::UnboundedReceiver<Piece>,
    alive: Arc<AtomicUsize>,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        Poll::Ready(piece.map(|piece| piece.map(|text| Frame::data(Bytes::from(text)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_closed() && self.pieces.is_empty()
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An upstream whose answers begin and go on when the test says so.
#[derive(Clone, Default)]
struct Inner {
    calls: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
    /// What each call waits for, then its status.
    begins: Arc<Mutex<Vec<tokio::sync::oneshot::Receiver<StatusCode>>>>,
    bodies: Arc<Mutex<Vec<mpsc::UnboundedReceiver<Piece>>>>,
    tally: Tally,
}

/// The other end of one call.
struct Call {
    begin: Option<tokio::sync::oneshot::Sender<StatusCode>>,
    body: Option<mpsc::UnboundedSender<Piece>>,
}

impl Call {
    fn begin(&mut self, status: StatusCode) {
        let begin = self.begin.take().expect("not begun");
        begin.send(status).expect("somebody waits");
    }

    fn say(&self, text: &'static str) {
        let body = self.body.as_ref().expect("not ended");
        let _ = body.send(Ok(text));
    }

    fn end(&mut self) {
        self.body = None;
    }
}

impl Inner {
    /// Prepares the next call.
    fn expect(&self) -> Call {
        let (begin, begins) = tokio::sync::oneshot::channel();
        let (body, bodies) = mpsc::unbounded_channel();
        self.begins.lock().expect("unpoisoned").push(begins);
        self.bodies.lock().expect("unpoisoned").push(bodies);
        Call {
            begin: Some(begin),
            body: Some(body),
        }
    }

    /// A call that is answered at once with this.
    fn answer(&self, status: u16, text: &'static str) {
        let mut call = self.expect();
        call.begin(StatusCode::from_u16(status).expect("a status"));
        call.say(text);
        call.end();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// Counts a call while it lives.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request<ChatBody>> for Inner {
    type Response = Response<Fed>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Fed>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ChatBody>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.alive.fetch_add(1, Ordering::SeqCst);
        let begin = self.begins.lock().expect("unpoisoned").remove(0);
        let pieces = self.bodies.lock().expect("unpoisoned").remove(0);
        let waiting = Alive(Arc::clone(&self.alive));
        let (alive, tally) = (Arc::clone(&self.alive), self.tally.clone());
        Box::pin(async move {
            let status = begin.await.expect("the code of the upstream");
            alive.fetch_add(1, Ordering::SeqCst);
            drop(waiting);
            let mut response = Response::new(Fed { pieces, alive });
            *response.status_mut() = status;
            response.extensions_mut().insert(tally);
            Ok(response)
        })
    }
}

fn ask(key: &str, text: &str) -> Request<Full> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let mut request = Request::new(Full::new(body));
    let key = HeaderValue::from_bytes(key.as_bytes()).expect("a header value");
    request.headers_mut().insert("idempotency-key", key);
    request.extensions_mut().insert(Principal::new("a"));
    request
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The text of a whole answer, and whether it was given again.
async fn whole<B>(response: Response<B>) -> (String, bool)
where
    B: Body<Data = Bytes>,
{
    let again = response.headers().contains_key("idempotent-replayed");
    let body = response.into_body().collect().await;
    let body = body.map_err(|_| ()).expect("whole").to_bytes();
    (String::from_utf8(body.into()).expect("UTF-8"), again)
}

fn told(text: &str, again: bool) -> (String, bool) {
    (text.to_owned(), again)
}

#[tokio::test]
async fn how_the_limits_stood_is_not_given_again() {
    let inner = tower::service_fn(|_: Request<ChatBody>| async {
        let response = Response::builder()
            .header("x-ratelimit-remaining-tokens", "7")
            .header("x-ratelimit-reset-requests", "1s")
            .header("ratelimit", "\"tokens\";r=7;t=1")
            .header("ratelimit-policy", "\"tokens\";q=9;w=60")
            .header("x-completion-cost", "0.1")
            .body(Full::new("one"));
        Ok::<_, Infallible>(response.expect("a response"))
    });
    let service = IdempotencyLayer::new().layer(inner);
    let response = service.clone().oneshot(ask("k", "hi")).await;
    let first = response.expect("infallible");
    assert_eq!(first.headers().len(), 5, "the first has its own");
    assert_eq!(whole(first).await, told("one", false));
    let response = service.oneshot(ask("k", "hi")).await;
    let again = response.expect("infallible");
    let names: Vec<_> = again.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-completion-cost", "idempotent-replayed"]);
    assert_eq!(whole(again).await, told("one", true));
}

#[tokio::test]
async fn an_answer_is_given_again_to_its_caller_and_body() {
    let inner = Inner::default();
    let service = IdempotencyLayer::new().layer(inner.clone());
    inner.answer(200, "one");
    for again in [false, true, true] {
        let response = service
            .clone()
            .oneshot(ask("k", "hi"))
            .await
            .expect("infallible");
        assert_eq!(whole(response).await, told("one", again));
    }
    assert_eq!(inner.calls(), 1);
    let other = service
        .clone()
        .oneshot(ask("k", "ho"))
        .await
        .expect("infallible");
    assert_eq!(other.status(), 409);
    let error = other.extensions().get::<Error>().expect("kept");
    assert_eq!(error.code(), Some("idempotency_conflict"));

    inner.answer(200, "two");
    let mut stranger = ask("k", "ho");
    stranger.extensions_mut().insert(Principal::new("b"));
    let response = service.clone().oneshot(stranger).await.expect("infallible");
    assert_eq!(
        whole(response).await,
        told("two", false),
        "keys are per caller"
    );

    inner.answer(200, "three");
    let mut plain = ask("k", "hi");
    plain.headers_mut().remove("idempotency-key");
    let response = service.clone().oneshot(plain);
    assert_eq!(
        whole(response.await.expect("infallible")).await,
        told("three", false)
    );

    inner.answer(200, "an estimate");
    let mut dry = ask("k", "hi");
    dry.headers_mut()
        .insert("x-dry-run", HeaderValue::from_static("1"));
    let response = service.clone().oneshot(dry);
    assert_eq!(
        whole(response.await.expect("infallible")).await,
        told("an estimate", false)
    );
    assert_eq!(inner.alive(), 0);
}

#[tokio::test]
async fn keys_that_cannot_be_are_refused() {
    let service = IdempotencyLayer::new().layer(Inner::default());
    let long = "k".repeat(256);
    for key in ["", "a b", "ü", &long] {
        let response = service
            .clone()
            .oneshot(ask(key, "hi"))
            .await
            .expect("infallible");
        assert_eq!(response.status(), 400, "{key}");
    }
}

#[tokio::test]
async fn a_hundred_at_once_share_one_stream() {
    let inner = Inner::default();
    let mut call = inner.expect();
    let service = IdempotencyLayer::new().layer(inner.clone());
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                whole(service.oneshot(ask("k", "hi")).await.expect("infallible")).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    call.begin(StatusCode::OK);
    for _ in 0..5 {
        call.say("word ");
        tokio::task::yield_now().await;
    }
    call.end();
    let mut first = 0;
    for task in tasks {
        let (text, again) = task.await.expect("no panic");
        assert_eq!(text, "word word word word word ");
        first += usize::from(!again);
    }
    assert_eq!((inner.calls(), first, inner.alive()), (1, 1, 0));
}

#[tokio::test]
async fn what_failed_is_shared_and_forgotten() {
    let inner = Inner::default();
    let service = IdempotencyLayer::new().layer(inner.clone());
    inner.answer(503, "busy");
    let response = service
        .clone()
        .oneshot(ask("k", "hi"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 503);
    assert_eq!(whole(response).await.0, "busy");

    // A stream that breaks for both who read it.
    let mut call = inner.expect();
    let mut first = Box::pin(service.clone().oneshot(ask("k", "hi")));
    assert!(poll(&mut first).is_pending());
    let second = service.clone().oneshot(ask("k", "hi"));
    call.begin(StatusCode::OK);
    let (first, second) = (first.await.expect("a head"), second.await.expect("a head"));
    call.say("ab");
    let body = call.body.take().expect("open");
    body.send(Err("reset".into())).expect("somebody reads");
    for response in [first, second] {
        assert!(response.into_body().collect().await.is_err());
    }

    // One whose end is an error event.
    inner.answer(200, "data: {\"error\":{}}\n\n");
    inner
        .tally
        .end(Outcome::Failed(Error::new(Kind::BadUpstream, "cut")));
    let response = service
        .clone()
        .oneshot(ask("k", "hi"))
        .await
        .expect("infallible");
    whole(response).await;
    assert_eq!((inner.calls(), inner.alive()), (3, 0));

    let inner = Inner::default();
    inner.answer(200, "at last");
    let service = IdempotencyLayer::new().layer(inner);
    let response = service.oneshot(ask("k", "hi")).await.expect("infallible");
    assert_eq!(whole(response).await, told("at last", false));
}

#[tokio::test]
async fn an_upstream_that_panics_leaves_the_others_an_error() {
    let inner = Inner::default();
    let call = inner.expect();
    let service = IdempotencyLayer::new().layer(inner.clone());
    let first = tokio::spawn(service.clone().oneshot(ask("k", "hi")));
    tokio::task::yield_now().await;
    let second = tokio::spawn(service.clone().oneshot(ask("k", "hi")));
    tokio::task::yield_now().await;
    // The sender is gone: the inner future panics where it is polled next.
    drop(call);
    assert!(first.await.expect_err("it panics").is_panic());
    let response = second.await.expect("no panic").expect("infallible");
    assert_eq!(response.status(), 500);
    assert_eq!(inner.alive(), 0);
    inner.answer(200, "new");
    let response = service.oneshot(ask("k", "hi")).await.expect("infallible");
    assert_eq!(whole(response).await, told("new", false));
}

#[tokio::test]
async fn in_the_gateway_it_is_one_call_and_one_charge() {
    let keys = Keys::new();
    keys.insert("sk", Principal::new("a"));
    let ledger = MemoryLedger::new();
    ledger.grant("a", "1".parse().expect("an amount"));
    let script = Script::text("hi there").with_usage(1_000, 500, 0);
    let upstream = Upstream::new().with_default(script);
    let translate = OpenAi::new("http://upstream/v1").expect("an address");
    let provider = Provider::new("mock", upstream.clone(), translate);
    let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let gateway = Gateway::builder(keys)
        .cost(prices, ledger.clone())
        .build(provider);
    for stream in [false, true] {
        let mut texts = Vec::new();
        for _ in 0..3 {
            let body = format!(
                r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
            );
            let request = Request::post("/v1/chat/completions")
                .header("authorization", "Bearer sk")
                .header("idempotency-key", if stream { "s" } else { "u" })
                .body(Full::new(body))
                .expect("a request");
            let response = gateway.clone().oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), 200);
            texts.push(whole(response).await.0);
        }
        assert!(texts.windows(2).all(|two| two[0] == two[1]));
    }
    assert_eq!(upstream.log().counts().calls, 2);
    let statement = books::settled(&ledger, "a");
    assert_eq!(statement.spent.to_string(), "0.004");
}
