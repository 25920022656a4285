use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::run::{Call, Now, Open, Run};
use crate::{
    ext::{Payer, Sending},
    time::Reading,
};

/// Whose key it is, and the key.
pub(super) type Key = (Arc<str>, Box<str>);

#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) keep: Duration,
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) answer: usize,
    pub(super) caller_entries: Option<usize>,
    pub(super) caller_bytes: Option<usize>,
    pub(super) now: Reading<Instant>,
}

impl Room {
    /// Keys that one caller may have: a tenth, or all where there are few.
    fn of_caller(&self) -> usize {
        let share = (self.entries / 10).max(100);
        self.caller_entries.unwrap_or(share).min(self.entries)
    }

    /// Bytes of one caller's answers that are kept: a quarter, and one answer at least.
    fn bytes_of_caller(&self) -> usize {
        let share = (self.bytes / 4).max(self.answer);
        self.caller_bytes.unwrap_or(share).min(self.bytes)
    }
}

/// All runs by their keys.
pub(super) struct Store {
    limits: Room,
    open: Arc<Open>,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    by_key: HashMap<Key, Arc<Run>>,
    /// The answers that are kept, oldest first.
    kept: BTreeMap<u64, Kept>,
    next: u64,
    bytes: usize,
    /// Whoever has a key or an answer here.
    callers: HashMap<Arc<str>, Caller>,
}

struct Kept {
    until: Instant,
    key: Key,
    run: Arc<Run>,
    size: usize,
}

struct Caller {
    keys: usize,
    /// What is kept of its answers under way.
    open: Arc<Open>,
    bytes: usize,
    /// Its answers that are kept, oldest first.
    kept: VecDeque<u64>,
}

/// What a request may do.
pub(super) enum Admission {
    /// It has a seat: the first, or with another that has asked the same.
    Seated(Seat),
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
    pub(super) payer: Payer,
}

impl Store {
    pub(super) fn new(limits: Room) -> Self {
        Self {
            open: Arc::new(Open::new(limits.bytes, None)),
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
        sending: Option<Sending>,
        call: impl FnOnce() -> Call,
    ) -> Admission {
        let now = self.limits.now.now();
        let mut runs = self.runs();
        while runs
            .kept
            .first_key_value()
            .is_some_and(|(_, it)| it.until <= now)
        {
            runs.forget_oldest();
        }
        let seat = |run: &Arc<Run>, place, payer| Seat {
            store: Arc::clone(self),
            key: key.clone(),
            run: Arc::clone(run),
            place,
            payer,
        };
        if let Some(run) = runs.by_key.get(&key) {
            if let Some(place) = run.enter() {
                let seat = seat(run, place, Payer::joins(sending.as_ref()));
                if run.digest != digest {
                    // Given back outside of the lock.
                    drop(runs);
                    drop(seat);
                    return Admission::Conflict;
                }
                return Admission::Seated(seat);
            }
        } else {
            let keys = runs.callers.get(&key.0).map_or(0, |caller| caller.keys);
            // Who has too many makes room among its own.
            if keys >= self.limits.of_caller() && !runs.forget_oldest_of(&key.0) {
                return Admission::Full;
            }
            if runs.by_key.len() >= self.limits.entries && !runs.forget_oldest() {
                return Admission::Full;
            }
        }
        // One caller may keep as much of answers under way as of those that have ended.
        let open = runs.callers.get(&key.0).map_or_else(
            || {
                let all = Some(Arc::clone(&self.open));
                Arc::new(Open::new(self.limits.bytes_of_caller(), all))
            },
            |caller| Arc::clone(&caller.open),
        );
        let run = Arc::new(Run::new(
            digest,
            self.limits.answer,
            Arc::clone(&open),
            call(),
            sending,
        ));
        let Some(place) = run.enter() else {
            return Admission::Full;
        };
        let seat = seat(&run, place, Payer::first());
        runs.insert(key, run, open);
        Admission::Seated(seat)
    }
}

impl Runs {
    fn insert(&mut self, key: Key, run: Arc<Run>, open: Arc<Open>) {
        let caller = Arc::clone(&key.0);
        if self.by_key.insert(key, run).is_none() {
            self.caller(caller, open).keys += 1;
        }
    }

    fn caller(&mut self, name: Arc<str>, open: Arc<Open>) -> &mut Caller {
        self.callers.entry(name).or_insert_with(|| Caller {
            keys: 0,
            open,
            bytes: 0,
            kept: VecDeque::new(),
        })
    }

    fn keep(&mut self, until: Instant, key: Key, run: Arc<Run>, size: usize) {
        let number = self.next;
        self.next += 1;
        self.bytes += size;
        let caller = self.caller(Arc::clone(&key.0), Arc::clone(run.open()));
        caller.bytes += size;
        caller.kept.push_back(number);
        let kept = Kept {
            until,
            key,
            run,
            size,
        };
        self.kept.insert(number, kept);
    }

    /// Whether there was one.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.kept.keys().next().copied();
        oldest.is_some_and(|oldest| self.forget(oldest))
    }

    /// Whether the caller had one.
    fn forget_oldest_of(&mut self, caller: &str) -> bool {
        let caller = self.callers.get(caller);
        let oldest = caller.and_then(|caller| caller.kept.front().copied());
        oldest.is_some_and(|oldest| self.forget(oldest))
    }

    /// Forgets an answer that is its caller's oldest.
    fn forget(&mut self, number: u64) -> bool {
        let Some(Kept { key, run, size, .. }) = self.kept.remove(&number) else {
            return false;
        };
        self.bytes -= size;
        if let Some(caller) = self.callers.get_mut(&key.0) {
            caller.bytes -= size;
            caller.kept.pop_front();
        }
        self.remove(key, &run);
        true
    }

    fn remove(&mut self, key: Key, run: &Arc<Run>) {
        let name = Arc::clone(&key.0);
        // The key may have another run by now.
        let mut gone = 0;
        if let Entry::Occupied(entry) = self.by_key.entry(key) {
            if Arc::ptr_eq(entry.get(), run) {
                entry.remove();
                gone = 1;
            }
        }
        if let Entry::Occupied(mut entry) = self.callers.entry(name) {
            let caller = entry.get_mut();
            caller.keys -= gone;
            if caller.keys == 0 && caller.kept.is_empty() {
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
        let until = crate::time::after(limits.now.now(), limits.keep);
        let mut runs = self.store.runs();
        runs.keep(until, self.key.clone(), Arc::clone(&self.run), size);
        let of_caller = |runs: &Runs| runs.callers.get(&self.key.0).map_or(0, |it| it.bytes);
        while of_caller(&runs) > limits.bytes_of_caller() && runs.forget_oldest_of(&self.key.0) {}
        while runs.bytes > limits.bytes && runs.forget_oldest() {}
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.run.leave(self.place, &self.payer) {
            self.store.runs().remove(self.key.clone(), &self.run);
        }
    }
}
