use std::{
    future::poll_fn,
    sync::{
        TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

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
