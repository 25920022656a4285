//! One parse for all layers, however they are put together, and what cannot be read.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};
use tower_completions::{
    Error,
    body::Full,
    parse::{Chat, ChatBody, Parse, ParseLayer, ReadLimits},
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
async fn nesting_is_accepted_to_128_levels() {
    for (levels, expected) in [(127, 200), (128, 400)] {
        let text = format!(
            "{{\"model\":\"m\",\"x\":{}{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        );
        let layer = ParseLayer::new();
        let response = layer
            .layer(service_fn(end))
            .oneshot(Request::new(Full::new(text)))
            .await
            .expect("infallible");
        assert_eq!(response.status(), expected, "{levels}");
        if expected == 400 {
            assert_eq!(
                response.extensions().get::<Error>().expect("kept").code(),
                Some("json_too_deep")
            );
        }
    }
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
