use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::run::{Call, Now, Open, Run};

/// Whose key it is, and the key.
pub(super) type Key = (Arc<str>, Box<str>);

#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) keep: Duration,
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) answer: usize,
    pub(super) now: fn() -> Instant,
}

/// All runs by their keys.
pub(super) struct Store {
    limits: Limits,
    open: Arc<Open>,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    by_key: HashMap<Key, Arc<Run>>,
    /// The answers that are kept, oldest first: until when, and how large.
    kept: VecDeque<(Instant, Key, Arc<Run>, usize)>,
    bytes: usize,
}

/// What a request may do.
pub(super) enum Admission {
    /// It asks first.
    First(Seat),
    /// Another has asked the same.
    Again(Seat),
    /// Another has asked something else.
    Conflict,
    /// There is no room for another request under way.
    Full,
}

/// A reader's place at a run. Dropping it gives it back.
pub(super) struct Seat {
    store: Arc<Store>,
    key: Key,
    pub(super) run: Arc<Run>,
    pub(super) place: usize,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            open: Arc::new(Open::new(limits.bytes)),
            limits,
            runs: Mutex::default(),
        }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat at the run of a key, or at a new one.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: Key,
        digest: [u8; 32],
        call: impl FnOnce() -> Call,
    ) -> Admission {
        let now = (self.limits.now)();
        let mut runs = self.runs();
        while runs.kept.front().is_some_and(|(until, ..)| *until <= now) {
            runs.forget_oldest();
        }
        let seat = |run: &Arc<Run>, place| Seat {
            store: Arc::clone(self),
            key: key.clone(),
            run: Arc::clone(run),
            place,
        };
        if let Some(run) = runs.by_key.get(&key) {
            if let Some(place) = run.enter() {
                let seat = seat(run, place);
                if run.digest != digest {
                    // Given back outside of the lock.
                    drop(runs);
                    drop(seat);
                    return Admission::Conflict;
                }
                return Admission::Again(seat);
            }
        } else if runs.by_key.len() >= self.limits.entries && !runs.forget_oldest() {
            return Admission::Full;
        }
        let run = Arc::new(Run::new(
            digest,
            self.limits.answer,
            Arc::clone(&self.open),
            call(),
        ));
        let Some(place) = run.enter() else {
            return Admission::Full;
        };
        let seat = seat(&run, place);
        runs.by_key.insert(key, run);
        Admission::First(seat)
    }
}

impl Runs {
    /// Whether there was one.
    fn forget_oldest(&mut self) -> bool {
        let Some((_, key, run, size)) = self.kept.pop_front() else {
            return false;
        };
        self.bytes -= size;
        self.remove(key, &run);
        true
    }

    fn remove(&mut self, key: Key, run: &Arc<Run>) {
        // The key may have another run by now.
        if let Entry::Occupied(entry) = self.by_key.entry(key) {
            if Arc::ptr_eq(entry.get(), run) {
                entry.remove();
            }
        }
    }
}

impl Seat {
    /// Keeps books of what the run has come to.
    pub(super) fn note(&self, now: &Now) {
        let size = match now {
            Now::Open => return,
            Now::Over => {
                self.store.runs().remove(self.key.clone(), &self.run);
                return;
            }
            Now::Kept(size) => *size,
        };
        let limits = &self.store.limits;
        let until = crate::time::after((limits.now)(), limits.keep);
        let mut runs = self.store.runs();
        runs.bytes += size;
        let entry = (until, self.key.clone(), Arc::clone(&self.run), size);
        runs.kept.push_back(entry);
        while runs.bytes > limits.bytes && runs.forget_oldest() {}
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.run.leave(self.place) {
            self.store.runs().remove(self.key.clone(), &self.run);
        }
    }
}
