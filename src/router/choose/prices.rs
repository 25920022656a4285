use std::cmp::Ordering;

use super::{Choice, Found, Tier};
use crate::router::{ask::Needs, plan::Candidate};

/// Where the cheapest candidates for any request are.
///
/// What a request costs is its input times one price plus its output times another. Drawn as points
/// of a plane, the candidates that are cheapest for some request are the corners of the lower left
/// hull of all, and along the hull the cost of one request falls and then rises: the lowest is found
/// by halving. Those within the hull are looked at only when nobody on it can be asked.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    corners: Box<[Corner]>,
}

/// A price, and who has it: places counted from the tier's first.
#[derive(Clone, Debug)]
struct Corner {
    price: (u64, u64),
    at: Box<[u32]>,
}

/// How many of equal price are looked at.
const LOOKS: usize = 4;

impl Prices {
    pub(super) fn of(run: &[Candidate]) -> Self {
        let mut priced: Vec<(u64, u64, u32)> = (0..)
            .zip(run)
            .filter(|(_, one)| one.weight > 0)
            .filter_map(|(at, one)| one.price.map(|(input, output)| (input, output, at)))
            .collect();
        priced.sort_unstable();
        let mut corners: Vec<Corner> = Vec::new();
        for same in priced.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let price = (same[0].0, same[0].1);
            // In the order of input prices, so one that is no cheaper by output is beaten by any
            // request.
            if corners.last().is_some_and(|last| last.price.1 <= price.1) {
                continue;
            }
            while let [.., a, b] = corners.as_slice() {
                if !is_within(a.price, b.price, price) {
                    break;
                }
                corners.pop();
            }
            let at = same.iter().map(|(_, _, at)| *at).collect();
            corners.push(Corner { price, at });
        }
        Self {
            corners: corners.into(),
        }
    }

    /// The corners where a request costs least: more than one only when they cost the same.
    fn cheapest(&self, needs: &Needs) -> &[Corner] {
        if self.corners.len() < 2 {
            return &self.corners;
        }
        let tokens = needs.tokens();
        let (mut low, mut high) = (0, self.corners.len() - 1);
        while low < high {
            let mid = low.midpoint(high);
            if cost(tokens, self.corners[mid].price) <= cost(tokens, self.corners[mid + 1].price) {
                high = mid;
            } else {
                low = mid + 1;
            }
        }
        let least = cost(tokens, self.corners[low].price);
        let same = self.corners[low..]
            .iter()
            .take_while(|corner| cost(tokens, corner.price) == least);
        &self.corners[low..low + same.count()]
    }
}

/// Whether the middle one of three, in the order of input prices and of falling output prices, is
/// above the line between the others: then one of those is cheaper whatever the request.
fn is_within(a: (u64, u64), b: (u64, u64), c: (u64, u64)) -> bool {
    let (right, down) = (u128::from(c.0 - a.0), u128::from(a.1 - c.1));
    u128::from(b.0 - a.0) * down > u128::from(a.1 - b.1) * right
}

/// What so many tokens in and out cost.
pub(super) fn cost(tokens: (u64, u64), price: (u64, u64)) -> u128 {
    let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
    part(tokens.0, price.0).saturating_add(part(tokens.1, price.1))
}

/// The cheapest for this request that can be asked; of equal ones the less loaded.
pub(super) fn choose(
    choice: &Choice<'_>,
    run: &[Candidate],
    tier: &Tier,
    well: &impl Fn(usize) -> Option<Found>,
) -> Option<Found> {
    let load = |at: usize| run[at].state.load(run[at].weight, choice.now);
    let corners = tier.prices.cheapest(&choice.needs);
    if let [corner] = corners {
        if let [at] = *corner.at {
            if let Some(found) = well(tier.from + at as usize) {
                return Some(found);
            }
        }
    }
    let mut best: Option<(u64, Found)> = None;
    for corner in corners {
        let n = corner.at.len();
        // Of many a few from anywhere on.
        let start = if n > LOOKS {
            (choice.random >> 32) as usize % n
        } else {
            0
        };
        let mut left = LOOKS;
        for i in 0..n {
            let at = corner.at[(start + i) % n] as usize;
            let Some(found) = well(tier.from + at) else {
                continue;
            };
            let load = load(at);
            if best.as_ref().is_none_or(|(least, _)| load < *least) {
                best = Some((load, found));
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    if let Some((_, found)) = best {
        return Some(found);
    }
    let tokens = choice.needs.tokens();
    let mut best: Option<((bool, u128), usize, Found)> = None;
    for (at, one) in run.iter().enumerate() {
        let cost = one.price.map_or(u128::MAX, |price| cost(tokens, price));
        let cost = (one.weight == 0, cost);
        let order = best.as_ref().map_or(Ordering::Less, |(least, other, _)| {
            cost.cmp(least).then_with(|| load(at).cmp(&load(*other)))
        });
        if order == Ordering::Less {
            if let Some(found) = well(tier.from + at) {
                best = Some((cost, at, found));
            }
        }
    }
    best.map(|(_, _, found)| found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The hull against a look at every one.
        #[test]
        fn nobody_is_cheaper_than_the_corner(
            all in prop::collection::vec((0..40_u64, 0..40_u64), 1..60),
            large in any::<bool>(),
            input in 0..50_u64,
            output in 0..50_u64,
        ) {
            // As large as prices and counts may be.
            let wide = |n: u64| if large { u64::MAX - n } else { n };
            let price = |(input, output): (u64, u64)| {
                Candidate::new("p", "m").price(wide(input), wide(output))
            };
            let run: Vec<_> = all.into_iter().map(price).collect();
            let needs = Needs {
                input_tokens: input,
                output_tokens: output,
                ..Needs::default()
            };
            let of = |one: &Candidate| cost(needs.tokens(), one.price.expect("given"));
            let least = run.iter().map(of).min();
            let prices = Prices::of(&run);
            let found = prices.cheapest(&needs);
            prop_assert!(!found.is_empty());
            for corner in found {
                for at in &corner.at {
                    prop_assert_eq!(Some(of(&run[*at as usize])), least);
                }
            }
        }
    }
}
