use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::CommitLayer;
use crate::{body::BoxError, error::Error, meter::Tally, router::Routable};

/// A request that asks for a stream.
struct Streamed;

impl Routable for Streamed {
    fn model(&self) -> &str {
        "m"
    }

    fn again(&self) -> Self {
        Self
    }

    fn streams(&self) -> bool {
        true
    }
}

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

#[derive(Clone, Copy)]
enum Act {
    Say(&'static str),
    Break,
    Silence,
}

struct Script(VecDeque<Act>);

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.front().copied() {
            Some(Act::Silence) => Poll::Pending,
            Some(Act::Say(text)) => {
                self.0.pop_front();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
            }
            Some(Act::Break) => Poll::Ready(Some(Err("reset".into()))),
            None => Poll::Ready(None),
        }
    }
}

async fn run(acts: &[Act]) -> (u16, Option<String>, String) {
    run_with(CommitLayer::new(), acts).await
}

async fn run_with(layer: CommitLayer, acts: &[Act]) -> (u16, Option<String>, String) {
    let acts: VecDeque<_> = acts.iter().copied().collect();
    let service = service_fn(move |_: Request<Streamed>| {
        let body = Script(acts.clone());
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(body).expect("valid")))
    });
    let service = layer.layer(service);
    let response = service
        .oneshot(Request::new(Streamed))
        .await
        .expect("infallible");
    let status = response.status().as_u16();
    let code = response
        .extensions()
        .get::<Error>()
        .and_then(|e| e.code().map(str::to_owned));
    let mut body = response.into_body();
    let mut text = String::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_secs(1), body.frame()).await
    {
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
    }
    (status, code, text)
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_content_never_was() {
    use Act::{Break, Say, Silence};
    for (acts, status, code) in [
        (&[][..], 502, "bad_upstream_response"),
        (&[Say(ROLE)], 502, "bad_upstream_response"),
        (&[Say(ROLE), Break], 502, "bad_upstream_response"),
        (
            &[Say(ROLE), Say("data: [DONE]\n\n")],
            502,
            "bad_upstream_response",
        ),
        (&[Say("data: {oops\n\n")], 502, "bad_upstream_response"),
        (&[Silence], 504, "upstream_timeout"),
        (&[Say(": waiting\n\n"), Silence], 504, "upstream_timeout"),
        (
            &[Say(ROLE), Say("data: {\"error\":{\"code\":503}}\n\n")],
            503,
            "upstream_overloaded",
        ),
        (
            &[Say("event: error\ndata: {\"code\":429}\n\n")],
            429,
            "upstream_rate_limited",
        ),
    ] {
        let (seen, found, _) = run(acts).await;
        assert_eq!((seen, found.as_deref()), (status, Some(code)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_goes_out_untouched() {
    use Act::{Break, Say, Silence};
    let begun = format!("{ROLE}{TEXT}");
    for (acts, text) in [
        (&[Say(ROLE), Say(TEXT), Break][..], begun.as_str()),
        (
            &[Say(": hi\n\n"), Say(TEXT), Silence],
            &format!(": hi\n\n{TEXT}"),
        ),
        (&[Say(ROLE), Silence], ROLE),
        (&[Say("data:\n\n"), Say(TEXT)], &format!("data:\n\n{TEXT}")),
        (
            &[Say(TEXT), Say("data: {\"error\":{}}\n\n")],
            &format!("{TEXT}data: {{\"error\":{{}}}}\n\n"),
        ),
    ] {
        assert_eq!(run(acts).await, (200, None, text.to_owned()));
    }
}

/// The head goes out after so many events, so many bytes or so much time without content, whichever
/// comes first; one less, and what follows still decides.
#[tokio::test(start_paused = true)]
async fn the_look_ahead_ends_with_events_bytes_or_time() {
    use Act::{Break, Say, Silence};
    let roles = |n: usize| vec![Say(ROLE); n];
    let layer = || {
        CommitLayer::new()
            .look_ahead(Duration::from_secs(3_600))
            .idle_timeout(Duration::MAX)
    };
    let long = Box::leak(format!(": {}\n\n", "x".repeat(997)).into_boxed_str());
    for (name, layer, before, after, status, seconds) in [
        ("one event less", layer(), roles(63), Break, 502, 0),
        ("the events", layer(), roles(64), Break, 200, 0),
        (
            "fewer",
            layer().at_most(2, 1 << 20),
            roles(2),
            Break,
            200,
            0,
        ),
        (
            "one kilobyte less",
            layer().at_most(99, 8_000),
            vec![Say(long); 7],
            Break,
            502,
            0,
        ),
        (
            "the bytes",
            layer().at_most(99, 8_000),
            vec![Say(long); 8],
            Break,
            200,
            0,
        ),
        (
            "less than the time",
            CommitLayer::new(),
            roles(1),
            Break,
            502,
            0,
        ),
        ("the time", CommitLayer::new(), roles(1), Silence, 200, 10),
        ("more time", layer(), roles(1), Silence, 200, 3_600),
        // Comments are no event: their time is that of the first one.
        (
            "comments",
            layer(),
            vec![Say(": hi\n\n"); 70],
            Silence,
            504,
            30,
        ),
    ] {
        let acts: Vec<_> = before.into_iter().chain([after]).collect();
        let start = tokio::time::Instant::now();
        let (seen, _, _) = run_with(layer, &acts).await;
        // What was read for the text is given a second at its end.
        let took = start
            .elapsed()
            .as_secs()
            .saturating_sub(u64::from(seen == 200 && matches!(after, Silence)));
        assert_eq!((seen, took), (status, seconds), "{name}");
    }
}

/// A stream that has begun and stands still fails as one that has gone further would.
#[tokio::test(start_paused = true)]
async fn a_silence_between_two_events_fails_before_the_content_as_after_it() {
    use Act::{Say, Silence};
    let layer = || CommitLayer::new().idle_timeout(Duration::from_secs(2));
    let begun = tokio::time::Instant::now();
    let (status, code, _) = run_with(layer(), &[Say(ROLE), Say(ROLE), Silence]).await;
    assert_eq!((status, code.as_deref()), (504, Some("upstream_timeout")));
    assert_eq!(begun.elapsed().as_secs(), 2);
    // What is longer than the look ahead is the business of whoever reads the answer.
    let late = layer().look_ahead(Duration::from_secs(1));
    assert_eq!(run_with(late, &[Say(ROLE), Silence]).await.0, 200);
}

/// What is translated inside tells by the tally what it heard.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_heard_is_not_silent() {
    for (hears, begins, status, took) in [
        (true, true, 200, 10),
        (false, true, 504, 3),
        // It is no first event.
        (true, false, 504, 30),
    ] {
        let service = service_fn(|_: Request<Streamed>| {
            let tally = Tally::new();
            let kept = tally.clone();
            let mut role = begins.then(|| Bytes::from_static(ROLE.as_bytes()));
            let mut ticks = Box::pin(tokio::time::interval(Duration::from_secs(2)));
            let body = futures_util::stream::poll_fn(move |cx| {
                if let Some(role) = role.take() {
                    return Poll::Ready(Some(Ok::<_, BoxError>(Frame::data(role))));
                }
                while ticks.poll_tick(cx).is_ready() {
                    if hears {
                        kept.hear();
                    }
                }
                Poll::Pending
            });
            let response = Response::builder()
                .header("content-type", "text/event-stream")
                .extension(tally)
                .body(http_body_util::StreamBody::new(body));
            std::future::ready(Ok::<_, Infallible>(response.expect("valid")))
        });
        let begun = tokio::time::Instant::now();
        let layer = CommitLayer::new().idle_timeout(Duration::from_secs(3));
        let call = layer.layer(service).oneshot(Request::new(Streamed));
        let response = call.await.expect("infallible");
        assert_eq!(
            (response.status().as_u16(), begun.elapsed().as_secs()),
            (status, took)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_a_stream_is_due_from_the_request_on() {
    let silent = service_fn(|_: Request<Streamed>| async {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Script(VecDeque::new())))
    });
    let begun = tokio::time::Instant::now();
    let service = CommitLayer::new().layer(silent);
    let response = service.oneshot(Request::new(Streamed)).await;
    assert_eq!(response.expect("infallible").status(), 504);
    assert_eq!(begun.elapsed().as_secs(), 30);

    // A head that comes late leaves less time for the rest.
    let late = service_fn(|_: Request<Streamed>| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let response = Response::builder().header("content-type", "text/event-stream");
        let body = Script([Act::Silence].into());
        Ok::<_, Infallible>(response.body(body).expect("valid"))
    });
    let begun = tokio::time::Instant::now();
    let service = CommitLayer::new().layer(late);
    let response = service.oneshot(Request::new(Streamed)).await;
    assert_eq!(response.expect("infallible").status(), 504);
    assert_eq!(begun.elapsed().as_secs(), 30);
}
