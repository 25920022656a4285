//! Times that are over, and clocks that are looked at.

use super::*;

#[tokio::test(start_paused = true)]
async fn silence_is_filled_and_then_ended() {
    let seconds = Duration::from_secs;
    let steps = vec![
        Step::Wait(seconds(20)),
        step(FIRST),
        Step::Wait(seconds(31)),
        step(": a comment is no event\n\n"),
        Step::Hang,
    ];
    let start = tokio::time::Instant::now();
    let (slow, dropped) = answer(&layer(), STREAM, SSE, steps).await;
    let out = frames(slow).await;
    assert_eq!(out.len(), 5, "{out:?}");
    assert_eq!(out[0], FIRST);
    assert!(out[1..4].iter().all(|frame| frame == ": keep-alive\n\n"));
    assert!(out[4].contains("upstream_timeout"));
    assert_eq!(start.elapsed().as_secs(), 80);
    assert!(dropped.load(Ordering::SeqCst));

    // Nothing goes out before the first event.
    let start = tokio::time::Instant::now();
    let (silent, _) = answer(
        &layer(),
        STREAM,
        SSE,
        vec![step(": queued\n\n"), Step::Hang],
    )
    .await;
    assert_eq!(frames(silent).await.len(), 1);
    assert_eq!(start.elapsed().as_secs(), 30);

    // The whole has its time too, whether there are pauses or not.
    let short = layer().total_timeout(seconds(3)).keep_alive(None);
    let often = vec![[Step::Wait(seconds(1)), step(FIRST)]; 9].concat();
    let (long, _) = answer(&short, STREAM, SSE, often).await;
    let out = frames(long).await;
    assert_eq!(out.len(), 3, "{out:?}");
    assert!(out[2].contains("took too long"));
}

#[tokio::test(start_paused = true)]
async fn a_comment_never_stands_inside_an_event() {
    let seconds = Duration::from_secs;
    let (a, b) = FIRST.split_at(20);
    let pause = Step::Wait(seconds(16));
    let steps = vec![
        step(FIRST),
        step(a),
        pause.clone(),
        step(b),
        pause,
        step(LAST),
    ];
    let (answer, _) = answer(&layer(), STREAM, SSE, steps).await;
    let comment = ": keep-alive\n\n";
    assert_eq!(frames(answer).await, [FIRST, comment, FIRST, comment, LAST]);
}

/// Counts the sleeps that are asked for.
#[derive(Clone, Debug, Default)]
struct Counted {
    timer: crate::time::DefaultTimer,
    sleeps: Arc<std::sync::atomic::AtomicUsize>,
}

impl crate::time::Timer for Counted {
    type Sleep = <crate::time::DefaultTimer as crate::time::Timer>::Sleep;

    fn now(&self) -> std::time::Instant {
        self.timer.now()
    }

    fn sleep_until(&self, at: std::time::Instant) -> Self::Sleep {
        self.sleeps.fetch_add(1, Ordering::SeqCst);
        self.timer.sleep_until(at)
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_upstream_and_timers_wait_for_silence() {
    let timer = Counted::default();
    let sleeps = || timer.sleeps.load(Ordering::SeqCst);
    let given = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    let mut reads = Some(move |at: usize| {
        counted.fetch_add(1, Ordering::SeqCst);
        (at < 100).then(|| Bytes::from_static(FIRST.as_bytes()))
    });
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let read = reads.take().expect("called once");
        let mut at = 0;
        let body = futures_util::stream::poll_fn(move |_| {
            at += 1;
            // After a hundred reads it says nothing more.
            match read(at - 1) {
                Some(data) => Poll::Ready(Some(Ok::<_, BoxError>(Frame::data(data)))),
                None => Poll::Pending,
            }
        });
        let response = Response::builder()
            .header("content-type", SSE)
            .body(http_body_util::StreamBody::new(body))
            .expect("a response");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let response = layer()
        .timer(timer.clone())
        .layer(inner)
        .oneshot(ask(STREAM));
    let mut body = Box::pin(response.await.expect("infallible").into_body());
    let mut cx = Context::from_waker(Waker::noop());
    for frames in 1..=100 {
        assert!(body.as_mut().poll_frame(&mut cx).is_ready());
        assert_eq!(given.load(Ordering::SeqCst), frames, "one read a frame");
    }
    assert_eq!(sleeps(), 0, "nothing is waited for");
    for _ in 0..10 {
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
        assert_eq!(sleeps(), 1, "one sleep serves every poll of a silence");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_folded_has_its_times_too() {
    let both = layer().convert();
    let seconds = Duration::from_secs;
    for (steps, after) in [
        (vec![step(": queued\n\n"), Step::Hang], 30),
        (vec![step(FIRST), Step::Hang], 60),
        (
            vec![[step(FIRST), Step::Wait(seconds(50))]; 20].concat(),
            600,
        ),
    ] {
        let start = tokio::time::Instant::now();
        let (late, dropped) = answer(&both, "", SSE, steps).await;
        assert_eq!(
            (late.status().as_u16(), start.elapsed().as_secs()),
            (504, after)
        );
        assert!(dropped.load(Ordering::SeqCst));
    }
    // One answer has no events to wait for, only its end.
    let start = tokio::time::Instant::now();
    let (late, _) = answer(&layer(), "", "application/json", vec![Step::Hang]).await;
    assert_eq!(
        (late.status().as_u16(), start.elapsed().as_secs()),
        (504, 600)
    );
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_never_answers_is_given_up() {
    for asked in [STREAM, ""] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let inner = tower::service_fn(move |_: Request<ChatBody>| {
            let kept = Script {
                steps: Vec::new().into_iter(),
                sleep: None,
                dropped: Arc::clone(&flag),
            };
            async move {
                let _kept = kept;
                std::future::pending::<Result<Response<Script>, Infallible>>().await
            }
        });
        let start = tokio::time::Instant::now();
        let service = layer().total_timeout(Duration::from_secs(7)).layer(inner);
        let response = service.oneshot(ask(asked)).await.expect("infallible");
        assert_eq!(
            (response.status().as_u16(), start.elapsed().as_secs()),
            (504, 7)
        );
        let error = response.extensions().get::<Error>().expect("a refusal");
        assert_eq!(error.code(), Some("upstream_timeout"));
        assert!(dropped.load(Ordering::SeqCst));
    }
}
