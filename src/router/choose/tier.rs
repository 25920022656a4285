//! What is known of the targets of one priority before a request comes, and draws among them.

use super::{buckets::Buckets, paces::Paces, prices::Prices, weights::Weights};
use crate::router::plan::{Balance, Candidate};

/// The candidates of one priority: a run of a model's list, and what is known of it beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Tier {
    pub(crate) from: usize,
    pub(crate) until: usize,
    pub(super) weights: Weights,
    /// None where nothing is to stick, or few can be stuck to.
    pub(super) buckets: Option<Buckets>,
    /// None where pace does not decide, or among few.
    pub(super) paces: Option<Paces>,
    pub(super) prices: Prices,
}

impl Tier {
    /// The tiers of a list that is sorted by priority.
    pub(crate) fn of(all: &[Candidate], balance: Balance) -> Vec<Self> {
        let mut tiers = Vec::new();
        for run in all.chunk_by(|a, b| a.priority == b.priority) {
            let from = tiers.last().map_or(0, |tier: &Self| tier.until);
            let weights = Weights::of(run);
            let (mut buckets, mut paces) = (None, None);
            match balance {
                Balance::Sticky(_) => buckets = Buckets::of(run, weights.uniform),
                Balance::Fastest => paces = Paces::of(run),
                _ => {}
            }
            tiers.push(Self {
                from,
                until: from + run.len(),
                buckets,
                paces,
                prices: Prices::of(run),
                weights,
            });
        }
        tiers
    }

    /// Draws by weight. None where nobody has any weight.
    pub(super) fn draws(&self, random: u64) -> Option<Draws<'_>> {
        let weights = &self.weights;
        (weights.total > 0).then_some(Draws { weights, random })
    }

    /// Notes that what is known of the speed of one has changed. It is counted as in the whole list.
    pub(crate) fn note(&self, at: usize, candidate: &Candidate) {
        if let Some(paces) = &self.paces {
            paces.note(at - self.from, candidate.pace());
        }
    }
}

/// A place that was drawn, counted from the tier's first, and a random number.
pub(super) type Draw = (usize, u64);

/// Draws without an end.
pub(super) struct Draws<'a> {
    weights: &'a Weights,
    random: u64,
}

impl Draws<'_> {
    #[inline]
    pub(super) fn draw(&mut self) -> Draw {
        self.random = self
            .random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (self.weights.draw(self.random), self.random)
    }

    /// One beside one that was drawn, to be compared with it: the other one of two, and of more the
    /// next drawn that is another. It is the same again where only one has a weight, and rarely by
    /// chance.
    #[inline]
    pub(super) fn other_than(&mut self, one: Draw, run: &[Candidate]) -> Draw {
        let (at, random) = one;
        if run.len() == 2 {
            let other = 1 - at;
            return if run[other].weight > 0 {
                (other, random)
            } else {
                one
            };
        }
        for _ in 0..3 {
            let other = self.draw();
            if other.0 != at {
                return other;
            }
        }
        one
    }
}
