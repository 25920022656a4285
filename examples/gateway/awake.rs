//! A connection that is polled again at once when it has woken itself.
//!
//! hyper hands the body of a request to the service through a channel, both ends of which belong to
//! one task here, for the gateway reads the whole body before it asks anybody. Each piece so wakes the
//! task that is running. To tokio that is a task that yields: it goes behind all others, where it could
//! go on at once. (In a runtime of several threads another worker is woken to take it besides, which
//! costs more than to read the body.)
//!
//! Whoever takes the last piece asks for one more all the same, which there is not: the connection would
//! be polled for nothing, with the whole gateway in it and right behind the poll in which that has asked its
//! upstream. So the last bytes of a [`Received`] wake nobody.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How often a connection may go on before others have their turn.
const TURNS: usize = 8;

const RESTING: u8 = 0;
const POLLED: u8 = 1;
/// Woken, and not polled since.
const WOKEN: u8 = 2;

#[derive(Default)]
struct State {
    phase: AtomicU8,
    /// Of the task that it is polled in, which hardly ever is another one later.
    first: OnceLock<Waker>,
    /// Of the task that it is polled in now, if it is another one.
    other: AtomicWaker,
    moved: AtomicBool,
}

impl State {
    fn task(&self, waker: &Waker) {
        if self.first.get_or_init(|| waker.clone()).will_wake(waker) {
            if self.moved.load(Ordering::Acquire) {
                self.other.register(waker);
            }
            return;
        }
        self.other.register(waker);
        self.moved.store(true, Ordering::Release);
    }

    fn wake_task(&self) {
        if self.moved.load(Ordering::Acquire) {
            self.other.wake();
        } else if let Some(waker) = self.first.get() {
            waker.wake_by_ref();
        }
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if Reading::keeps(self) {
            return;
        }
        if self.phase.swap(WOKEN, Ordering::AcqRel) == RESTING {
            self.wake_task();
        }
    }
}

pin_project! {
    /// See the [module](self).
    pub struct Awake<F> {
        #[pin]
        inner: F,
        state: Arc<State>,
        waker: Waker,
    }
}

impl<F> Awake<F> {
    pub fn new(inner: F) -> Self {
        let state = Arc::new(State::default());
        let waker = Waker::from(Arc::clone(&state));
        Self {
            inner,
            state,
            waker,
        }
    }
}

impl<F: Future> Future for Awake<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.state.task(cx.waker());
        let mut own = Context::from_waker(this.waker);
        for _ in 0..TURNS {
            this.state.phase.store(POLLED, Ordering::Release);
            if let Poll::Ready(output) = this.inner.as_mut().poll(&mut own) {
                return Poll::Ready(output);
            }
            let rests = this.state.phase.compare_exchange(
                POLLED,
                RESTING,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if rests.is_ok() {
                return Poll::Pending;
            }
        }
        this.state.phase.store(WOKEN, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

pin_project! {
    /// The body of a request on such a connection, read in the task of that.
    pub struct Received<B> {
        #[pin]
        inner: B,
    }
}

impl<B> Received<B> {
    pub const fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: Body<Data = Bytes>> Body for Received<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut inner = self.project().inner;
        let reading = Reading::begin();
        let polled = inner.as_mut().poll_frame(cx);
        if let Some(woken) = reading.woken().filter(|_| !inner.is_end_stream()) {
            woken.wake_by_ref();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body is being read on this thread: what wakes a connection meanwhile on this thread is that body.
struct Reading(());

#[derive(Default)]
enum Reads {
    #[default]
    Nothing,
    Silent,
    /// Whom it has woken. Who polls the body may be another: a layer that only looks at what is there is nobody
    /// to be woken.
    Woke(Arc<State>),
}

thread_local! {
    static READING: Cell<Reads> = const { Cell::new(Reads::Nothing) };
}

impl Reading {
    fn begin() -> Self {
        READING.set(Reads::Silent);
        Self(())
    }

    /// Whether a wake-up is kept here, for now.
    fn keeps(woken: &Arc<State>) -> bool {
        let keeps = |reading: &Cell<Reads>| match reading.take() {
            Reads::Nothing => false,
            Reads::Silent => {
                reading.set(Reads::Woke(Arc::clone(woken)));
                true
            }
            Reads::Woke(first) => {
                let same = Arc::ptr_eq(&first, woken);
                reading.set(Reads::Woke(first));
                same
            }
        };
        // A thread that ends reads nothing.
        READING.try_with(keeps).unwrap_or(false)
    }

    /// Ends it: who was to be woken.
    fn woken(self) -> Option<Arc<State>> {
        match READING.take() {
            Reads::Woke(state) => Some(state),
            Reads::Nothing | Reads::Silent => None,
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(Reads::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::atomic::AtomicUsize};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn polled<F: Future + Unpin>(future: &mut Awake<F>) -> (Poll<F::Output>, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let poll = Pin::new(future).poll(&mut Context::from_waker(&waker));
        (poll, count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn who_wakes_itself_goes_on() {
        let mut left = 3;
        let mut future = Awake::new(poll_fn(move |cx| {
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        assert_eq!(polled(&mut future), (Poll::Ready(()), 0));
    }

    #[test]
    fn but_not_for_ever() {
        let mut future = Awake::new(poll_fn(|cx| -> Poll<()> {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        assert_eq!(polled(&mut future), (Poll::Pending, 1));
    }

    #[test]
    fn who_is_woken_at_rest_wakes_the_task() {
        let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let keep = Arc::clone(&kept);
        let mut future = Awake::new(poll_fn(move |cx| -> Poll<()> {
            *keep.lock().expect("unpoisoned") = Some(cx.waker().clone());
            Poll::Pending
        }));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        for polls in 0..3 {
            assert!(
                Pin::new(&mut future)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            let inner = kept.lock().expect("unpoisoned").clone().expect("kept");
            inner.wake_by_ref();
            inner.wake();
            assert_eq!(count.0.load(Ordering::Relaxed), polls + 1);
        }
    }

    #[test]
    fn who_is_polled_in_another_task_wakes_that_one() {
        let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let keep = Arc::clone(&kept);
        let mut future = Awake::new(poll_fn(move |cx| -> Poll<()> {
            *keep.lock().expect("unpoisoned") = Some(cx.waker().clone());
            Poll::Pending
        }));
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let wakers = counts.clone().map(Waker::from);
        for (at, woken) in [(0, [1, 0]), (1, [1, 1]), (0, [2, 1]), (1, [2, 2])] {
            let mut cx = Context::from_waker(&wakers[at]);
            assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
            let inner = kept.lock().expect("unpoisoned").clone().expect("kept");
            inner.wake();
            let seen = counts.each_ref().map(|one| one.0.load(Ordering::Relaxed));
            assert_eq!(seen, woken);
        }
    }

    /// A body that wakes who has it sent with each piece that is taken, as hyper's does.
    struct Pieces {
        left: usize,
        sender: Waker,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.left -= 1;
            self.sender.wake_by_ref();
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }

        fn is_end_stream(&self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn the_last_piece_of_a_body_wakes_nobody_and_all_else_does() {
        let mut body = None;
        let (mut polls, mut take) = (0, true);
        let mut future = Awake::new(poll_fn(|cx| -> Poll<()> {
            polls += 1;
            let body = body.get_or_insert_with(|| {
                Received::new(Pieces {
                    left: 3,
                    sender: cx.waker().clone(),
                })
            });
            if !body.is_end_stream() {
                assert!(Pin::new(&mut *body).poll_frame(cx).is_ready());
            } else if std::mem::take(&mut take) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        // Woken by two of the three pieces.
        assert_eq!(polled(&mut future), (Poll::Pending, 0));
        // And by what has nothing to do with it.
        assert_eq!(polled(&mut future), (Poll::Pending, 0));
        drop(future);
        assert_eq!(polls, 3 + 2);
    }

    /// `Parse` looks at what is there before there is anybody to be woken.
    #[test]
    fn a_look_for_nobody_wakes_the_connection() {
        let mut polls = 0;
        let mut future = Awake::new(poll_fn(|cx| -> Poll<()> {
            polls += 1;
            if polls == 1 {
                let sender = cx.waker().clone();
                let body = Received::new(Pieces { left: 2, sender });
                let mut nobody = Context::from_waker(Waker::noop());
                assert!(pin!(body).poll_frame(&mut nobody).is_ready());
            }
            Poll::Pending
        }));
        assert_eq!(polled(&mut future), (Poll::Pending, 0));
        drop(future);
        assert_eq!(polls, 2);
    }
}
