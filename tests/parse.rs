//! One parse for all layers, however they are put together, and what cannot be read.

#[path = "parse/depth.rs"]
mod depth;
#[cfg(feature = "gzip")]
#[path = "parse/gzip.rs"]
mod gzip;
#[path = "parse/memory.rs"]
mod memory;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};
use tower_completions::{
    Error,
    body::Full,
    parse::{Chat, ChatBody, Parse, ParseLayer, ReadLimits},
    wire::request::{Content, Part},
};

const TEXT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// Notes the parse it sees, as any layer over `ChatBody` would see it.
#[derive(Clone, Default)]
struct Look(Arc<Mutex<Vec<Chat>>>);

impl<S> Layer<S> for Look {
    type Service = Parse<Looking<S>>;
    fn layer(&self, inner: S) -> Self::Service {
        Parse::new(Looking {
            inner,
            seen: self.clone(),
        })
    }
}

#[derive(Clone)]
struct Looking<S> {
    inner: S,
    seen: Look,
}

impl<S: tower::Service<Request<ChatBody>>> tower::Service<Request<ChatBody>> for Looking<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, request: Request<ChatBody>) -> S::Future {
        self.seen
            .0
            .lock()
            .expect("not poisoned")
            .push(request.body().chat().clone());
        self.inner.call(request)
    }
}

impl Look {
    fn seen(&self) -> Vec<Chat> {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// A service that counts its clones and its calls.
#[derive(Debug, Default)]
struct Counted(Arc<[AtomicUsize; 2]>);

impl Counted {
    fn seen(&self) -> [usize; 2] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl tower::Service<Request<ChatBody>> for Counted {
    type Response = Response<Full>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Full>, Infallible>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Request<ChatBody>) -> Self::Future {
        self.0[1].fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::new(Full::new("ok"))))
    }
}

/// What is there of a body is read when the layer is called; the rest by whoever polls.
#[test]
fn a_request_that_is_there_is_handed_on_in_the_call() {
    let counted = Counted(Arc::default());
    let seen = Counted(Arc::clone(&counted.0));
    let mut service = Parse::new(counted);
    let answer = tower::Service::call(&mut service, Request::new(Full::new(TEXT)));
    assert_eq!(seen.seen(), [0, 1]);
    assert!(answer.now_or_never().expect("at once").is_ok());

    // As much again comes with each poll that it is woken for.
    let (mut at, mut given) = (0, false);
    let body = futures_util::stream::poll_fn(move |cx| {
        given = !given && at < TEXT.len();
        if !given {
            cx.waker().wake_by_ref();
            return if at < TEXT.len() {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        }
        let piece = &TEXT[at..TEXT.len().min(at + 20)];
        at += piece.len();
        Poll::Ready(Some(Ok::<_, Infallible>(Frame::data(Bytes::from(piece)))))
    });
    let request = Request::new(http_body_util::StreamBody::new(body));
    let mut answer = tokio_test::task::spawn(tower::Service::call(&mut service, request));
    assert_eq!(seen.seen(), [1, 1]);
    let mut polls = 1;
    let answer = loop {
        match answer.poll() {
            Poll::Ready(answer) => break answer,
            Poll::Pending => assert!(answer.is_woken()),
        }
        polls += 1;
    };
    assert!(answer.is_ok());
    assert_eq!((seen.seen(), polls), ([1, 2], 2));
}

async fn end(request: Request<ChatBody>) -> Result<Response<Full>, Infallible> {
    Ok(Response::new(Full::new(
        request
            .into_body()
            .collect()
            .await
            .expect("read")
            .to_bytes(),
    )))
}

#[tokio::test]
async fn layers_in_one_stack_share_one_parse() {
    let look = Look::default();
    let service = ServiceBuilder::new()
        .layer(look.clone())
        .layer(look.clone())
        .layer(look.clone())
        .service(service_fn(end));
    let response = service
        .oneshot(Request::new(Full::new(TEXT)))
        .await
        .expect("infallible");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("read")
            .to_bytes(),
        TEXT
    );
    let seen = look.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|chat| chat.is_same_parse(&seen[0])));
}

#[tokio::test]
async fn separate_axum_layers_share_one_parse_through_its_boxing() {
    let look = Look::default();
    let app = axum::Router::new()
        .route("/", axum::routing::post(async |body: Bytes| body))
        .layer(look.clone())
        .layer(look.clone());
    let request = Request::post("/")
        .body(axum::body::Body::from(TEXT))
        .expect("a request");
    let response = app.oneshot(request).await.expect("infallible");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("read")
            .to_bytes(),
        TEXT
    );
    let seen = look.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].is_same_parse(&seen[1]));
}

#[tokio::test]
async fn a_body_rewritten_in_between_is_parsed_again() {
    let look = Look::default();
    let rewrite = MapRequestLayer::new(|request: Request<ChatBody>| {
        request.map(|_| Full::new(TEXT.replace("\"m\"", "\"other\"")))
    });
    let service = ServiceBuilder::new()
        .layer(look.clone())
        .layer(rewrite)
        .layer(look.clone())
        .service(service_fn(end));
    service
        .oneshot(Request::new(Full::new(TEXT)))
        .await
        .expect("infallible");
    let models: Vec<String> = look
        .seen()
        .iter()
        .map(|chat| chat.model().to_owned())
        .collect();
    assert_eq!(models, ["m", "other"]);
}

/// Yields what it is told, waiting between two chunks for so long.
struct Drip {
    chunks: Vec<&'static str>,
    pause: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let pause = self.pause;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        if self.chunks.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = self.chunks.remove(0);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
    }
}

async fn status<B: Body<Data = Bytes> + 'static>(request: Request<B>) -> (u16, Option<String>) {
    let layer = ParseLayer::new().limits(ReadLimits::default().max_bytes(100));
    let response = layer
        .layer(service_fn(end))
        .oneshot(request)
        .await
        .expect("infallible");
    let code = response
        .extensions()
        .get::<Error>()
        .and_then(|error| error.code().map(str::to_owned));
    (response.status().as_u16(), code)
}

#[tokio::test(start_paused = true)]
async fn a_body_in_pieces_is_joined_and_a_slow_one_refused() {
    let drip = |chunks, secs| {
        Request::new(Drip {
            chunks,
            pause: Duration::from_secs(secs),
            sleep: None,
        })
    };
    let pieces = vec![&TEXT[..10], &TEXT[10..11], &TEXT[11..]];
    assert_eq!(status(drip(pieces.clone(), 9)).await.0, 200);
    assert_eq!(
        status(drip(pieces, 11)).await,
        (408, Some("request_timeout".to_owned()))
    );
    assert_eq!(
        status(drip(vec![" "; 90], 9)).await.0,
        408,
        "a drip ends by the total"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_apis_shape() {
    let cases: [(&'static str, u16, &str); 9] = [
        ("", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        ("{} {}", 400, "invalid_json"),
        ("\u{feff}{}", 400, "invalid_json"),
        ("[1]", 400, "invalid_type"),
        (r#"{"model":"a","m\u006fdel":"b"}"#, 400, "duplicate_key"),
        (r#"{"x":"\ud800"}"#, 400, "invalid_json"),
        ("{\"x\":1e999999}", 400, "invalid_json"),
        (
            "                                                                                                     ",
            413,
            "request_too_large",
        ),
    ];
    for (body, expected, code) in cases {
        let (status, got) = status(Request::new(Full::new(body))).await;
        assert_eq!((status, got.as_deref()), (expected, Some(code)), "{body}");
    }
    for (name, value, expected) in [
        ("content-type", "text/plain", 415),
        ("content-encoding", "gzip", 415),
        ("content-encoding", "identity", 200),
        ("content-length", "101", 413),
    ] {
        let request = Request::builder()
            .header(name, value)
            .body(Full::new(TEXT))
            .expect("a request");
        assert_eq!(status(request).await.0, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_request_of_too_many_mistakes_is_refused_by_the_first_and_passes_where_that_is_raised() {
    let text = |count: usize| {
        let messages = vec![r#"{"role":"critic","content":"x"}"#; count].join(",");
        format!(r#"{{"model":"m","messages":[{messages}]}}"#)
    };
    let ask = async |limits: ReadLimits, count| {
        let service = ParseLayer::new().limits(limits).layer(service_fn(end));
        let request = Request::new(Full::new(text(count)));
        service.oneshot(request).await.expect("infallible")
    };
    let limits = ReadLimits::default();
    for (limits, most) in [
        (limits, 256),
        (limits.max_faults(2), 2),
        (limits.max_faults(1000), 1000),
    ] {
        assert_eq!(ask(limits, most).await.status(), 200, "{most}");
        let refused = ask(limits, most + 1).await;
        assert_eq!(refused.status(), 400, "{most}");
        let error = refused.extensions().get::<Error>().expect("a refusal");
        assert_eq!(
            (error.param(), error.code()),
            (Some("messages[0].role"), Some("invalid_value"))
        );
    }
    let limits = limits.max_faults(usize::MAX);
    assert_eq!(ask(limits, 5000).await.status(), 200);
}

#[tokio::test]
async fn too_many_names_spelled_by_escapes_are_refused_and_told_where() {
    let ask = async |limits: ReadLimits, escapes: usize| {
        let name = r"\u006d".repeat(escapes);
        let text = format!(r#"{{"model":"{name}","messages":[{{"role":"user","content":"x"}}]}}"#);
        let service = ParseLayer::new().limits(limits).layer(service_fn(end));
        let request = Request::new(Full::new(text));
        service.oneshot(request).await.expect("infallible")
    };
    let limits = ReadLimits::default();
    for (limits, most) in [(limits, 16 * 1024 / 6), (limits.max_escaped(12), 2)] {
        assert_eq!(ask(limits, most).await.status(), 200, "{most}");
        let refused = ask(limits, most + 1).await;
        assert_eq!(refused.status(), 400, "{most}");
        let error = refused.extensions().get::<Error>().expect("a refusal");
        assert_eq!(
            (error.message(), error.param(), error.code()),
            (
                "The request spells too much of its keys, ids and names by escapes, from byte 9 on.",
                None,
                Some("invalid_value")
            )
        );
    }
}

#[tokio::test]
async fn too_many_huge_numbers_are_refused_and_told_how_many_there_may_be() {
    let ask = async |limits: ReadLimits, numbers: usize| {
        let numbers = vec!["1.7976931348623157E+308"; numbers].join(",");
        let text = format!(
            r#"{{"x":[{numbers}],"model":"m","messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let service = ParseLayer::new().limits(limits).layer(service_fn(end));
        let request = Request::new(Full::new(text));
        service.oneshot(request).await.expect("infallible")
    };
    let limits = ReadLimits::default();
    for (limits, most) in [(limits, 256), (limits.max_huge(2), 2)] {
        assert_eq!(ask(limits, most).await.status(), 200, "{most}");
        let refused = ask(limits, most + 1).await;
        assert_eq!(refused.status(), 400, "{most}");
        let error = refused.extensions().get::<Error>().expect("a refusal");
        let message = format!(
            "The request must hold at most {most} numbers with an exponent of three digits or more or with 309 digits, got 1.7976931348623157E+308 as another at byte {}.",
            6 + 24 * most
        );
        assert_eq!(
            (error.message(), error.param(), error.code()),
            (&*message, None, Some("invalid_value"))
        );
    }
    let limits = limits.max_huge(usize::MAX);
    assert_eq!(ask(limits, 100_000).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_longest_duration_means_never() {
    let limits = ReadLimits::default()
        .timeout(Duration::MAX)
        .idle_timeout(Duration::MAX);
    let drip = Drip {
        chunks: vec![TEXT],
        pause: Duration::from_secs(100_000),
        sleep: None,
    };
    let layer = ParseLayer::new().limits(limits);
    let response = layer
        .layer(service_fn(end))
        .oneshot(Request::new(drip))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
}

/// Yields the same piece for ever.
struct Endless(Bytes);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_the_limit() {
    for piece in [&b" "[..], b"                                 "] {
        let body = Endless(Bytes::from_static(piece));
        let (status, code) = status(Request::new(body)).await;
        assert_eq!((status, code.as_deref()), (413, Some("request_too_large")));
    }
}
