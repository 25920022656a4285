use super::{Choice, Found, Tier};
use crate::router::{ask::Needs, plan::Candidate};

/// Where the cheapest candidates for any request are.
///
/// What a request costs is its input times one price plus its output times another. Drawn as points
/// of a plane, the candidates that are cheapest for some request are the corners of the lower left
/// hull of all, and along the hull the cost of one request falls and then rises: the lowest is found
/// by halving. Those within the hull have a hull of their own, and so on: nobody within one is cheaper
/// than the cheapest on it, so a look from the outermost inwards may end early when who is on it cannot
/// be asked.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    hulls: Box<[Hull]>,
}

type Hull = Box<[Corner]>;

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
        let same = priced.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let mut left: Vec<Corner> = same
            .map(|same| Corner {
                price: (same[0].0, same[0].1),
                at: same.iter().map(|(_, _, at)| *at).collect(),
            })
            .collect();
        let mut hulls = Vec::new();
        while !left.is_empty() {
            let hull = hull(&mut left);
            hulls.push(hull.into());
        }
        Self {
            hulls: hulls.into(),
        }
    }

    /// The corners where a request costs least: more than one only when they cost the same.
    fn cheapest(&self, needs: &Needs) -> &[Corner] {
        let corners: &[Corner] = match &*self.hulls {
            [] => &[],
            [outermost, ..] => outermost,
        };
        if corners.len() < 2 {
            return corners;
        }
        let tokens = needs.tokens();
        let (mut low, mut high) = (0, corners.len() - 1);
        while low < high {
            let mid = low.midpoint(high);
            if cost(tokens, corners[mid].price) <= cost(tokens, corners[mid + 1].price) {
                high = mid;
            } else {
                low = mid + 1;
            }
        }
        let least = cost(tokens, corners[low].price);
        let same = corners[low..]
            .iter()
            .take_while(|corner| cost(tokens, corner.price) == least);
        &corners[low..low + same.count()]
    }
}

/// Takes the lower left hull out of points in the order of their prices.
fn hull(points: &mut Vec<Corner>) -> Vec<Corner> {
    let mut corners: Vec<Corner> = Vec::new();
    let mut within = Vec::new();
    for point in std::mem::take(points) {
        // In the order of input prices, so one that is no cheaper by output is beaten by any request.
        if corners
            .last()
            .is_some_and(|last| last.price.1 <= point.price.1)
        {
            within.push(point);
            continue;
        }
        while let [.., a, b] = corners.as_slice() {
            if !is_within(a.price, b.price, point.price) {
                break;
            }
            within.extend(corners.pop());
        }
        corners.push(point);
    }
    within.sort_unstable_by_key(|point| point.price);
    *points = within;
    corners
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
// It has one caller, whose closures cost no call then.
#[inline(always)]
pub(super) fn choose(
    choice: &Choice<'_>,
    run: &[Candidate],
    tier: &Tier,
    well: &impl Fn(usize) -> Option<Found>,
) -> Option<Found> {
    let corners = tier.prices.cheapest(choice.needs);
    if let [corner] = corners {
        if let [at] = *corner.at {
            if let Some(found) = well(tier.from + at as usize) {
                return Some(found);
            }
        }
    }
    // The less loaded of those at a corner that can be asked: of many a few, from anywhere on.
    let at_corner = |corner: &Corner| {
        let n = corner.at.len();
        let start = if n > LOOKS {
            (choice.random >> 32) as usize % n
        } else {
            0
        };
        let places = (0..n).map(|i| corner.at[(start + i) % n] as usize);
        let can = places.filter_map(|at| Some((at, well(tier.from + at)?)));
        let load = |at: usize| run[at].state.load(run[at].weight, choice.now);
        can.take(LOOKS)
            .map(|(at, found)| (load(at), found))
            .min_by_key(|(load, _)| *load)
    };
    let least = corners.iter().filter_map(at_corner);
    if let Some((_, found)) = least.min_by_key(|(load, _)| *load) {
        return Some(found);
    }
    let tokens = choice.needs.tokens();
    let mut best: Option<(u128, u64, Found)> = None;
    for hull in &tier.prices.hulls {
        let mut least = u128::MAX;
        for corner in hull {
            let cost = cost(tokens, corner.price);
            least = least.min(cost);
            if best.as_ref().is_some_and(|(best, ..)| *best < cost) {
                continue;
            }
            if let Some((load, found)) = at_corner(corner) {
                let better = |(other, busy, _): &(u128, u64, Found)| (cost, load) < (*other, *busy);
                if best.as_ref().is_none_or(better) {
                    best = Some((cost, load, found));
                }
            }
        }
        if best.as_ref().is_some_and(|(best, ..)| *best <= least) {
            break;
        }
    }
    // Who has no price comes after all that have one, and who has no weight after them.
    let resort = || {
        let without = |at: &usize| run[*at].price.is_none() && run[*at].weight > 0;
        let can = (0..run.len()).filter(without);
        let can = can.filter_map(|at| Some((at, well(tier.from + at)?)));
        let load = |at: usize| run[at].state.load(run[at].weight, choice.now);
        can.map(|(at, found)| (load(at), found))
            .min_by_key(|(load, _)| *load)
    };
    match best {
        Some((_, _, found)) => Some(found),
        None => resort().map(|(_, found)| found),
    }
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

        /// One after another, each gone when it has been found: in the order of what they cost.
        #[test]
        fn the_next_one_is_the_next_cheapest(
            all in prop::collection::vec((0..20_u64, 0..20_u64), 1..40),
            input in 0..50_u64,
            output in 0..50_u64,
        ) {
            let price = |(input, output): (u64, u64)| Candidate::new("p", "m").price(input, output);
            let run: Vec<_> = all.into_iter().map(price).collect();
            let needs = Needs {
                input_tokens: input,
                output_tokens: output,
                ..Needs::default()
            };
            let of = |at: usize| cost(needs.tokens(), run[at].price.expect("given"));
            let tier = &Tier::of(&run, crate::router::Balance::Cheapest)[0];
            let breaking = crate::router::Breaking::default();
            let choice = Choice {
                balance: crate::router::Balance::Cheapest,
                random: input << 40,
                now: 0,
                needs: &needs,
                affinity: None,
                breaking: &breaking,
            };
            let mut left: Vec<_> = (0..run.len()).collect();
            while !left.is_empty() {
                let well = |at: usize| left.contains(&at).then_some((at, None));
                let (found, _) = choose(&choice, &run, tier, &well).expect("somebody can");
                let least = left.iter().map(|at| of(*at)).min();
                prop_assert_eq!(Some(of(found)), least);
                left.retain(|at| *at != found);
            }
        }
    }
}
