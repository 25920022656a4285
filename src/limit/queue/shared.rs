//! The line as all clones of a queue share it, and the places in it.

use std::sync::Arc;

use super::{
    line::{Line, Place, Woken},
    places::{cost, place, places},
    store::Queue,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use crate::limit::{Ask, Refusal};

/// What all clones share.
///
/// Whoever frees a place looks at `waiting` afterwards, whoever is refused writes it and then tries
/// once more: whichever of the two asks the store first, the other sees what it did before. So nobody
/// falls asleep beside a free place (the model of `modelled` shows it), and the stores behind it need
/// only be consistent with themselves.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) line: Mutex<Line>,
    /// How many wait: nobody locks an empty line.
    pub(super) waiting: AtomicUsize,
    pub(super) waited: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) full: AtomicU64,
}

impl Shared {
    /// Does something with the line, then wakes whose turn has come.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Line) -> (R, Woken)) -> R {
        let (result, woken) = {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let done = change(&mut line);
            self.waiting.store(line.waiting(), Ordering::SeqCst);
            done
        };
        for waker in woken {
            waker.wake();
        }
        result
    }

    pub(super) fn freed(&self, places: &[Place]) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.with(|line| ((), line.freed(places)));
        }
    }
}

/// A place in line, left when dropped.
pub(super) struct Ticket {
    pub(super) lane: Place,
    pub(super) id: u64,
    shared: Arc<Shared>,
    pub(super) served: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _waker = self
            .shared
            .with(|line| line.leave(&self.lane, self.id, self.served));
    }
}

impl<St, T> Queue<St, T> {
    /// A place in line; where there is none left, what the first of its key was told last.
    pub(super) fn join(&self, ask: &Ask) -> Result<Ticket, Option<Box<Refusal>>> {
        let places = places(ask);
        let lane = places
            .first()
            .map_or_else(|| place(&ask.demands[0], ask), Place::clone);
        let cost = cost(&ask.weights);
        self.shared.with(|line| {
            if line.waiting() >= self.total || line.waiting_under(&lane) >= self.length {
                return (Err(line.told(&lane).map(Box::new)), Woken::new());
            }
            let weight = (self.weight)(&lane.1);
            let (id, woken) = line.join(lane.clone(), places, cost, weight);
            let ticket = Ticket {
                lane,
                id,
                shared: Arc::clone(&self.shared),
                served: false,
            };
            (Ok(ticket), woken)
        })
    }
}
