//! The choice of one target among those of the same priority: plain, and without an allocation.

use super::{
    ask::Needs,
    breaker::Breaking,
    plan::{Balance, Candidate},
    state::{Can, Millis},
};

/// The candidates of one priority: a run of a model's list, with the sums of their weights up to
/// each of them.
#[derive(Clone, Debug)]
pub(crate) struct Tier {
    pub(crate) from: usize,
    pub(crate) until: usize,
    sums: Box<[u64]>,
    uniform: bool,
}

impl Tier {
    /// The tiers of a list that is sorted by priority.
    pub(crate) fn of(all: &[Candidate]) -> Vec<Self> {
        let mut tiers = Vec::new();
        for run in all.chunk_by(|a, b| a.priority == b.priority) {
            let from = tiers.last().map_or(0, |tier: &Self| tier.until);
            let sums = run.iter().scan(0, |sum, candidate| {
                *sum += u64::from(candidate.weight);
                Some(*sum)
            });
            tiers.push(Self {
                from,
                until: from + run.len(),
                sums: sums.collect(),
                uniform: run
                    .iter()
                    .all(|candidate| candidate.weight == run[0].weight),
            });
        }
        tiers
    }

    fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// One of them by weight, counted from the tier's first.
    fn draw(&self, random: u64) -> usize {
        // A multiplication instead of a division: the high half of the product is below the total.
        let at = (u128::from(random) * u128::from(self.total())) >> 64;
        self.sums.partition_point(|sum| u128::from(*sum) <= at)
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

type Found = (usize, Option<usize>);

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
        let found = match (self.balance, self.affinity) {
            (Balance::Sticky(_), Some(affinity)) => sticky(all, tier, affinity, &well),
            (Balance::Cheapest, _) => least(all, tier, &well, |one| {
                (
                    one.price_of(&self.needs),
                    one.state.load(one.weight, self.now),
                )
            }),
            (Balance::Fastest, _) => least(all, tier, &well, |one| one.state.latency(self.now)),
            (Balance::LeastLoad, _) => self.drawn(all, tier, 2, &well),
            _ => self.drawn(all, tier, 1, &well),
        };
        found.or_else(|| {
            // Not one of those drawn: the next that can, from anywhere on.
            let n = tier.until - tier.from;
            let start = (self.random >> 32) as usize % n;
            (0..n).find_map(|i| well(tier.from + (start + i) % n))
        })
    }

    /// By weight, at random; the less loaded of two. Four draws at most.
    fn drawn(
        &self,
        all: &[Candidate],
        tier: &Tier,
        wanted: u32,
        well: &impl Fn(usize) -> Option<Found>,
    ) -> Option<Found> {
        let mut random = self.random;
        let mut best: Option<(u64, Found)> = None;
        let mut cold = None;
        let mut seen = 0;
        if tier.total() == 0 {
            return None;
        }
        for _ in 0..4 {
            random = random
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            let at = tier.from + tier.draw(random);
            let Some(found) = well(at) else {
                continue;
            };
            let one = &all[at];
            if !one.state.is_warm(self.now, random >> 7, self.breaking) {
                cold = cold.or(Some(found));
                continue;
            }
            if wanted == 1 {
                return Some(found);
            }
            let load = one.state.load(one.weight, self.now);
            if best.is_none_or(|(other, _)| load < other) {
                best = Some((load, found));
            }
            seen += 1;
            if seen == wanted {
                break;
            }
        }
        best.map(|(_, found)| found).or(cold)
    }
}

/// The one that is least by a measure; the first of equal ones.
fn least<M: Ord>(
    all: &[Candidate],
    tier: &Tier,
    well: &impl Fn(usize) -> Option<Found>,
    measure: impl Fn(&Candidate) -> M,
) -> Option<Found> {
    let mut best: Option<(M, Found)> = None;
    let run = (tier.from..).zip(&all[tier.from..tier.until]);
    for (at, one) in run {
        let measured = measure(one);
        if best.as_ref().is_some_and(|(least, _)| *least <= measured) {
            continue;
        }
        if let Some(found) = well(at) {
            best = Some((measured, found));
        }
    }
    best.map(|(_, found)| found)
}

/// Rendezvous hashing with bounded load: each candidate draws a number from what binds the request
/// and from its own name, and the best draw wins. One that has a quarter more requests in flight
/// than its share comes after those that have not. A candidate that goes or comes moves only what
/// was or will be its own.
fn sticky(
    all: &[Candidate],
    tier: &Tier,
    affinity: u64,
    well: &impl Fn(usize) -> Option<Found>,
) -> Option<Found> {
    let run = &all[tier.from..tier.until];
    let mut busy = None;
    let mut beaten: Option<(u64, usize)> = None;
    let mut crowded = None;
    for _ in 0..run.len() {
        let mut best: Option<(u64, usize)> = None;
        for (at, one) in run.iter().enumerate() {
            if one.weight == 0 {
                continue;
            }
            let drawn = mix(affinity ^ one.spot);
            let score = if tier.uniform {
                drawn
            } else {
                weighed(drawn, one.weight)
            };
            if beaten.is_some_and(|limit| (score, at) >= limit) {
                continue;
            }
            if best.is_none_or(|(most, _)| score >= most) {
                best = Some((score, at));
            }
        }
        let (_, at) = best?;
        beaten = best;
        let Some(found) = well(tier.from + at) else {
            continue;
        };
        let mine = u64::from(run[at].state.in_flight());
        // With none in flight it is within any bound, which saves the sum.
        if mine > 0 {
            let busy: u64 = *busy.get_or_insert_with(|| {
                run.iter().map(|one| u64::from(one.state.in_flight())).sum()
            });
            let share = (busy + 1) * u64::from(run[at].weight);
            if mine + 1 > (share * 5).div_ceil(tier.total() * 4) {
                crowded = crowded.or(Some(found));
                continue;
            }
        }
        return Some(found);
    }
    crowded
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// A draw that is won in proportion to the weight: `weight / -log2(u)` for the even draw `u`, as a
/// number to compare. The logarithm is good to a hundredth, which is more than weights are.
fn weighed(drawn: u64, weight: u32) -> u64 {
    let zeros = u64::from(drawn.leading_zeros());
    // The mantissa without its leading one, 16 bits; log2(1 + f) is about f + 0.346 f (1 - f).
    let f = if zeros == 64 {
        0
    } else {
        ((drawn << zeros) << 1) >> 48
    };
    let log = f + ((f * (65_536 - f)) >> 16) * 346 / 1000;
    let minus = ((zeros + 1) << 16) - log.min(65_535);
    (u64::from(weight) << 28) / minus
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

    fn shares(balance: Balance, all: &[Candidate], can: impl Fn(usize) -> bool) -> Vec<u32> {
        let tier = &Tier::of(all)[0];
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
        for balance in [
            Balance::Weighted,
            Balance::LeastLoad,
            Balance::Cheapest,
            Balance::Fastest,
            Balance::Sticky(Sticky::Key),
        ] {
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
        // One of two draws out of four hits it in seven cases of sixteen.
        assert!(shares[2].abs_diff(4_375) < 300, "{shares:?}");
    }

    #[test]
    fn the_cheapest_for_this_request_and_of_equal_ones_the_less_loaded() {
        let all = vec![
            Candidate::new("p", "in").price(10, 1_000),
            Candidate::new("p", "out").price(100, 100),
            Candidate::new("p", "unknown"),
            Candidate::new("p", "out2").price(100, 100),
        ];
        let tier = &Tier::of(&all)[0];
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
    fn stickiness_survives_the_loss_of_another() {
        let all = candidates(&[1; 10]);
        let tier = &Tier::of(&all)[0];
        let (mut moved, mut of_lost) = (0, 0);
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
        }
        assert_eq!(moved, 0);
        assert!((900..1100).contains(&of_lost), "{of_lost}");
    }

    #[test]
    fn a_sticky_target_is_not_overrun() {
        let all = candidates(&[1; 4]);
        let tier = &Tier::of(&all)[0];
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
