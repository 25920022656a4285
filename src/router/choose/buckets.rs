use super::{Found, Tier, mix};
use crate::router::plan::Candidate;

/// Which candidate each bucket of requests that belong together sticks to.
///
/// Rendezvous hashing, done beforehand: what binds a request says which of 16 384 buckets it is in,
/// and in each bucket every candidate draws a number from the bucket's and its own; the best draw
/// wins. A candidate that goes or comes moves only the buckets that were or will be its own. The two best
/// are kept of each bucket.
#[derive(Clone, Debug)]
pub(super) struct Buckets(Box<[[u16; 2]]>);

const BITS: u32 = 14;
/// With fewer than this a look at each is as fast, and takes no memory.
const FEW: usize = 12;

impl Buckets {
    pub(super) fn of(run: &[Candidate], uniform: bool) -> Option<Self> {
        let nobody = run.iter().all(|one| one.weight == 0);
        if nobody || run.len() < FEW || u16::try_from(run.len()).is_err() {
            return None;
        }
        let pair = |bucket| two_best(run, uniform, mix(bucket)).map(|at| at as u16);
        Some(Self((0..1 << BITS).map(pair).collect()))
    }
}

/// The one that a request sticks to. One that has a quarter more requests in flight than its share
/// comes after those that have not.
pub(super) fn choose(
    run: &[Candidate],
    tier: &Tier,
    affinity: u64,
    well: &impl Fn(usize) -> Option<Found>,
) -> Option<Found> {
    let bucket = affinity >> (64 - BITS);
    let uniform = tier.weights.uniform;
    let mut crowds = Crowds { run, busy: None };
    let mut crowded = None;
    if let Some(buckets) = &tier.buckets {
        for at in buckets.0[bucket as usize].map(usize::from) {
            match well(tier.from + at) {
                Some(found) if !crowds.has(at, tier.weights.total) => return Some(found),
                _ => {}
            }
        }
    }
    let bucket = mix(bucket);
    let mut beaten = None;
    for _ in 0..run.len() {
        let (score, at) = best(run, uniform, bucket, beaten)?;
        beaten = Some((score, at));
        let Some(found) = well(tier.from + at) else {
            continue;
        };
        if !crowds.has(at, tier.weights.total) {
            return Some(found);
        }
        crowded = crowded.or(Some(found));
    }
    crowded
}

/// The two best draws of a bucket, the best one first; the same one twice where it is alone.
fn two_best(run: &[Candidate], uniform: bool, bucket: u64) -> [usize; 2] {
    let (mut first, mut second) = (None, None);
    for (at, one) in run.iter().enumerate().filter(|(_, one)| one.weight > 0) {
        let draw = Some((score(one, uniform, bucket), at));
        if draw > first {
            (first, second) = (draw, first);
        } else if draw > second {
            second = draw;
        }
    }
    [first, second.or(first)].map(|draw| draw.map_or(0, |(_, at)| at))
}

fn score(one: &Candidate, uniform: bool, bucket: u64) -> u64 {
    let drawn = mix(bucket ^ one.spot);
    if uniform {
        drawn
    } else {
        weighed(drawn, one.weight)
    }
}

/// The best draw of those below a limit.
fn best(
    run: &[Candidate],
    uniform: bool,
    bucket: u64,
    beaten: Option<(u64, usize)>,
) -> Option<(u64, usize)> {
    let mut best: Option<(u64, usize)> = None;
    for (at, one) in run.iter().enumerate() {
        if one.weight == 0 {
            continue;
        }
        let score = score(one, uniform, bucket);
        if beaten.is_some_and(|limit| (score, at) >= limit) {
            continue;
        }
        if best.is_none_or(|(most, _)| score >= most) {
            best = Some((score, at));
        }
    }
    best
}

/// Who has more in flight than its share.
struct Crowds<'a> {
    run: &'a [Candidate],
    busy: Option<u64>,
}

impl Crowds<'_> {
    fn has(&mut self, at: usize, total: u64) -> bool {
        let of = |one: &Candidate| u64::from(one.state.in_flight());
        let mine = of(&self.run[at]);
        // With none in flight it is within any bound, which saves the sum.
        if mine == 0 {
            return false;
        }
        let busy = *self
            .busy
            .get_or_insert_with(|| self.run.iter().map(of).sum());
        let share = (busy + 1) * u64::from(self.run[at].weight);
        mine + 1 > (share * 5).div_ceil(total * 4)
    }
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

    #[test]
    fn what_is_laid_out_is_what_a_look_at_each_finds() {
        for weight in [|_| 1, |at: u32| at % 4] {
            let one = |at: u32| Candidate::new("p", format!("m{at}")).weight(weight(at));
            let run: Vec<_> = (0..30).map(one).collect();
            let uniform = weight(1) == weight(2);
            let buckets = Buckets::of(&run, uniform).expect("many");
            for (bucket, kept) in (0..).zip(&buckets.0) {
                let first = best(&run, uniform, mix(bucket), None);
                let second = best(&run, uniform, mix(bucket), first);
                let places = [first, second].map(|draw| draw.expect("many").1);
                assert_eq!(kept.map(usize::from), places);
                if bucket > 300 {
                    break;
                }
            }
        }
    }
}
