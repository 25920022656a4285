//! Several answers from an upstream that gives one at a time.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_completions::{
    Error,
    body::{BoxError, Full},
    meter::{Outcome, Tally},
    parse::ParseLayer,
    provider::{ParallelLayer, Provider, anthropic::Anthropic},
};

/// A body that gives its frames one by one, waits for ever behind the last if told to, and counts
/// the bodies that are alive.
struct Scripted {
    frames: std::vec::IntoIter<Result<String, ()>>,
    hang: bool,
    alive: Arc<AtomicUsize>,
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.frames.next() {
            Some(Ok(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Err(())) => Poll::Ready(Some(Err("reset".into()))),
            None if self.hang => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Act {
    #[default]
    Whole,
    Refused,
    Cut,
    Hang,
}

#[derive(Clone, Default)]
struct Upstream {
    acts: Arc<Vec<Act>>,
    asked: Arc<Mutex<Vec<Value>>>,
    alive: Arc<AtomicUsize>,
}

/// A service that wants to be made ready before each call, as those with limits do.
#[derive(Clone)]
struct Strict {
    upstream: Upstream,
    ready: Arc<()>,
}

impl Upstream {
    fn new(acts: &[Act]) -> Self {
        Self {
            acts: Arc::new(acts.to_vec()),
            ..Self::default()
        }
    }

    fn answer(&self, body: &Value) -> Response<Scripted> {
        let mut asked = self.asked.lock().expect("not poisoned");
        let nth = asked.len();
        asked.push(body.clone());
        let act = self.acts.get(nth).copied().unwrap_or_default();
        self.alive.fetch_add(1, Ordering::SeqCst);
        let word = ["zero", "one", "two"].get(nth).copied().unwrap_or("more");
        let mut frames: Vec<Result<String, ()>> = if body["stream"] == true {
            [
                json!({"type": "message_start", "message": {"id": format!("msg_{nth}"), "model": "claude", "usage": {"input_tokens": 5}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2 + nth}}),
                json!({"type": "message_stop"}),
            ]
            .iter()
            .map(|event| Ok(format!("data: {event}\n\n")))
            .collect()
        } else {
            let message = json!({"id": format!("msg_{nth}"), "type": "message", "model": "claude", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": word}], "usage": {"input_tokens": 5, "output_tokens": 2 + nth}});
            vec![Ok(message.to_string())]
        };
        match act {
            Act::Cut if body["stream"] == true => {
                frames.truncate(3);
                frames.push(Err(()));
            }
            Act::Cut => frames = vec![Err(())],
            Act::Hang if body["stream"] == true => frames.truncate(3),
            Act::Hang => frames.clear(),
            Act::Whole | Act::Refused => {}
        }
        let kind = if body["stream"] == true {
            "text/event-stream"
        } else {
            "application/json"
        };
        Response::builder()
            .status(if act == Act::Refused { 529 } else { 200 })
            .header("content-type", kind)
            .body(Scripted {
                frames: frames.into_iter(),
                hang: act == Act::Hang,
                alive: Arc::clone(&self.alive),
            })
            .expect("a response")
    }
}

impl Service<Request<Full>> for Strict {
    type Response = Response<Scripted>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = Arc::new(());
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full>) -> Self::Future {
        // A clone shares the token, so only one that was made ready itself holds it alone.
        assert_eq!(
            Arc::strong_count(&self.ready),
            1,
            "called without being ready"
        );
        self.ready = Arc::new(());
        let upstream = self.upstream.clone();
        Box::pin(async move {
            let body = request
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            Ok(upstream.answer(&serde_json::from_slice(&body).expect("JSON")))
        })
    }
}

async fn ask(
    upstream: &Upstream,
    n: u32,
    stream: bool,
) -> Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>> {
    let client = Strict {
        upstream: upstream.clone(),
        ready: Arc::new(()),
    };
    let translate = Anthropic::new("https://upstream").expect("a URL");
    let provider = Provider::new("anthropic", client, translate);
    let service = ParseLayer::new().layer(ParallelLayer::new().at_most(3).layer(provider));
    let body = json!({"model": "claude-sonnet-4-5", "n": n, "stream": stream, "seed": 1,
        "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/").body(Full::new(body.to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    response.expect("infallible")
}

async fn text<B>(response: Response<B>) -> (http::response::Parts, String)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = response.into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    (head, String::from_utf8(text.to_vec()).expect("UTF-8"))
}

fn usage(head: &http::response::Parts) -> Option<(u64, u64)> {
    let usage = head.extensions.get::<Tally>().and_then(Tally::usage);
    usage.map(|it| (it.input, it.output))
}

#[tokio::test]
async fn whole_answers_in_order_and_one_sum() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 3, false).await).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["x-params-dropped"], "seed");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    for (nth, word) in ["zero", "one", "two"].iter().enumerate() {
        assert_eq!(answer["choices"][nth]["index"], nth);
        assert_eq!(answer["choices"][nth]["message"]["content"], *word);
    }
    assert_eq!(answer["usage"]["prompt_tokens"], 15);
    assert_eq!(answer["usage"]["completion_tokens"], 2 + 3 + 4);
    assert_eq!(usage(&head), Some((15, 9)));
    let asked = upstream.asked.lock().expect("not poisoned");
    assert!(asked.iter().all(|body| body.get("n").is_none()) && asked.len() == 3);
}

#[tokio::test]
async fn one_answer_passes_untouched() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 1, false).await).await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(usage(&head), Some((5, 2)));
}

#[tokio::test]
async fn streams_in_one() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 2, true).await).await;
    assert_eq!(
        head.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let data: Vec<&str> = body
        .split("\n\n")
        .filter_map(|it| it.strip_prefix("data: "))
        .collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = data[..data.len() - 1]
        .iter()
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    for (nth, word) in ["zero", "one"].iter().enumerate() {
        let of: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == nth)
            .collect();
        assert_eq!(of[0]["delta"]["role"], "assistant");
        assert!(of.iter().any(|choice| choice["delta"]["content"] == *word));
        assert_eq!(
            of.last().map(|it| &it["finish_reason"]),
            Some(&json!("stop"))
        );
    }
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    let (last, rest) = chunks.split_last().expect("some");
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(10 + 5))
    );
    assert!(rest.iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(usage(&head), Some((10, 5)));
    let outcome = head.extensions.get::<Tally>().and_then(Tally::outcome);
    assert!(matches!(outcome, Some(Outcome::Complete)));
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_refusal_refuses_all_and_ends_the_others() {
    for stream in [false, true] {
        let upstream = Upstream::new(&[Act::Hang, Act::Refused, Act::Hang]);
        let (head, _) = text(ask(&upstream, 3, stream).await).await;
        assert_eq!(head.status, 503);
        assert!(head.extensions.get::<Error>().is_some());
        assert_eq!(upstream.alive.load(Ordering::SeqCst), 0, "{stream}");
    }
    let upstream = Upstream::new(&[Act::Whole, Act::Cut]);
    let (head, _) = text(ask(&upstream, 2, false).await).await;
    assert_eq!(head.status, 502);
}

#[tokio::test]
async fn a_cut_stream_ends_all_with_an_error() {
    let upstream = Upstream::new(&[Act::Hang, Act::Cut]);
    let (head, body) = text(ask(&upstream, 2, true).await).await;
    assert_eq!(head.status, 200);
    assert!(
        body.contains("zero") && body.contains("\"error\""),
        "{body}"
    );
    assert!(!body.contains("[DONE]"));
    assert_eq!(usage(&head), None, "what was used by all is not known");
    let outcome = head.extensions.get::<Tally>().and_then(Tally::outcome);
    assert!(matches!(outcome, Some(Outcome::Failed(_))));
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn leaving_ends_every_upstream() {
    let upstream = Upstream::new(&[Act::Hang, Act::Hang, Act::Hang]);
    let response = ask(&upstream, 3, true).await;
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 3);
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
    let upstream = Upstream::new(&[Act::Hang, Act::Hang, Act::Hang]);
    let asking = ask(&upstream, 3, false);
    let mut asking = tokio_test::task::spawn(asking);
    assert!(asking.poll().is_pending());
    drop(asking);
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn too_many_are_refused() {
    let upstream = Upstream::default();
    let (head, _) = text(ask(&upstream, 4, false).await).await;
    assert_eq!(head.status, 400);
    let error = head.extensions.get::<Error>().expect("an error");
    assert_eq!(
        (error.param(), error.code()),
        (Some("n"), Some("invalid_value"))
    );
    assert!(upstream.asked.lock().expect("not poisoned").is_empty());
}
