//! What a node has of one key's limits, and what it may give out of it. Pure.

use std::time::{Duration, Instant};

use crate::limit::{Limit, Limits, Report, Retry, Slots, Standing, Weights};

use super::scale::Scale;

/// The lease of one key.
#[derive(Debug, Default)]
pub(super) struct Lease {
    limits: Limits,
    /// Counts the changes of the limits.
    generation: u32,
    parts: Vec<Part>,
    /// The names of the slots that are leased.
    slots: Vec<String>,
    in_use: u32,
    /// How many requests wait for a slot.
    waiting: usize,
    /// When slots were last asked for there were less than that.
    full: bool,
    /// How many slots were taken by all nodes, when last told.
    seen: u32,
    /// Of how many parts one is leased at a time.
    divisor: u64,
    pub(super) used_at: Option<Instant>,
}

/// What is leased of one limit, in its own unit.
#[derive(Debug)]
struct Part {
    /// Below zero it is owed.
    have: i128,
    slice: u64,
    /// The generation in which its unit was first limited: what was taken before is none of its business.
    born: u32,
    /// Somebody asks for this limit.
    wanted: bool,
    seen: Option<Seen>,
}

/// How the limit stood when last told, what is leased counted as used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) level: u64,
    /// The end of the day it is leased from.
    pub(super) fin: i64,
}

/// What a lease says to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// There is enough.
    Enough,
    /// This much more is needed of each limit, in their order, and whether a slot.
    More(Vec<u64>, bool),
    /// It is larger than a limit.
    Never(Option<crate::limit::Unit>),
}

/// What is given back: of each limit so much, in its unit, taken when its day ended so; the slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Surplus {
    pub(super) parts: Vec<(Limit, usize, u64, i64)>,
    pub(super) slots: Vec<String>,
}

impl Surplus {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.slots.is_empty()
    }
}

impl Lease {
    pub(super) fn new(divisor: u64) -> Self {
        Self {
            divisor: divisor.max(1),
            ..Self::default()
        }
    }

    /// Whether it is of these limits.
    pub(super) fn is_of(&self, limits: &Limits) -> bool {
        self.limits.is(limits) || self.limits == *limits
    }

    /// How often its limits have changed.
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Brings it in line with the limits; what was leased of the others is given back to those.
    pub(super) fn adapt(&mut self, limits: &Limits) -> Surplus {
        if self.is_of(limits) {
            return Surplus::default();
        }
        let surplus = self.surplus(Keep::Nothing);
        self.generation = self.generation.wrapping_add(1);
        let born = self.generation;
        let slice = |limit: &Limit| (limit.window.capacity() / self.divisor).max(1);
        let fresh = |limit: &Limit| Part {
            have: 0,
            slice: slice(limit),
            born,
            wanted: false,
            seen: None,
        };
        let mut parts: Vec<Part> = limits.list().iter().map(fresh).collect();
        // What is owed is owed by whatever limits the same unit now, and what is open is given back to it.
        let list = limits.list();
        for (limit, part) in self.limits.list().iter().zip(&self.parts) {
            let same = list.iter().position(|it| it == limit);
            let heir = same.or_else(|| list.iter().position(|it| it.unit == limit.unit));
            if let Some(heir) = heir.map(|at| &mut parts[at]) {
                heir.born = heir.born.min(part.born);
                heir.have = heir.have.min(part.have);
            }
        }
        self.parts = parts;
        self.limits = limits.clone();
        surplus
    }

    /// Whether a request of these weights fits now.
    pub(super) fn look(&mut self, weights: &Weights) -> Word {
        let mut more = Vec::new();
        let mut short = false;
        for (limit, part) in self.limits.list().iter().zip(&mut self.parts) {
            let Some(amount) = weights.get(limit.unit) else {
                more.push(0);
                continue;
            };
            if amount > limit.window.capacity() {
                return Word::Never(Some(limit.unit));
            }
            part.wanted = true;
            let lacks = (i128::from(amount) - part.have).max(0);
            short |= lacks > 0;
            more.push(u64::try_from(lacks).unwrap_or(u64::MAX));
        }
        let slots = self.limits.concurrent().filter(|_| weights.slot());
        if slots == Some(0) {
            return Word::Never(None);
        }
        let slot = slots.is_some() && self.in_use as usize >= self.slots.len();
        if short || slot {
            Word::More(more, slot)
        } else {
            Word::Enough
        }
    }

    /// Takes what was found to be enough.
    pub(super) fn take(&mut self, weights: &Weights) {
        for (limit, part) in self.limits.list().iter().zip(&mut self.parts) {
            part.have -= i128::from(weights.get(limit.unit).unwrap_or(0));
        }
        // Limited or not: a limit that comes or goes meanwhile finds it counted.
        self.in_use += u32::from(weights.slot());
    }

    /// Corrects what was taken in a generation; what is more than two slices, and slots nobody needs, goes
    /// back.
    pub(super) fn settle(
        &mut self,
        generation: u32,
        reserved: &Weights,
        actual: &Weights,
    ) -> Surplus {
        for (limit, part) in self.limits.list().iter().zip(&mut self.parts) {
            // A limit set since then has lent nothing.
            let before = reserved.get(limit.unit);
            if let Some(before) = before.filter(|_| part.born <= generation) {
                let after = actual.get(limit.unit).unwrap_or(before);
                part.have += i128::from(before) - i128::from(after);
            }
        }
        self.in_use = self.in_use.saturating_sub(u32::from(reserved.slot()));
        self.surplus(Keep::Some)
    }

    /// What to lease now, when so much is needed: up to a slice of what is asked for at all, and the
    /// number of slots.
    pub(super) fn wants(&self, more: &[u64], slot: bool) -> (Vec<u64>, usize) {
        let want = |(at, part): (usize, &Part)| {
            if !part.wanted {
                return 0;
            }
            let need = more.get(at).copied().unwrap_or(0);
            let fill = i128::from(part.slice) - part.have;
            u64::try_from(fill.max(0)).unwrap_or(u64::MAX).max(need)
        };
        let parts = self.parts.iter().enumerate().map(want).collect();
        let slots = if slot {
            self.spare().max(self.waiting.min(self.most()))
        } else {
            0
        };
        (parts, slots)
    }

    /// Whether it is time to lease more, before somebody has to wait for it.
    pub(super) fn is_low(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.wanted && part.have * 2 < i128::from(part.slice))
    }

    /// One more waits for a slot. None is given back meanwhile, and one call asks for all that wait.
    pub(super) const fn wait(&mut self) {
        self.waiting += 1;
    }

    /// It no longer does.
    pub(super) const fn left(&mut self) {
        self.waiting -= 1;
    }

    /// How many slots are leased at a time, and kept when nobody uses them.
    fn spare(&self) -> usize {
        if self.limits.concurrent().is_none() {
            return 0;
        }
        let most = self.most() as u64;
        usize::try_from((most / self.divisor).max(1)).unwrap_or(1)
    }

    /// How many slots there are, of all nodes.
    fn most(&self) -> usize {
        self.limits.concurrent().unwrap_or(0) as usize
    }

    /// Adds what was granted of each limit, and how it stands.
    pub(super) fn credit(&mut self, limits: &Limits, granted: &[(u64, Seen)]) -> bool {
        if !self.is_of(limits) {
            return false;
        }
        for (part, (amount, seen)) in self.parts.iter_mut().zip(granted) {
            part.have += i128::from(*amount);
            part.seen = Some(*seen);
        }
        true
    }

    /// Adds slots of so many that were asked for.
    pub(super) fn add_slots(&mut self, names: Vec<String>, wanted: usize, seen: u32) {
        if wanted > 0 {
            self.full = names.len() < wanted;
        }
        self.slots.extend(names);
        self.seen = seen;
    }

    /// Whether there are no more slots to be had, as far as is known.
    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    /// When a request that lacks so much may come again, by what was last told.
    pub(super) fn retry(&self, more: &[u64], slot: bool) -> (Option<crate::limit::Unit>, Retry) {
        let mut worst = (
            None,
            if slot {
                Retry::Release
            } else {
                Retry::After(Duration::ZERO)
            },
        );
        for ((limit, part), lacks) in self.limits.list().iter().zip(&self.parts).zip(more) {
            let (Some(seen), true) = (part.seen, *lacks > 0) else {
                continue;
            };
            let scale = Scale::of(limit);
            let wait = match scale {
                Scale::Flow { .. } => {
                    let wanted = seen.level.saturating_add(scale.cost(*lacks));
                    Duration::from_nanos(scale.nanos(wanted.saturating_sub(scale.most())))
                }
                Scale::Day { .. } => seen.standing.reset,
            };
            // Another node may give back before that; a moment, at least, passes.
            let wait = wait.max(Duration::from_millis(1));
            match worst.1 {
                Retry::After(kept) if kept >= wait => {}
                _ => worst = (Some(limit.unit), Retry::After(wait)),
            }
        }
        worst
    }

    pub(super) fn report(&self, weights: &Weights, report: &mut Report) {
        for (limit, part) in self.limits.list().iter().zip(&self.parts) {
            if weights.get(limit.unit).is_none() {
                continue;
            }
            if let Some(seen) = part.seen {
                let mut standing = seen.standing;
                let have = u64::try_from(part.have.max(0)).unwrap_or(u64::MAX);
                let owed = u64::try_from((-part.have).max(0)).unwrap_or(u64::MAX);
                standing.remaining = standing
                    .remaining
                    .saturating_add(have)
                    .saturating_sub(owed)
                    .min(limit.window.capacity());
                standing.debt = standing.debt.saturating_add(owed);
                report.add(standing);
            }
        }
        if let Some(limit) = self.limits.concurrent().filter(|_| weights.slot()) {
            // What this node has leased and does not use is free.
            let leased = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            let idle = leased.saturating_sub(self.in_use);
            let in_use = self.seen.saturating_sub(idle).max(self.in_use);
            report.add_slots(Slots { limit, in_use });
        }
    }

    /// What goes back of more than is to be kept.
    pub(super) fn surplus(&mut self, keep: Keep<'_>) -> Surplus {
        let mut surplus = Surplus::default();
        let list = self.limits.list();
        for (at, part) in self.parts.iter_mut().enumerate() {
            let slice = i128::from(part.slice);
            let need = match keep {
                Keep::For(more) => i128::from(more.get(at).copied().unwrap_or(0)),
                Keep::Some | Keep::Nothing => 0,
            };
            let kept = match keep {
                Keep::Nothing => 0,
                _ if part.have <= slice * 2 + need => continue,
                _ => slice + need,
            };
            if part.have > kept {
                let amount = u64::try_from(part.have - kept).unwrap_or(u64::MAX);
                part.have = kept;
                let fin = part.seen.map_or(0, |seen| seen.fin);
                surplus.parts.push((list[at].clone(), at, amount, fin));
            }
        }
        let spare = match keep {
            // Somebody waits for them.
            Keep::For(_) => usize::MAX / 2,
            Keep::Some if self.waiting > 0 => usize::MAX / 2,
            Keep::Some => self.spare(),
            Keep::Nothing => 0,
        };
        while self.slots.len() > self.in_use as usize + spare {
            surplus.slots.extend(self.slots.pop());
        }
        surplus
    }

    /// Whether forgetting it forgets nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.in_use == 0 && self.parts.iter().all(|part| part.have == 0) && self.slots.is_empty()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// What stays when the rest is given back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep<'a> {
    /// A slice, and a few slots.
    Some,
    /// That, and so much of each limit that somebody waits for.
    For(&'a [u64]),
    /// What is in use.
    Nothing,
}

#[cfg(test)]
mod tests;
