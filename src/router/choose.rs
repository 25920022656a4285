//! The choice of one target among those of the same priority: plain, and without an allocation.
//!
//! What can be known of a tier before a request comes is laid out when its model is first asked for:
//! a draw by weight, the bucket that a request sticks to and the cheapest target are found without a
//! look at every one. That comes only when the one that was found cannot be asked.

mod buckets;
mod paces;
mod prices;
mod weights;

use self::{buckets::Buckets, paces::Paces, prices::Prices, weights::Weights};
use super::{
    ask::Needs,
    breaker::Breaking,
    keys::Nth,
    plan::{Balance, Candidate},
    state::{Can, Millis},
};

/// The candidates of one priority: a run of a model's list, and what is known of it beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Tier {
    pub(crate) from: usize,
    pub(crate) until: usize,
    weights: Weights,
    /// None where nothing is to stick, or few can be stuck to.
    buckets: Option<Buckets>,
    /// None where pace does not decide, or among few.
    paces: Option<Paces>,
    prices: Prices,
}

/// A place that was drawn, counted from the tier's first, and a random number.
type Draw = (usize, u64);

/// Draws without an end.
struct Draws<'a> {
    weights: &'a Weights,
    random: u64,
}

impl Draws<'_> {
    fn draw(&mut self) -> Draw {
        self.random = self
            .random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (self.weights.draw(self.random), self.random)
    }

    /// One beside one that was drawn, to be compared with it: the other one of two, and of more the
    /// next drawn that is another. It is the same again where only one has a weight, and rarely by
    /// chance.
    fn other_than(&mut self, one: Draw, run: &[Candidate]) -> Draw {
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
    fn draws(&self, random: u64) -> Option<Draws<'_>> {
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

/// What a choice is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) balance: Balance,
    pub(crate) random: u64,
    pub(crate) now: Millis,
    pub(crate) needs: Needs,
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
mod tests {
    use super::*;
    use crate::router::ask::Sticky;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let one =
            |(at, weight): (usize, &u32)| Candidate::new("p", format!("m{at}")).weight(*weight);
        weights.iter().enumerate().map(one).collect()
    }

    fn choice(balance: Balance, random: u64) -> Choice<'static> {
        static BREAKING: std::sync::OnceLock<Breaking> = std::sync::OnceLock::new();
        Choice {
            balance,
            random: mix(random.wrapping_add(1)),
            now: 0,
            needs: Needs::default(),
            affinity: Some(mix(random.wrapping_mul(77))),
            breaking: BREAKING.get_or_init(Breaking::default),
        }
    }

    const BALANCES: [Balance; 5] = [
        Balance::Weighted,
        Balance::LeastLoad,
        Balance::Cheapest,
        Balance::Fastest,
        Balance::Sticky(Sticky::Key),
    ];

    fn shares(balance: Balance, all: &[Candidate], can: impl Fn(usize) -> bool) -> Vec<u32> {
        let tier = &Tier::of(all, balance)[0];
        let mut shares = vec![0; all.len()];
        for random in 0..10_000 {
            let can = |at: usize| can(at).then_some(Can::Yes(None));
            let (at, _) = choice(balance, random).choose(all, tier, can).expect("one");
            shares[at] += 1;
        }
        shares
    }

    #[test]
    fn weights_are_shares() {
        let all = candidates(&[1, 3, 0, 6]);
        for balance in [Balance::Weighted, Balance::Sticky(Sticky::Key)] {
            let shares = shares(balance, &all, |_| true);
            for (share, want) in shares.iter().zip([1_000, 3_000, 0, 6_000]) {
                assert!(share.abs_diff(want) < 300, "{balance:?} {shares:?}");
            }
        }
    }

    #[test]
    fn the_only_one_that_can_is_found() {
        let all = candidates(&[1; 40]);
        for balance in BALANCES {
            assert_eq!(shares(balance, &all, |at| at == 17)[17], 10_000);
        }
        let zero = candidates(&[0, 0]);
        assert_eq!(shares(Balance::Weighted, &zero, |at| at == 1)[1], 10_000);
    }

    #[test]
    fn of_two_the_less_loaded() {
        let all = candidates(&[1; 4]);
        for (at, one) in all.iter().enumerate() {
            one.state.took(if at == 2 { 1_000 } else { 50_000 }, 0);
        }
        let shares = shares(Balance::LeastLoad, &all, |_| true);
        // Two of four are different ones but for one case in 64, and it is among them in every other.
        assert!(shares[2].abs_diff(4_960) < 300, "{shares:?}");
    }

    #[test]
    fn of_two_the_loaded_one_is_never_drawn_alone() {
        for weights in [[1, 1], [9, 1], [1, 9]] {
            let all = candidates(&weights);
            all[0].state.took(90_000, 0);
            all[1].state.took(1, 0);
            assert_eq!(
                shares(Balance::LeastLoad, &all, |_| true),
                [0, 10_000],
                "{weights:?}"
            );
        }
    }

    #[test]
    fn the_cheapest_for_this_request_and_of_equal_ones_the_less_loaded() {
        let all = vec![
            Candidate::new("p", "in").price(10, 1_000),
            Candidate::new("p", "out").price(100, 100),
            Candidate::new("p", "unknown"),
            Candidate::new("p", "out2").price(100, 100),
        ];
        let tier = &Tier::of(&all, Balance::Cheapest)[0];
        all[1].state.took(9, 0);
        let chosen = |input_tokens, output_tokens| {
            let mut choice = choice(Balance::Cheapest, 0);
            choice.needs = Needs {
                input_tokens,
                output_tokens,
                ..Needs::default()
            };
            let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
            found.expect("one").0
        };
        assert_eq!((chosen(1_000, 10), chosen(10, 1_000)), (0, 3));
    }

    #[test]
    fn the_next_cheapest_when_those_before_it_cannot() {
        let prices = [5, 3, 9, 3, 1, 7].map(|price| {
            let name = format!("m{price}");
            Candidate::new("p", name).price(price, price)
        });
        let tier = &Tier::of(&prices, Balance::Cheapest)[0];
        let mut choice = choice(Balance::Cheapest, 0);
        choice.needs.input_tokens = 10;
        let mut gone = Vec::new();
        for want in [4, 1, 3, 0, 5, 2] {
            let can = |at: usize| (!gone.contains(&at)).then_some(Can::Yes(None));
            assert_eq!(choice.choose(&prices, tier, can), Some((want, None)));
            gone.push(want);
        }
        assert_eq!(choice.choose(&prices, tier, |_| None), None);
    }

    #[test]
    fn who_has_no_weight_is_the_last_resort_of_every_balance() {
        let all = [
            Candidate::new("p", "a").weight(0).price(1, 1),
            Candidate::new("p", "b").price(2, 2),
            Candidate::new("p", "c").weight(0).price(3, 3),
        ];
        all[1].state.took(9_000_000, 0);
        for balance in BALANCES {
            let tier = &Tier::of(&all, balance)[0];
            for random in 0..50 {
                let choice = choice(balance, random);
                let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                assert_eq!(found, Some((1, None)), "{balance:?}");
                let found = choice.choose(&all, tier, |at| (at != 1).then_some(Can::Yes(None)));
                assert!(found.is_some(), "{balance:?}");
            }
        }
    }

    #[test]
    fn who_has_recovered_gets_its_share_slowly_by_every_balance() {
        for balance in BALANCES {
            // By price and by pace the first is the best; by the others it has half.
            let all = [
                Candidate::new("p", "a").price(1, 1),
                Candidate::new("p", "b").price(2, 2),
            ];
            all[1].state.took(50_000, 0);
            let config = Breaking::default();
            for _ in 0..5 {
                all[0].state.record(false, 0, 0, &config);
            }
            all[0].state.record(true, 10, 10, &config);
            let tier = &Tier::of(&all, balance)[0];
            let share = |now| {
                let of = |random| {
                    let mut choice = choice(balance, random);
                    choice.now = now;
                    let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                    found.expect("one").0 == 0
                };
                (0..1_000).filter(|random| of(*random)).count()
            };
            let (first, half, whole) = (share(10), share(5_010), share(10_010));
            assert!(first <= 200 && first > 10, "{balance:?}: {first}");
            assert!(half > first && half < whole, "{balance:?}: {half} {whole}");
            // What sticks comes back request by request, and stays.
            if matches!(balance, Balance::Sticky(_)) {
                let mut choice = choice(balance, 7);
                let mut seen = Vec::new();
                for now in (10..10_010).step_by(500) {
                    choice.now = now;
                    choice.random = mix(now);
                    let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                    seen.push(found.expect("one").0);
                }
                assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
            }
        }
    }

    /// Few are looked at one by one, many are laid out beforehand.
    #[test]
    fn stickiness_survives_the_loss_of_another() {
        for n in [10, 50] {
            let all = candidates(&vec![1; n]);
            let fewer: Vec<_> = all[..n - 1].to_vec();
            let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
            let less = &Tier::of(&fewer, Balance::Sticky(Sticky::Key))[0];
            let (mut moved, mut of_lost) = (0, 0);
            let mut heirs = std::collections::BTreeSet::new();
            for random in 0..10_000 {
                let choice = choice(Balance::Sticky(Sticky::Key), random);
                let with = |lost: usize| {
                    let can = |at: usize| (at != lost).then_some(Can::Yes(None));
                    choice.choose(&all, tier, can).expect("one").0
                };
                let before = with(99);
                assert_eq!(before, with(99));
                match with(4) == before {
                    true => {}
                    false if before == 4 => of_lost += 1,
                    false => moved += 1,
                }
                if before == 4 {
                    heirs.insert(with(4));
                }
                // One that is taken out of the table for good is as one that cannot be asked.
                let found = choice.choose(&fewer, less, |_| Some(Can::Yes(None)));
                assert_eq!(found, Some((with(n - 1), None)));
            }
            assert_eq!(moved, 0);
            let share = 10_000 / n;
            assert!(
                (share * 3 / 4..share * 5 / 4).contains(&of_lost),
                "{of_lost}"
            );
            assert!(
                heirs.len() > n * 3 / 4,
                "what it leaves goes to all: {heirs:?}"
            );
        }
    }

    /// Few are looked at one by one, many are laid out beforehand.
    #[test]
    fn requests_stick_to_none_of_those_without_weight() {
        for n in [2, 20] {
            let all = candidates(&vec![0; n]);
            let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
            for random in 0..100 {
                let choice = choice(Balance::Sticky(Sticky::Key), random);
                let found = choice.choose(&all, tier, |_| Some(Can::Yes(None)));
                assert!(all[found.expect("one").0].state.enter(u32::MAX));
            }
            let busy = all.iter().filter(|one| one.state.in_flight() > 0);
            assert_eq!(busy.count(), n, "any of them will do");
        }
    }

    #[test]
    fn a_sticky_target_is_not_overrun() {
        let all = candidates(&[1; 4]);
        let tier = &Tier::of(&all, Balance::Sticky(Sticky::Key))[0];
        let choice = choice(Balance::Sticky(Sticky::Key), 5);
        for _ in 0..100 {
            let can = |_: usize| Some(Can::Yes(None));
            let (at, _) = choice.choose(&all, tier, can).expect("one");
            assert!(all[at].state.enter(u32::MAX));
        }
        let most = all.iter().map(|one| one.state.in_flight()).max();
        assert!(most <= Some(32), "{most:?}");
    }
}
