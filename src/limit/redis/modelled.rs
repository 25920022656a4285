//! How requests share the call for a lease, and what ends an outage, under a model: in every order, up
//! to two interruptions of each thread. What a thread waits for in vain it waits for for ever, which
//! the model finds.

mod sync {
    pub(super) use loom::sync::atomic;
}

#[expect(clippy::duplicate_mod, reason = "the same file over other atomics")]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "used and public where it is no model"
)]
#[path = "health.rs"]
mod health;

use std::sync::Arc;

use loom::{
    sync::{Mutex, Notify},
    thread,
};

use self::health::{Fault, Health};
use super::{Outage, asking::Asking};

/// As [`Leased`](super::Leased) has it: what was leased, and who waits for more, under one lock.
struct State {
    have: u32,
    asking: Asking<Arc<Notify>>,
}

struct Leased {
    state: Mutex<State>,
    /// What is left where it is leased from.
    left: Mutex<u32>,
}

impl Leased {
    fn new(left: u32) -> Arc<Self> {
        let asking = Asking::Idle;
        Arc::new(Self {
            state: Mutex::new(State { have: 0, asking }),
            left: Mutex::new(left),
        })
    }

    /// The call, in a thread of its own: up to so many.
    fn fetch(&self, slice: u32) {
        let granted = {
            let mut left = self.left.lock().expect("unpoisoned");
            let granted = slice.min(*left);
            *left -= granted;
            granted
        };
        let waiting = {
            let mut state = self.state.lock().expect("unpoisoned");
            state.have += granted;
            state.asking.over()
        };
        for waiting in waiting {
            waiting.notify();
        }
    }

    fn try_now(&self) -> bool {
        let mut state = self.state.lock().expect("unpoisoned");
        let enough = state.have > 0;
        state.have -= u32::from(enough);
        enough
    }

    /// Takes one, leasing when there is none; whether it got it.
    fn take(self: &Arc<Self>, slice: u32) -> bool {
        loop {
            if self.try_now() {
                return true;
            }
            let bell = Arc::new(Notify::new());
            let ours = {
                let mut state = self.state.lock().expect("unpoisoned");
                state.asking.join(Some(Arc::clone(&bell)))
            };
            let call = ours.then(|| {
                let own = Arc::clone(self);
                thread::spawn(move || own.fetch(slice))
            });
            bell.wait();
            if let Some(call) = call {
                call.join().expect("no panic");
                // What it asked for is not to be had.
                return self.try_now();
            }
        }
    }
}

/// Two that take at once; how many got it, and the lease afterwards.
fn both(left: u32, slice: u32) -> (u32, Arc<Leased>) {
    let leased = Leased::new(left);
    let other = {
        let leased = Arc::clone(&leased);
        thread::spawn(move || leased.take(slice))
    };
    let own = leased.take(slice);
    let other = other.join().expect("no panic");
    (u32::from(own) + u32::from(other), leased)
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

#[test]
fn whoever_waits_for_a_call_hears_of_its_end() {
    model(|| {
        let (got, leased) = both(4, 2);
        let state = leased.state.lock().expect("unpoisoned");
        let left = *leased.left.lock().expect("unpoisoned");
        assert!(got >= 1, "there was enough for both");
        assert_eq!(got + state.have + left, 4);
        assert!(!state.asking.is_on());
    });
}

#[test]
fn no_more_is_given_out_than_was_leased() {
    model(|| {
        let (got, leased) = both(1, 1);
        let state = leased.state.lock().expect("unpoisoned");
        let left = *leased.left.lock().expect("unpoisoned");
        assert_eq!((got, state.have, left), (1, 0, 0));
        assert!(!state.asking.is_on());
    });
}

#[test]
fn an_answer_ends_an_outage_whatever_failed_beside_the_one_before() {
    model(|| {
        let health = Arc::new(Health::default());
        let fail = |health: &Health| health.ill(Fault::Gone, Outage::LocalShare);
        fail(&health);
        fail(&health);
        let other = {
            let health = Arc::clone(&health);
            thread::spawn(move || fail(&health))
        };
        health.well();
        other.join().expect("no panic");
        health.well();
        assert!(!health.is_suspended());
    });
}
