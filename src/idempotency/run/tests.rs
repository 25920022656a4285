use std::{
    future::poll_fn,
    sync::{
        TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use http_body::Frame;

use super::*;

/// Notes whether the run can be asked from where it is woken.
struct Asks {
    run: Arc<Run>,
    free: AtomicBool,
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        let locked = matches!(self.run.state.try_lock(), Err(TryLockError::WouldBlock));
        self.free.store(!locked, Ordering::Relaxed);
    }
}

#[test]
fn who_is_woken_by_a_failure_or_a_panic_may_ask_at_once() {
    for panics in [false, true] {
        let mut polls = 0;
        let call: Call = Box::pin(poll_fn(move |_| {
            polls += 1;
            assert!(polls == 1 || !panics, "the code inside panics");
            match polls {
                1 => Poll::Pending,
                _ => Poll::Ready(Err(Box::new(()) as Box<dyn Any + Send>)),
            }
        }));
        let open = Arc::new(Open::new(0, None));
        let run = Arc::new(Run::new([0; 32], 0, open, call, None));
        let (one, other) = (run.enter().expect("a seat"), run.enter().expect("a seat"));
        let asks = Arc::new(Asks {
            run: Arc::clone(&run),
            free: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&asks));
        let polled = run.poll_head(other, &mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.poll_head(one, &mut Context::from_waker(Waker::noop()))
                .is_ready()
        }));
        assert_eq!(polled.is_err(), panics);
        run.leave(one, &Payer::first());
        assert!(asks.free.load(Ordering::Relaxed), "{panics}");
    }
}

/// The last waker of a task that has a seat, too: notes whether that can be left where the task is dropped.
struct Leaves {
    run: Arc<Run>,
    free: Arc<AtomicBool>,
}

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let locked = matches!(self.run.state.try_lock(), Err(TryLockError::WouldBlock));
        let free = !locked && !self.run.wakers.is_held();
        self.free.store(free, Ordering::Relaxed);
    }
}

#[test]
fn a_task_that_nobody_is_to_wake_any_more_may_leave_at_once() {
    let call: Call = Box::pin(async {
        for _ in 0..2 {
            let mut asked = false;
            poll_fn(|_| match std::mem::replace(&mut asked, true) {
                false => Poll::Pending,
                true => Poll::Ready(()),
            })
            .await;
        }
        Ok(Response::new(BoxBody::new(Drip(None))))
    });
    let open = Arc::new(Open::new(100, None));
    let run = Arc::new(Run::new([0; 32], 100, open, call, None));
    let place = run.enter().expect("a seat");
    let free = Arc::<AtomicBool>::default();
    // Asked by one task, then by another: the first one's waker is the last that is left of it.
    let asked_by_two = |ask: &mut dyn FnMut(&mut Context<'_>)| {
        free.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::new(Leaves {
            run: Arc::clone(&run),
            free: Arc::clone(&free),
        }));
        ask(&mut Context::from_waker(&waker));
        drop(waker);
        ask(&mut Context::from_waker(Waker::noop()));
        free.load(Ordering::Relaxed)
    };
    assert!(asked_by_two(&mut |cx| assert!(
        run.poll_head(place, cx).is_pending()
    )));
    let head = run.poll_head(place, &mut Context::from_waker(Waker::noop()));
    assert!(head.is_ready());
    let mut at = 0;
    assert!(asked_by_two(&mut |cx| {
        assert!(run.poll_read(place, &mut at, cx).is_pending());
    }));
}

/// A body whose length is known, of nothing.
struct Empty {
    is_end: bool,
    _leaves: Leaves,
}

impl Body for Empty {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.is_end
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(0)
    }
}

#[test]
fn a_body_that_is_over_with_its_head_is_dropped_where_nothing_is_locked() {
    for is_end in [false, true] {
        let body = Arc::new(Mutex::new(None));
        let taken = Arc::clone(&body);
        let call: Call = Box::pin(poll_fn(move |_| {
            let body = taken.lock().expect("sound").take();
            Poll::Ready(Ok(Response::new(body.expect("asked once"))))
        }));
        let open = Arc::new(Open::new(100, None));
        let run = Arc::new(Run::new([0; 32], 100, open, call, None));
        let free = Arc::<AtomicBool>::default();
        *body.lock().expect("sound") = Some(BoxBody::new(Empty {
            is_end,
            _leaves: Leaves {
                run: Arc::clone(&run),
                free: Arc::clone(&free),
            },
        }));
        let place = run.enter().expect("a seat");
        let head = run.poll_head(place, &mut Context::from_waker(Waker::noop()));
        assert!(matches!(head, Poll::Ready((Began::First(_), Now::Kept(0)))));
        assert!(free.load(Ordering::Relaxed), "{is_end}");
    }
}

/// Notes that it has been woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One piece, and no end.
struct Drip(Option<Bytes>);

impl Body for Drip {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = self.0.take();
        piece.map_or(Poll::Pending, |piece| {
            Poll::Ready(Some(Ok(Frame::data(piece))))
        })
    }
}

#[test]
fn what_one_reads_wakes_the_others_and_not_itself() {
    let call: Call = Box::pin(async {
        let body = BoxBody::new(Drip(Some("piece".into())));
        Ok(Response::new(body))
    });
    let open = Arc::new(Open::new(100, None));
    let run = Run::new([0; 32], 100, open, call, None);
    let places = [run.enter().expect("a seat"), run.enter().expect("a seat")];
    let [one, other] = [Arc::<Woken>::default(), Arc::default()];
    let woken = || [&one, &other].map(|it| it.0.swap(false, Ordering::Relaxed));
    let wakers = [
        Waker::from(Arc::clone(&one)),
        Waker::from(Arc::clone(&other)),
    ];
    let mut contexts = wakers.each_ref().map(Context::from_waker);
    assert!(run.poll_head(places[0], &mut contexts[0]).is_ready());
    assert_eq!(woken(), [false, false]);
    assert!(run.wakers.wait(places[1], &wakers[1]).is_none());
    let mut at = 0;
    let read = run.poll_read(places[0], &mut at, &mut contexts[0]);
    assert!(matches!(read, Poll::Ready((Read::Bytes(_), Now::Open))));
    assert_eq!(woken(), [false, true]);
    assert!(
        run.poll_read(places[0], &mut at, &mut contexts[0])
            .is_pending()
    );
    assert_eq!(woken(), [false, false]);
}
