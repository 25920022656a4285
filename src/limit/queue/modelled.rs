//! The queue under a model of its locks: what frees a slot and who waits for it, step by step in every
//! order, up to two interruptions of each thread. No clock runs, so that a wake-up that is lost is
//! lost for good, and the model finds a thread that waits for ever.

mod sync {
    pub(super) use loom::sync::{Mutex, atomic};
    pub(super) use std::sync::PoisonError;
}

#[expect(clippy::duplicate_mod, reason = "the same file over other locks")]
#[allow(dead_code, reason = "not all of it is tried here")]
#[allow(unreachable_pub, reason = "public where it is no model")]
#[path = "hold.rs"]
mod hold;
#[expect(clippy::duplicate_mod, reason = "the same file over other locks")]
#[allow(dead_code, reason = "not all of it is tried here")]
#[allow(unreachable_pub, reason = "public where it is no model")]
#[path = "shared.rs"]
mod shared;
#[expect(clippy::duplicate_mod, reason = "the same file over other locks")]
#[allow(dead_code, reason = "not all of it is tried here")]
#[allow(unreachable_pub, reason = "public where it is no model")]
#[path = "store.rs"]
mod store;
#[expect(clippy::duplicate_mod, reason = "the same file over other locks")]
#[allow(dead_code, reason = "not all of it is tried here")]
#[allow(unreachable_pub, reason = "public where it is no model")]
#[path = "take.rs"]
mod take;

use std::{
    future::{Future, Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use loom::{
    sync::{Mutex, Notify},
    thread,
};

use self::store::Queue;
use super::{line, places};
use crate::{
    error::Error,
    limit::{Ask, Decision, Demand, Hold, Key, Limits, Refusal, Report, Retry, Store, Weights},
    time::Timer,
};

/// A store of so many slots, whoever asks.
#[derive(Clone)]
struct Slots(Arc<Mutex<u32>>);

impl Store for Slots {
    type Hold = Slot;
    type Take = Ready<Result<Decision<Slot>, Error>>;

    fn take(&self, ask: Ask) -> Self::Take {
        let mut free = self.0.lock().expect("unpoisoned");
        ready(Ok(if *free == 0 {
            // The limit of all, whoever it is.
            let rule = Arc::clone(&ask.demands()[1].rule);
            let report = Report::default();
            Decision::Refused(Refusal::new(rule, None, Retry::Release, report))
        } else {
            *free -= 1;
            Decision::Admitted(Slot(self.clone()), Report::default())
        }))
    }
}

struct Slot(Slots);

impl Hold for Slot {
    fn settle(self, _: &Weights) {}
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.0.lock().expect("unpoisoned") += 1;
    }
}

/// A clock that stands.
#[derive(Clone)]
struct Still(Instant);

impl Timer for Still {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Instant {
        self.0
    }

    fn sleep_until(&self, _: Instant) -> Self::Sleep {
        std::future::pending()
    }
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Arc::new(Bell(Notify::new()));
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => bell.0.wait(),
        }
    }
}

type Modelled = Queue<Slots, Still>;

fn queue(slots: u32) -> Modelled {
    Queue::with_timer(Slots(Arc::new(Mutex::new(slots))), Still(Instant::now()))
}

fn ask(key: &str) -> Ask {
    let demand = |rule: &str, key: &str| Demand {
        rule: rule.into(),
        key: Key::new(key),
        limits: Limits::new().max_concurrent(1),
    };
    let demands = [demand("key", key), demand("global", "*")];
    Ask::new(demands, Weights::new().with_slot())
}

/// Waits for a slot and gives it back.
fn through(queue: &Modelled, key: &str) {
    let decision = block_on(queue.take(ask(key)));
    assert!(matches!(decision, Ok(Decision::Admitted(..))));
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

fn free(queue: &Modelled) -> u32 {
    *queue.store().0.lock().expect("unpoisoned")
}

#[test]
fn whoever_waits_is_told_of_a_freed_slot() {
    model(|| {
        let queue = queue(1);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || through(&queue, "a"))
        };
        through(&queue, "b");
        other.join().expect("no panic");
        assert_eq!((free(&queue), queue.stats().waiting), (1, 0));
    });
}

#[test]
fn whoever_leaves_the_line_passes_its_turn_on() {
    model(|| {
        let queue = queue(1);
        let Ok(Decision::Admitted(hold, _)) = block_on(queue.take(ask("a"))) else {
            panic!("nothing is taken");
        };
        let waits = {
            let queue = queue.clone();
            thread::spawn(move || through(&queue, "a"))
        };
        let leaves = {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut take = pin!(queue.take(ask("a")));
                // Admitted or not, it is gone after this.
                let _ = take.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        drop(hold);
        leaves.join().expect("no panic");
        waits.join().expect("no panic");
        assert_eq!((free(&queue), queue.stats().waiting), (1, 0));
    });
}

#[test]
fn a_slot_freed_while_another_is_tried_for_is_not_overlooked() {
    model(|| {
        let queue = queue(2);
        let take = || match block_on(queue.take(ask("a"))) {
            Ok(Decision::Admitted(hold, _)) => hold,
            _ => panic!("there are two"),
        };
        let (first, second) = (take(), take());
        let waits = |key| {
            let queue = queue.clone();
            thread::spawn(move || through(&queue, key))
        };
        let others = [waits("b"), waits("c")];
        drop(first);
        drop(second);
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!((free(&queue), queue.stats().waiting), (2, 0));
    });
}
