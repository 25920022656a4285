//! A request against the slices that are leased: taken from all of them, or from none.

use std::{
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
    time::Instant,
};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{
    super::{
        asking::Asking,
        lease::{Lease, Word},
    },
    Leased,
    slices::{Entry, State, Told},
};
use crate::limit::{Ask, Demand, Refusal, Report, Retry, verdict::Verdict};

/// How many keys have a lease at most; further ones are decided by Redis itself.
const CAPACITY: usize = 65_536;

pub(super) type Entries = SmallVec<[Arc<Entry>; 2]>;

/// How often the limits of each of them have changed.
pub(super) type Generations = SmallVec<[u32; 2]>;

/// What one lease lacks.
pub(super) struct Short {
    pub(super) at: usize,
    pub(super) more: Vec<u64>,
    pub(super) slot: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "looked at once, where it is made"
)]
pub(super) enum Tried {
    Admitted(Report, Generations),
    Refused(Box<Refusal>),
    Short(Vec<Short>),
}

impl Leased {
    pub(super) fn entries(&self, ask: &Ask) -> Option<Entries> {
        let map = &self.inner.entries;
        let mut entries = Entries::new();
        for demand in ask.demands() {
            let place = (Arc::clone(&demand.rule), demand.key.clone());
            let known = map.get(&place).map(|entry| Arc::clone(&entry));
            let entry = match known {
                Some(entry) => entry,
                None if map.len() >= CAPACITY => return None,
                None => {
                    let fresh = || {
                        Arc::new(Entry {
                            demand: demand.clone(),
                            lease: Mutex::new(State {
                                lease: Lease::new(self.slices),
                                asking: Asking::Idle,
                                again: None,
                            }),
                        })
                    };
                    Arc::clone(&map.entry(place).or_insert_with(fresh))
                }
            };
            if !entries.iter().any(|it| Arc::ptr_eq(it, &entry)) {
                entries.push(entry);
            }
        }
        // All threads lock in the same order.
        entries.sort_unstable_by_key(Arc::as_ptr);
        Some(entries)
    }

    /// Takes from all leases, or from none.
    pub(super) fn try_now(&self, entries: &[Arc<Entry>], ask: &Ask) -> Tried {
        self.visit(entries, ask, true)
    }

    /// Whether it would be enough.
    pub(super) fn probe(&self, entries: &[Arc<Entry>], ask: &Ask) -> Tried {
        self.visit(entries, ask, false)
    }

    fn visit(&self, entries: &[Arc<Entry>], ask: &Ask, take: bool) -> Tried {
        let mut locked: SmallVec<[MutexGuard<'_, State>; 2]> =
            entries.iter().map(|entry| entry.lock()).collect();
        let mut short = Vec::new();
        let mut never = None;
        let now = Instant::now();
        for (at, (entry, state)) in entries.iter().zip(&mut locked).enumerate() {
            let of = |it: &&Demand| it.rule == entry.demand.rule && it.key == entry.demand.key;
            let limits = ask.demands().iter().find(of).map(|it| &it.limits);
            if let Some(limits) = limits.filter(|it| !state.lease.is_of(it)) {
                let before = Demand {
                    limits: state.lease.limits().clone(),
                    ..entry.demand.clone()
                };
                let surplus = state.lease.adapt(limits);
                self.inner.give_back(&before, &surplus);
            }
            state.lease.used_at = Some(now);
            match state.lease.look(&ask.weights) {
                Word::Enough => {}
                Word::More(more, slot) => short.push(Short { at, more, slot }),
                Word::Never(unit) => never = Some((Arc::clone(&entry.demand.rule), unit)),
            }
        }
        let mut report = Report::default();
        if never.is_none() && short.is_empty() && take {
            for state in &mut locked {
                state.lease.take(&ask.weights);
            }
        }
        for state in &locked {
            state.lease.report(&ask.weights, &mut report);
        }
        if let Some((rule, unit)) = never {
            return Tried::Refused(Box::new(Refusal::new(rule, unit, Retry::Never, report)));
        }
        if !short.is_empty() {
            return Tried::Short(short);
        }
        let low: SmallVec<[bool; 2]> = locked
            .iter()
            .map(|state| {
                state.lease.is_low()
                    && !state.asking.is_on()
                    && state.again.is_none_or(|again| now >= again)
            })
            .collect();
        let generation = |state: &MutexGuard<'_, State>| state.lease.generation();
        let generations = locked.iter().map(generation).collect();
        drop(locked);
        for (entry, low) in entries.iter().zip(low) {
            if low && take {
                self.lease(entry, &[], false, None);
            }
        }
        Tried::Admitted(report, generations)
    }

    /// Asks Redis for more, unless somebody does; whether the call is for what this one needs.
    pub(super) fn lease(
        &self,
        entry: &Arc<Entry>,
        more: &[u64],
        slot: bool,
        told: Option<&mut Vec<oneshot::Receiver<Told>>>,
    ) -> bool {
        let waiter = told.map(|told| {
            let (tell, hear) = oneshot::channel();
            told.push(hear);
            tell
        });
        let mut state = entry.lock();
        let ours = state.asking.join(waiter);
        if ours {
            let (wants, slots) = state.lease.wants(more, slot);
            let limits = state.lease.limits().clone();
            self.inner.leases.fetch_add(1, Ordering::Relaxed);
            let inner = Arc::clone(&self.inner);
            // A task: whoever waits for it may leave, and what was granted must not be lost.
            let fetch = inner.fetch(Arc::clone(entry), limits, wants, more.to_vec(), slots);
            tokio::spawn(fetch);
        }
        ours
    }

    pub(super) fn refusal(&self, entries: &[Arc<Entry>], ask: &Ask, short: &[Short]) -> Refusal {
        let mut verdict = Verdict::default();
        let mut report = Report::default();
        for entry in entries {
            entry.lock().lease.report(&ask.weights, &mut report);
        }
        for lacks in short {
            let entry = &entries[lacks.at];
            let (unit, retry) = entry.lock().lease.retry(&lacks.more, lacks.slot);
            verdict.deny(&entry.demand.rule, unit, retry);
        }
        verdict.refusal(report)
    }
}
