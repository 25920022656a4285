//! What is no silence, though the client hears nothing of it.

use super::*;

const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

fn wait(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

/// So often, after half the time that a silence may take.
fn often(what: &Step, times: usize) -> Vec<Step> {
    let each = std::iter::repeat_n([wait(30), what.clone()], times);
    each.flatten().collect()
}

/// Whether the answer is whole, and how many seconds it took.
async fn told(layer: &ReframeLayer, asked: &str, steps: Vec<Step>) -> (bool, u64) {
    let start = tokio::time::Instant::now();
    let (answer, _) = answer(layer, asked, SSE, steps).await;
    let out = frames(answer).await.concat();
    let whole = out.contains("\"stop\"");
    assert!(whole != out.contains("upstream_timeout"), "{out}");
    assert!(!out.contains("ping"), "nothing of it is seen: {out}");
    (whole, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_chunk_is_no_silence_and_a_comment_is() {
    let empty = "data:\n\n";
    for (name, what, whole, took) in [
        ("a ping", PING, true, 150),
        ("no data", empty, true, 150),
        ("a comment", ": ping\n\n", false, 60),
        ("a name alone", "event: ping\n\n", false, 60),
        ("a part", "event: pi", false, 60),
    ] {
        for asked in [STREAM, ""] {
            let mut steps = vec![step(FIRST)];
            steps.extend(often(&step(what), 4));
            steps.extend([wait(30), step(LAST)]);
            let told = told(&layer().convert(), asked, steps).await;
            assert_eq!(told, (whole, took), "{name} {asked}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_chunk_does_not_begin_an_answer() {
    let mut steps = often(&step(PING), 4);
    steps.extend([step(FIRST), step(LAST)]);
    let layer = layer().first_event_timeout(Duration::from_secs(100));
    assert_eq!(told(&layer, STREAM, steps).await, (false, 100));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_only_pings_is_bounded_by_the_total() {
    let layer = layer().total_timeout(Duration::from_secs(300));
    let mut steps = vec![step(FIRST)];
    steps.extend(often(&step(PING), 20));
    steps.push(step(LAST));
    for asked in [STREAM, ""] {
        let layer = layer.clone().convert();
        assert_eq!(told(&layer, asked, steps.clone()).await, (false, 300));
    }
}

/// What is translated inside tells by the tally what it heard, and sends nothing.
#[tokio::test(start_paused = true)]
async fn what_a_translation_has_heard_is_no_silence() {
    for (asked, hears, whole, took) in [
        (STREAM, true, true, 150),
        ("", true, true, 150),
        (STREAM, false, false, 60),
    ] {
        let tally = Tally::new();
        let kept = tally.clone();
        let inner = tower::service_fn(move |_: Request<ChatBody>| {
            let mut steps = vec![step(FIRST)];
            for _ in 0..4 {
                steps.extend([wait(30), Step::Pause]);
            }
            steps.extend([wait(30), step(LAST)]);
            let script = Script {
                steps: steps.into_iter(),
                sleep: None,
                dropped: Arc::default(),
            };
            let mut script = Box::pin(script);
            let tally = kept.clone();
            let body = futures_util::stream::poll_fn(move |cx| {
                let left = script.steps.len();
                let frame = script.as_mut().poll_frame(cx);
                if hears && script.steps.len() != left && frame.is_pending() {
                    tally.hear();
                }
                frame
            });
            let response = Response::builder()
                .header("content-type", SSE)
                .extension(kept.clone())
                .body(http_body_util::StreamBody::new(body))
                .expect("a response");
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let start = tokio::time::Instant::now();
        let service = layer().convert().layer(inner);
        let response = service.oneshot(ask(asked)).await.expect("infallible");
        let body = response.into_body().collect().await.expect("never fails");
        let out = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        assert_eq!(out.contains("\"stop\""), whole, "{out}");
        assert_eq!(start.elapsed().as_secs(), took);
        assert_eq!(tally.heard() > 0, hears);
    }
}

/// One that never pauses has its time asked for all the same.
#[tokio::test]
async fn an_upstream_that_pings_without_a_pause_is_over_in_time() {
    let inner = tower::service_fn(|_: Request<ChatBody>| {
        let mut said = Some(Bytes::from_static(FIRST.as_bytes()));
        let body = futures_util::stream::poll_fn(move |_| {
            let data = said.take().unwrap_or(Bytes::from_static(PING.as_bytes()));
            Poll::Ready(Some(Ok::<_, BoxError>(Frame::data(data))))
        });
        let response = Response::builder()
            .header("content-type", SSE)
            .body(http_body_util::StreamBody::new(body))
            .expect("a response");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = layer()
        .total_timeout(Duration::from_millis(20))
        .layer(inner);
    let response = service.oneshot(ask(STREAM)).await.expect("infallible");
    let body = response.into_body().collect().await.expect("never fails");
    let out = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
    assert!(out.contains("upstream_timeout"), "{out}");
}

/// While the client takes nothing, nobody asks the upstream for more.
#[tokio::test(start_paused = true)]
async fn the_time_that_a_client_takes_to_read_is_no_silence() {
    for (silent, whole, took) in [(0, true, 200), (50, true, 250), (70, false, 260)] {
        let start = tokio::time::Instant::now();
        let steps = vec![step(FIRST), Step::Pause, wait(silent), step(LAST)];
        let (answer, _) = answer(&layer(), STREAM, SSE, steps).await;
        let mut body = Box::pin(answer.into_body());
        let first = body.frame().await.expect("a frame").expect("never fails");
        assert!(first.into_data().expect("data").ends_with(b"\n\n"));
        tokio::time::advance(Duration::from_secs(200)).await;
        let rest = body.collect().await.expect("never fails").to_bytes();
        let out = String::from_utf8(rest.to_vec()).expect("UTF-8");
        assert_eq!(out.contains("[DONE]"), whole, "{out}");
        assert_eq!(out.contains("upstream_timeout"), !whole, "{out}");
        assert_eq!(start.elapsed().as_secs(), took);
    }
}

/// Nor is the time that it takes behind a comment, but the silence before that is one.
#[tokio::test(start_paused = true)]
async fn a_pause_behind_a_keep_alive_is_no_silence_either() {
    for (silent, whole, took) in [(30, true, 245), (50, false, 260)] {
        let start = tokio::time::Instant::now();
        let steps = vec![step(FIRST), wait(20), Step::Pause, wait(silent), step(LAST)];
        let layer = layer().keep_alive(Duration::from_secs(15));
        let (answer, _) = answer(&layer, STREAM, SSE, steps).await;
        let mut body = Box::pin(answer.into_body());
        for _ in ["the first event", "a comment"] {
            let frame = body.frame().await.expect("a frame").expect("never fails");
            assert!(frame.into_data().expect("data").ends_with(b"\n\n"));
        }
        assert_eq!(start.elapsed().as_secs(), 15);
        tokio::time::advance(Duration::from_secs(200)).await;
        let rest = body.collect().await.expect("never fails").to_bytes();
        let out = String::from_utf8(rest.to_vec()).expect("UTF-8");
        assert_eq!(out.contains("[DONE]"), whole, "{out}");
        assert_eq!(out.contains("upstream_timeout"), !whole, "{out}");
        assert_eq!(start.elapsed().as_secs(), took);
    }
}
