use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Found, Tier};
use crate::router::{plan::Candidate, state::Millis};

/// The paces of many candidates, and the best of every sixteen of them: written when an outcome is
/// noted, so that a choice looks at one number for sixteen candidates.
///
/// A target that another model has too is noted here only when this model has asked it. What is
/// written here is therefore compared with what is known of the target before it is believed.
#[derive(Clone, Debug)]
pub(super) struct Paces(Arc<[Block]>);

#[derive(Debug, Default)]
struct Block {
    each: [AtomicU64; BLOCK],
    /// The least of them, its place in the last bits.
    best: AtomicU64,
}

const BLOCK: usize = 16;
/// So many bits say a place among all.
const PLACE: u32 = u16::BITS;

impl Paces {
    /// None for so few that one look at each is as fast, nor for more than have a place.
    pub(super) fn of(run: &[Candidate]) -> Option<Self> {
        if run.len() <= BLOCK || u16::try_from(run.len()).is_err() {
            return None;
        }
        let blocks = run.chunks(BLOCK).enumerate().map(|(nth, run)| {
            let block = Block::default();
            for at in 0..BLOCK {
                let pace = run.get(at).map_or(u64::MAX, Candidate::pace);
                block.each[at].store(pace, Ordering::Relaxed);
            }
            block.find(nth);
            block
        });
        Some(Self(blocks.collect()))
    }

    /// Notes the pace of one, counted from the tier's first.
    pub(super) fn note(&self, at: usize, pace: u64) {
        let block = &self.0[at / BLOCK];
        block.each[at % BLOCK].store(pace, Ordering::SeqCst);
        block.find(at / BLOCK);
    }

    /// The best of all, by what is written here.
    fn best(&self) -> (usize, u64) {
        let all = self
            .0
            .iter()
            .map(|block| block.best.load(Ordering::Relaxed));
        let best = all.fold(u64::MAX, u64::min);
        (usize::from(best as u16), best >> PLACE)
    }
}

impl Block {
    /// Finds the best of this block anew, again when another thread has written meanwhile: the last one to look
    /// has seen what both wrote.
    fn find(&self, nth: usize) {
        let first = (nth * BLOCK) as u64;
        let find = || {
            let paces = self.each.iter().map(|pace| pace.load(Ordering::SeqCst));
            (first..)
                .zip(paces)
                .map(|(at, pace)| packed(pace) | at)
                .min()
                .unwrap_or(u64::MAX)
        };
        let mut best = find();
        loop {
            self.best.store(best, Ordering::SeqCst);
            let again = find();
            if again == best {
                return;
            }
            best = again;
        }
    }
}

/// A pace above the bits of a place.
fn packed(pace: u64) -> u64 {
    pace.min(u64::MAX >> PLACE) << PLACE
}

/// So many that keep others waiting are passed by for one request: where all do, it is soon asked anyway.
const HANGING: usize = 4;

/// The one with the best pace that can be asked.
// It has one caller, whose closures cost no call then.
#[inline(always)]
pub(super) fn choose(
    run: &[Candidate],
    tier: &Tier,
    now: Millis,
    well: &impl Fn(usize) -> Option<Found>,
) -> Option<Found> {
    let best = || match &tier.paces {
        Some(paces) => fresh(run, paces),
        None => least(run),
    };
    let mut first = best();
    // The best is looked at alone: what another hides would not make it better.
    for _ in 0..HANGING {
        if !first.is_some_and(|at| run[at].state.hangs(now)) {
            break;
        }
        first = best();
    }
    // Nearly always the best of all can be asked: only else it is worth to look at who can.
    if let Some(found) = first.and_then(|at| well(tier.from + at)) {
        return Some(found);
    }
    let mut best: Option<(u64, Found)> = None;
    for (at, one) in run.iter().enumerate() {
        let pace = one.pace();
        if best.as_ref().is_none_or(|(least, _)| pace < *least) {
            if let Some(found) = well(tier.from + at) {
                best = Some((pace, found));
            }
        }
    }
    best.map(|(_, found)| found)
}

/// The best by what is written, once that is what is known.
fn fresh(run: &[Candidate], paces: &Paces) -> Option<usize> {
    for _ in 0..BLOCK {
        let (at, written) = paces.best();
        let known = run.get(at)?.pace();
        if packed(known) == packed(written) {
            return Some(at);
        }
        paces.note(at, known);
    }
    least(run)
}

fn least(run: &[Candidate]) -> Option<usize> {
    let paces = run.iter().map(Candidate::pace);
    (0..)
        .zip(paces)
        .min_by_key(|(_, pace)| *pace)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{plan::Balance, state::Can};

    fn candidates(n: usize) -> Vec<Candidate> {
        (0..n)
            .map(|at| Candidate::new("p", format!("m{at}")))
            .collect()
    }

    #[test]
    fn the_best_is_found_whatever_is_noted_here_or_elsewhere() {
        let all = candidates(50);
        let tier = &Tier::of(&all, Balance::Fastest)[0];
        let paces = tier.paces.as_ref().expect("many");
        let mut seed = 1_u64;
        for nth in 1..2_000 {
            seed = super::super::mix(seed + nth);
            let at = seed as usize % all.len();
            all[at].state.took(1 + (seed >> 40), nth * 100);
            // Another model's requests are not noted here, but only those that make it worse can
            // be found out.
            let worse =
                all[at].pace() > paces.0[at / BLOCK].each[at % BLOCK].load(Ordering::SeqCst);
            if nth % 3 != 0 || !worse {
                paces.note(at, all[at].pace());
            }
            let found = choose(&all, tier, 0, &|at| Some((at, None))).expect("one");
            assert_eq!(
                Some(all[found.0].pace()),
                all.iter().map(Candidate::pace).min()
            );
        }
    }

    #[test]
    fn threads_that_note_at_once_leave_the_best_behind() {
        let all = candidates(17);
        let tier = &Tier::of(&all, Balance::Fastest)[0];
        let paces = tier.paces.as_ref().expect("many");
        for round in 1..200_u64 {
            std::thread::scope(|scope| {
                for at in 0..4 {
                    scope.spawn(move || {
                        for step in 0..20 {
                            paces.note(at, 1_000 * round - step * (at as u64 + 1));
                        }
                    });
                }
            });
            for at in 4..17 {
                paces.note(at, u64::MAX);
            }
            assert_eq!(paces.best(), (3, 1_000 * round - 76));
        }
    }

    #[test]
    fn the_best_that_can() {
        for n in [10, 60] {
            let all = candidates(n);
            for (at, one) in all.iter().enumerate() {
                one.state.took(1_000 + (at as u64 * 7) % n as u64, 0);
            }
            let tier = &Tier::of(&all, Balance::Fastest)[0];
            let mut order: Vec<_> = (0..n).collect();
            order.sort_by_key(|at| all[*at].pace());
            let mut gone = Vec::new();
            for want in order {
                let can = |at: usize| (!gone.contains(&at)).then_some(Can::Yes(None));
                let well = |at| can(at).map(|_| (at, None));
                let found = choose(&all, tier, 0, &well).expect("one").0;
                assert_eq!(all[found].pace(), all[want].pace());
                gone.push(found);
            }
        }
    }
}
