//! Seats of one answer: left and taken at the same moment, and who sits there woken.

use std::{
    sync::atomic::AtomicBool,
    task::{Wake, Waker},
    thread,
};

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

type Answer = Pin<Box<dyn Future<Output = Result<Response<Fed>, Infallible>> + Send>>;

/// The last waker of a task that has a seat, too: notes whether that can be left where the task is dropped.
struct Leaves {
    flight: Arc<Flight<Answer, Fed, Infallible>>,
    free: Arc<AtomicBool>,
}

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.free.store(!self.flight.is_held(), Ordering::Relaxed);
    }
}

#[test]
fn a_task_that_nobody_is_to_wake_any_more_may_leave_its_seat_at_once() {
    let now = std::time::Instant::now();
    let shared = Arc::new(Shared::new(0, Duration::ZERO, Reading::new(move || now)));
    let key = shared.key(None, Bytes::new());
    let flight = Arc::new(Flight::<Answer, Fed, _>::new(None, key, shared, 0));
    let mut reader = flight.first();
    let free = Arc::<AtomicBool>::default();
    // Asked by one task, then by another: the first one's waker is the last that is left of it.
    let asked_by_two = |ask: &mut dyn FnMut(&mut Context<'_>)| {
        free.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::new(Leaves {
            flight: Arc::clone(&flight),
            free: Arc::clone(&free),
        }));
        ask(&mut Context::from_waker(&waker));
        drop(waker);
        ask(&mut Context::from_waker(Waker::noop()));
        free.load(Ordering::Relaxed)
    };
    let due = asked_by_two(&mut |cx| assert!(reader.poll_head(cx).is_pending()));
    assert!(due, "before it begins");

    let (answer, answered) = tokio::sync::oneshot::channel();
    reader.begin(Box::pin(async { Ok(answered.await.expect("sent")) }));
    let head = asked_by_two(&mut |cx| assert!(reader.poll_head(cx).is_pending()));
    assert!(head, "for the head");

    let (_feed, fed) = mpsc::unbounded_channel();
    let body = Fed(fed, Arc::new(AtomicU32::new(1)));
    assert!(answer.send(Response::new(body)).is_ok());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reader.poll_head(&mut cx).is_ready());
    let frame = asked_by_two(&mut |cx| assert!(reader.poll_frame(cx).is_pending()));
    assert!(frame, "for a frame");
}

/// Notes whether a flight can be asked where this is dropped.
struct Ends {
    is_held: Box<dyn Fn() -> bool + Send>,
    free: Arc<AtomicBool>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.free.store(!(self.is_held)(), Ordering::Relaxed);
    }
}

/// A body without a frame.
struct Empty(#[expect(dead_code, reason = "dropped with it")] Ends);

impl Body for Empty {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[test]
fn a_call_and_a_body_that_are_over_are_dropped_where_nothing_is_locked() {
    type Call = Pin<Box<dyn Future<Output = Result<Response<Empty>, Infallible>> + Send>>;
    let now = std::time::Instant::now();
    let shared = Arc::new(Shared::new(0, Duration::ZERO, Reading::new(move || now)));
    let key = shared.key(None, Bytes::new());
    let flight = Arc::new(Flight::<Call, Empty, _>::new(None, key, shared, 0));
    let ends = |free: &Arc<AtomicBool>| {
        let flight = Arc::clone(&flight);
        Ends {
            is_held: Box::new(move || flight.is_held()),
            free: Arc::clone(free),
        }
    };
    let [of_call, of_body] = [Arc::<AtomicBool>::default(), Arc::default()];
    let (call, mut body) = (ends(&of_call), Some(Empty(ends(&of_body))));
    let mut reader = flight.first();
    reader.begin(Box::pin(std::future::poll_fn(move |_| {
        let _until_it_is_dropped = &call;
        let body = body.take().expect("asked once");
        Poll::Ready(Ok(Response::new(body)))
    })));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reader.poll_head(&mut cx).is_ready());
    assert!(of_call.load(Ordering::Relaxed), "the call");
    assert!(matches!(reader.poll_frame(&mut cx), Poll::Ready(None)));
    assert!(of_body.load(Ordering::Relaxed), "the body");
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
