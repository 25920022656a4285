//! Seats of one answer: left and taken at the same moment, and who sits there woken.

use std::thread;

use super::{super::flight::Flight, super::service::Shared, *};
use crate::time::Reading;

#[test]
fn a_seat_is_nobody_elses_before_its_waker_is_gone() {
    let now = std::time::Instant::now();
    let shared = Arc::new(Shared::new(0, Duration::ZERO, Reading::new(move || now)));
    let key = shared.key(None, Bytes::new());
    type Call = std::future::Pending<Result<Response<Full>, Infallible>>;
    let flight = Arc::new(Flight::<Call, Full, Infallible>::new(None, key, shared, 0));
    let _first = flight.first();
    let second = flight.join(None).expect("a seat");
    let number = second.number();
    // Whoever leaves is held up where it takes its waker away.
    let wakers = flight.wakers().hold_up();
    let taken = thread::scope(|scope| {
        let leaves = scope.spawn(move || drop(second));
        while flight.is_taken(number) {
            thread::yield_now();
        }
        let comes = scope.spawn(|| flight.join(None).expect("a seat"));
        for _ in 0..1_000 {
            thread::yield_now();
        }
        let taken = comes.is_finished();
        drop(wakers);
        leaves.join().expect("no panic");
        let comes = comes.join().expect("no panic");
        taken && comes.number() == number
    });
    assert!(!taken);
}

/// What is no data is told to nobody, and who has seen it still waits for what follows.
#[tokio::test(start_paused = true)]
async fn who_is_given_trailers_is_woken_by_what_follows() {
    let (feed, mut fed) = mpsc::unbounded_channel::<Frame<Bytes>>();
    let fed = futures_util::stream::poll_fn(move |cx| {
        fed.poll_recv(cx).map(|frame| frame.map(Ok::<_, BoxError>))
    });
    let body = Arc::new(Mutex::new(Some(http_body_util::StreamBody::new(fed))));
    let inner = service_fn(move |_: Request<crate::parse::ChatBody>| {
        let body = body.lock().expect("sound").take().expect("asked once");
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let service = CacheLayer::new(Duration::from_secs(60)).layer(inner);
    let request = Request::new(Full::new(r#"{"model":"m","messages":[]}"#));
    let answer = service.oneshot(request).await.expect("infallible");
    feed.send(Frame::trailers(http::HeaderMap::new()))
        .expect("open");
    let read = tokio::spawn(answer.into_body().collect());
    tokio::task::yield_now().await;
    feed.send(Frame::data(Bytes::from_static(b"text")))
        .expect("open");
    drop(feed);
    let read = tokio::time::timeout(Duration::from_secs(1), read).await;
    let read = read.expect("woken").expect("no panic").expect("whole");
    assert_eq!(read.to_bytes(), "text");
}
