//! The choice of one target among those of the same priority: plain, and without an allocation.
//!
//! What can be known of a tier before a request comes is laid out when its model is first asked for:
//! a draw by weight, the bucket that a request sticks to and the cheapest target are found without a
//! look at every one. That comes only when the one that was found cannot be asked.

mod buckets;
mod paces;
mod prices;
mod tier;
mod weights;

pub(crate) use self::tier::Tier;
use super::{
    ask::Needs,
    breaker::Breaking,
    keys::Nth,
    plan::{Balance, Candidate},
    state::{Can, Millis},
};

/// What a choice is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) balance: Balance,
    pub(crate) random: u64,
    pub(crate) now: Millis,
    pub(crate) needs: &'a Needs,
    pub(crate) affinity: Option<u64>,
    pub(crate) breaking: &'a Breaking,
}

type Found = (usize, Option<Nth>);

impl Choice<'_> {
    /// One of the tier that can be asked now. `all` is the model's whole list, and places in it are
    /// what `can` is asked for and what is returned, with the key.
    pub(crate) fn choose(
        &self,
        all: &[Candidate],
        tier: &Tier,
        can: impl Fn(usize) -> Option<Can>,
    ) -> Option<Found> {
        let well = |at: usize| match can(at) {
            Some(Can::Yes(key)) => Some((at, key)),
            _ => None,
        };
        if tier.until - tier.from == 1 {
            return well(tier.from);
        }
        let run = &all[tier.from..tier.until];
        // One that has recovered is as one that cannot be asked for some requests, fewer and fewer.
        let warm = |at: usize| {
            let warm = all[at]
                .state
                .is_warm(self.now, self.chance(), self.breaking);
            if warm { well(at) } else { None }
        };
        let found = match (self.balance, self.affinity) {
            (Balance::Sticky(_), Some(affinity)) => buckets::choose(run, tier, affinity, &warm),
            (Balance::Cheapest, _) => prices::choose(self, run, tier, &warm),
            (Balance::Fastest, _) => paces::choose(run, tier, self.now, &warm),
            (Balance::LeastLoad, _) => self.less_loaded(run, tier, &well),
            _ => self.drawn(run, tier, &well),
        };
        found.or_else(|| {
            // Not one of those drawn: the next that can, from anywhere on.
            let n = run.len();
            let start = (self.random >> 32) as usize % n;
            (0..n).find_map(|i| well(tier.from + (start + i) % n))
        })
    }

    /// What says whether one that has recovered is asked. Those that stick are told apart by what binds them, so
    /// that none goes back and forth.
    fn chance(&self) -> u64 {
        let bound = match self.balance {
            Balance::Sticky(_) => self.affinity,
            _ => None,
        };
        bound.unwrap_or(self.random) >> 7
    }

    /// By weight, at random. Four draws at most.
    fn drawn(
        &self,
        run: &[Candidate],
        tier: &Tier,
        well: &impl Fn(usize) -> Option<Found>,
    ) -> Option<Found> {
        let mut draws = tier.draws(self.random)?;
        let mut cold = None;
        for _ in 0..4 {
            let (at, random) = draws.draw();
            let Some(found) = well(tier.from + at) else {
                continue;
            };
            if run[at].state.is_warm(self.now, random >> 7, self.breaking) {
                return Some(found);
            }
            cold = cold.or(Some(found));
        }
        cold
    }

    /// The less loaded of two that are drawn by weight, two different ones where it can be; the other
    /// one if it cannot be asked. Twice at most.
    fn less_loaded(
        &self,
        run: &[Candidate],
        tier: &Tier,
        well: &impl Fn(usize) -> Option<Found>,
    ) -> Option<Found> {
        let load = |at: usize| run[at].state.load(run[at].weight, self.now);
        let warm =
            |at: usize, random: u64| run[at].state.is_warm(self.now, random >> 7, self.breaking);
        let mut draws = tier.draws(self.random)?;
        let mut cold = None;
        for _ in 0..2 {
            let one = draws.draw();
            let other = draws.other_than(one, run);
            let pair = if load(other.0) < load(one.0) {
                [other, one]
            } else {
                [one, other]
            };
            for &(at, random) in &pair {
                if cold.is_some() && !warm(at, random) {
                    continue;
                }
                let Some(found) = well(tier.from + at) else {
                    continue;
                };
                if warm(at, random) {
                    return Some(found);
                }
                cold = Some(found);
            }
        }
        cold
    }
}

/// A number that depends on every bit of another, its upper half most.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

#[cfg(test)]
mod tests;
