//! The layer over a scripted service.

mod cost;
mod silence;
mod times;
mod whole;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::{
    body::BoxError,
    dialect::Dialect,
    error::{Error, Kind},
    meter::{Outcome, Tally},
    parse::ChatBody,
};

/// What a scripted body does when it is polled.
#[derive(Clone)]
enum Step {
    Data(Bytes),
    /// Pending once, woken at once.
    Pause,
    Wait(Duration),
    Trailers,
    Break,
    /// Pending for ever.
    Hang,
}

struct Script {
    steps: std::vec::IntoIter<Step>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    dropped: Arc<AtomicBool>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(sleep) = &mut self.sleep {
            std::task::ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        match self.steps.next() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Pause) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Wait(time)) => {
                self.sleep = Some(Box::pin(tokio::time::sleep(time)));
                self.poll_frame(cx)
            }
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Break) => Poll::Ready(Some(Err("reset".into()))),
            Some(Step::Hang) => {
                self.steps = vec![Step::Hang].into_iter();
                Poll::Pending
            }
        }
    }
}

type Answer = Response<crate::body::Reply<ResponseBody<Script, crate::time::DefaultTimer>>>;

async fn answer(
    layer: &ReframeLayer,
    asked: &str,
    kind: &str,
    steps: Vec<Step>,
) -> (Answer, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let response = call(layer, asked, kind, steps, Arc::clone(&dropped)).await;
    (response, dropped)
}

async fn call(
    layer: &ReframeLayer,
    asked: &str,
    kind: &str,
    steps: Vec<Step>,
    flag: Arc<AtomicBool>,
) -> Answer {
    let kind = kind.to_owned();
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let body = Script {
            steps: steps.clone().into_iter(),
            sleep: None,
            dropped: Arc::clone(&flag),
        };
        let response = Response::builder()
            .header("content-type", &kind)
            .header("content-length", "7")
            .header("x-kept", "1")
            .body(body)
            .expect("a response");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let response = layer.layer(inner).oneshot(ask(asked)).await;
    response.expect("infallible")
}

fn ask(members: &str) -> Request<Full<Bytes>> {
    let body =
        format!(r#"{{"model":"asked","messages":[{{"role":"user","content":"hi"}}]{members}}}"#);
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("a request")
}

const STREAM: &str = r#","stream":true"#;
const SSE: &str = "text/event-stream; charset=utf-8";
const FIRST: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"asked\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"}}]}\n\n";
const LAST: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"asked\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

const WHOLE: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"asked","x":null,"choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

fn step(text: &str) -> Step {
    Step::Data(Bytes::copy_from_slice(text.as_bytes()))
}

fn layer() -> ReframeLayer {
    ReframeLayer::new(Dialect::openai())
}

/// Every frame, as text; none may be empty.
async fn frames(answer: Answer) -> Vec<String> {
    let mut body = std::pin::pin!(answer.into_body());
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame
            .expect("no error leaves the layer")
            .into_data()
            .expect("data");
        assert!(!data.is_empty());
        frames.push(String::from_utf8(data.to_vec()).expect("UTF-8"));
    }
    frames
}

#[tokio::test]
async fn a_stream_has_the_right_head_and_one_frame_a_read() {
    let both = format!("{FIRST}: comment\n\n{FIRST}");
    let steps = vec![step(&both), Step::Pause, step(LAST)];
    let (answer, dropped) = answer(&layer(), STREAM, SSE, steps).await;
    let headers = answer.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-length") && headers.contains_key("x-kept"));
    let tally = answer.extensions().get::<Tally>().expect("a tally").clone();
    assert_eq!(
        frames(answer).await,
        [[FIRST, FIRST].concat(), LAST.to_owned()]
    );
    assert!(matches!(tally.outcome(), Some(Outcome::Complete)));
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn much_that_passes_is_a_frame_of_its_own_and_the_end_the_next() {
    let word = FIRST.replace(r#""role":"assistant","#, "");
    let (finish, done) = LAST.split_at(LAST.len() - "data: [DONE]\n\n".len());
    let passing = [FIRST, &word.repeat(40), finish].concat();
    let steps = vec![step(&[&passing, done].concat()), Step::Hang];
    let (answer, dropped) = answer(&layer(), STREAM, SSE, steps).await;
    let tally = answer.extensions().get::<Tally>().expect("a tally").clone();
    let mut body = std::pin::pin!(answer.into_body());
    let mut next = async || body.frame().await.expect("a frame").expect("sound");
    assert_eq!(next().await.into_data().ok(), Some(passing.into()));
    // Whoever leaves now has been given the whole answer.
    assert!(matches!(tally.outcome(), Some(Outcome::Complete)));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(
        next().await.into_data().ok().as_deref(),
        Some(done.as_bytes())
    );
    assert!(body.is_end_stream() && body.frame().await.is_none());
}

#[tokio::test]
async fn a_pause_trailers_or_a_break_may_come_anywhere() {
    let text = [FIRST, FIRST, LAST].concat();
    let whole = frames(answer(&layer(), STREAM, SSE, vec![step(&text)]).await.0)
        .await
        .concat();
    for at in 0..=text.len() {
        let (a, b) = text.split_at(at);
        for between in [Step::Pause, Step::Trailers] {
            let steps = vec![
                between.clone(),
                step(a),
                between.clone(),
                step(b),
                between,
                Step::Hang,
            ];
            let (answer, dropped) = answer(&layer(), STREAM, SSE, steps).await;
            assert_eq!(frames(answer).await.concat(), whole);
            assert!(
                dropped.load(Ordering::SeqCst),
                "nothing is read behind the end"
            );
        }
        let (answer, _) = answer(&layer(), STREAM, SSE, vec![step(a), Step::Break]).await;
        let out = frames(answer).await.concat();
        let events = a.matches("\n\n").count().min(3);
        if a.contains("[DONE]\n\n") {
            assert_eq!(out, whole);
            continue;
        }
        assert_eq!(out.matches("\n\n").count(), events + 1, "{out}");
        assert!(out.contains(r#"data: {"error":{"message":"The connection to the provider broke"#));
        assert!(!out.contains("[DONE]"));
    }
}

#[tokio::test]
async fn an_empty_read_gives_no_frame() {
    let none = Step::Data(Bytes::new());
    let (a, b) = FIRST.split_at(20);
    let steps = vec![
        none.clone(),
        step(a),
        none.clone(),
        step(b),
        none.clone(),
        step(": comment\n\n"),
        none.clone(),
        step(LAST),
        none,
    ];
    let (answer, _) = answer(&layer(), STREAM, SSE, steps).await;
    assert_eq!(frames(answer).await, [FIRST, LAST]);
}

#[tokio::test]
async fn a_broken_stream_is_done_only_when_told_to() {
    let steps = vec![step(FIRST), Step::Break];
    let (plain, _) = answer(&layer(), STREAM, SSE, steps.clone()).await;
    assert!(!frames(plain).await.concat().contains("[DONE]"));
    let (told, _) = answer(&layer().done_after_error(), STREAM, SSE, steps).await;
    let tally = told.extensions().get::<Tally>().expect("a tally").clone();
    let out = frames(told).await.concat();
    assert!(out.contains("\"error\"") && out.ends_with("\n\ndata: [DONE]\n\n"));
    assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
}

#[tokio::test]
async fn a_dropped_body_drops_the_upstream_at_once() {
    let (answer, dropped) = answer(&layer(), STREAM, SSE, vec![step(FIRST), Step::Hang]).await;
    let mut body = Box::pin(answer.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.as_mut().poll_frame(&mut cx).is_ready());
    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert!(!dropped.load(Ordering::SeqCst));
    drop(body);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn cancelled_at_any_poll_nothing_is_left() {
    let both = layer().convert();
    let stream = [FIRST, FIRST, LAST].concat();
    for (layer, asked, kind, text) in [
        (&layer(), STREAM, SSE, stream.as_str()),
        (&layer(), "", "application/json", WHOLE),
        (&both, "", SSE, stream.as_str()),
        (&both, STREAM, "application/json", WHOLE),
    ] {
        let steps: Vec<Step> = text
            .as_bytes()
            .chunks(20)
            .flat_map(|piece| [Step::Pause, Step::Data(Bytes::copy_from_slice(piece))])
            .collect();
        let mut done = false;
        let mut polls = 0;
        while !done {
            let flag = Arc::new(AtomicBool::new(false));
            let mut task = Box::pin(async {
                frames(call(layer, asked, kind, steps.clone(), Arc::clone(&flag)).await).await
            });
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                assert!(!done, "it ends with the last poll only");
                done = task.as_mut().poll(&mut cx).is_ready();
            }
            drop(task);
            assert_eq!(Arc::strong_count(&flag), 1, "after {polls} polls");
            polls += 1;
        }
        assert!(polls > 15, "{polls}");
    }
}

#[tokio::test]
async fn the_inner_service_is_called_when_ready() {
    let (inner, mut handle) = tower_test::mock::pair::<Request<ChatBody>, Response<Full<Bytes>>>();
    handle.allow(0);
    let inner = inner.map_response(|response: Response<Full<Bytes>>| response);
    let mut service = layer().layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx).is_pending());
    handle.allow(1);
    assert!(Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx).is_ready());
}

#[test]
fn an_idle_stream_is_small() {
    let config = super::config::Config::alone(&Dialect::openai());
    let machine = super::machine::Machine::new(config, crate::sse::MaxSizes::new(), Tally::new());
    let body = std::mem::size_of::<ResponseBody<crate::body::Full, crate::time::DefaultTimer>>();
    assert!(
        size_of_val(&machine) + body <= 1024,
        "{} {body}",
        size_of_val(&machine)
    );
}
