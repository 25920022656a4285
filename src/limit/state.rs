use std::time::Duration;

use super::{
    Demand, Limit, Limits, Report, Retry, Slots, Weights,
    cell::{Cell, Now},
    gcra::Wait,
    verdict::Verdict,
};

/// The state of one key: how its limits stand, and how many slots are taken.
#[derive(Default)]
pub(super) struct State {
    limits: Limits,
    cells: Vec<Counted>,
    in_use: u32,
    /// Counts the changes of the limits.
    generation: u32,
}

struct Counted {
    cell: Cell,
    /// The generation it first stood in: what was reserved before is none of its business.
    born: u32,
}

impl State {
    /// How often its limits have changed.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Brings the cells in line with the limits, with what has been used so far.
    #[inline]
    pub(super) fn adapt(&mut self, limits: &Limits, now: Now) {
        if !self.limits.is(limits) {
            self.change(limits, now);
        }
    }

    #[cold]
    fn change(&mut self, limits: &Limits, now: Now) {
        if self.limits == *limits && self.cells.len() == limits.list().len() {
            self.limits = limits.clone();
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let old = std::mem::take(&mut self.cells);
        let mut old: Vec<_> = self.limits.list().iter().zip(old).map(Some).collect();
        let mut kept: Vec<_> = limits.list().iter().map(|limit| (limit, None)).collect();
        // First those that stay have their own, then those that count over the same time what was used
        // there, then any of the same unit what is left.
        let heirs: [fn(&Limit, &Limit) -> bool; 3] = [
            |was, is| was == is,
            |was, is| was.unit == is.unit && was.window.length() == is.window.length(),
            |was, is| was.unit == is.unit,
        ];
        for is_heir in heirs {
            for (limit, found) in kept.iter_mut().filter(|(_, found)| found.is_none()) {
                *found = old
                    .iter_mut()
                    .find_map(|slot| slot.take_if(|(was, _)| is_heir(was, limit)));
            }
        }
        for (limit, found) in kept {
            let counted = match found {
                Some((was, kept)) if was == limit => kept,
                Some((was, mut kept)) => {
                    let used = kept.cell.used(was, now);
                    Counted {
                        cell: Cell::new(limit, used, now),
                        born: kept.born,
                    }
                }
                None => Counted {
                    cell: Cell::new(limit, 0, now),
                    born: self.generation,
                },
            };
            self.cells.push(counted);
        }
        self.limits = limits.clone();
    }

    /// Why its limits do not admit this, if so.
    #[inline]
    pub(super) fn check(
        &mut self,
        demand: &Demand,
        weights: &Weights,
        now: Now,
        verdict: &mut Verdict,
    ) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            let Some(amount) = weights.get(limit.unit) else {
                continue;
            };
            let retry = match counted.cell.check(limit, amount, now) {
                Ok(()) => continue,
                Err(Wait::Nanos(wait)) => Retry::After(Duration::from_nanos(wait)),
                Err(Wait::Never) => Retry::Never,
            };
            verdict.deny(&demand.rule, Some(limit.unit), retry);
        }
        if let Some(most) = self.limits.concurrent().filter(|_| weights.slot()) {
            if most == 0 {
                verdict.deny(&demand.rule, None, Retry::Never);
            } else if self.in_use >= most {
                verdict.deny(&demand.rule, None, Retry::Release);
            }
        }
    }

    /// When its latest day began, in Unix nanoseconds. That is after now, when the clock has gone back
    /// over a midnight: what is taken then is taken from that day all the same.
    pub(super) fn latest_day(&self) -> i64 {
        let begins = self.cells.iter().map(|it| it.cell.begin());
        begins.max().unwrap_or(0)
    }

    /// Takes what was found to fit, if all was; adds how its limits stand then, those that are asked
    /// for.
    #[inline]
    pub(super) fn conclude(
        &mut self,
        take: bool,
        weights: &Weights,
        now: Now,
        report: &mut Report,
    ) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            if let Some(amount) = weights.get(limit.unit) {
                if take {
                    counted.cell.commit(limit, amount);
                }
                report.add(counted.cell.standing(limit, now));
            }
        }
        if weights.slot() {
            self.in_use = self.in_use.saturating_add(u32::from(take));
            if let Some(limit) = self.limits.concurrent() {
                report.add_slots(Slots {
                    limit,
                    in_use: self.in_use,
                });
            }
        }
    }

    /// Corrects what was taken.
    pub(super) fn settle(
        &mut self,
        generation: u32,
        reserved: &Weights,
        actual: &Weights,
        since: Now,
        now: Now,
    ) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            let before = reserved.get(limit.unit);
            // A limit set since then has taken nothing.
            if let Some(before) = before.filter(|_| counted.born <= generation) {
                let after = actual.get(limit.unit).unwrap_or(before);
                counted.cell.settle(limit, before, after, since, now);
            }
        }
        if reserved.slot() {
            self.in_use = self.in_use.saturating_sub(1);
        }
    }

    /// Whether forgetting it would forget nothing.
    pub(super) fn is_idle(&mut self, now: Now) -> bool {
        let cells = self.limits.list().iter().zip(&mut self.cells);
        self.in_use == 0
            && cells
                .into_iter()
                .all(|(limit, it)| it.cell.is_idle(limit, now))
    }
}
