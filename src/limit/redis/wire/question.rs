//! Whether a request may pass.

use std::time::Duration;

use smallvec::SmallVec;

use super::{
    super::scale::{MOST, Scale},
    call::Call,
    cell::{Cell, cells_of, keys},
    taken::Taken,
};
use crate::limit::{Ask, Decision, Demand, Report, Retry, Slots, Weights, verdict::Verdict};

/// A question to the script, kept until its answer is understood.
#[derive(Debug)]
pub(in crate::limit::redis) struct Question {
    demands: SmallVec<[Demand; 2]>,
    cells: Vec<Cell>,
    weights: Weights,
    peek: bool,
    /// Some weight is larger than its limit.
    never: bool,
}

/// An answer that no script of ours gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit::redis) struct Nonsense;

/// What the script says to a question.
#[expect(
    clippy::large_enum_variant,
    reason = "looked at once, where it is made"
)]
pub(in crate::limit::redis) enum Answer {
    /// It came too late to be looked at.
    Late,
    /// The verdict; what was taken, if it was.
    Told(Decision<Taken>),
}

impl Question {
    pub(in crate::limit::redis) fn new(ask: &Ask) -> Self {
        let mut demands: SmallVec<[Demand; 2]> = SmallVec::new();
        for demand in &*ask.demands {
            let twice = |it: &Demand| it.rule == demand.rule && it.key == demand.key;
            if !demands.iter().any(twice) {
                demands.push(demand.clone());
            }
        }
        let mut cells: Vec<Cell> = Vec::new();
        let mut never = false;
        for (at, demand) in demands.iter().enumerate() {
            for (limit, mut cell) in demand.limits.list().iter().zip(cells_of(at, demand)) {
                if let Some(reserved) = ask.weights.get(limit.unit) {
                    never |= reserved > limit.window.capacity();
                    cell.reserved = if ask.peek { 0 } else { reserved };
                    cells.push(cell);
                }
            }
            let slots = demand.limits.concurrent().filter(|_| ask.weights.slot());
            never |= slots == Some(0);
        }
        Self {
            demands,
            cells,
            weights: ask.weights,
            peek: ask.peek,
            never: never && !ask.peek,
        }
    }

    fn slots(&self, demand: &Demand) -> Option<u32> {
        demand.limits.concurrent().filter(|_| self.weights.slot())
    }

    /// The call, to be looked at until `deadline` (in microseconds of the server's clock; 0 is
    /// always), at a time of day in Unix nanoseconds.
    pub(in crate::limit::redis) fn call(
        &self,
        tag: &str,
        id: &str,
        ttl: Duration,
        deadline: u64,
        unix: i64,
    ) -> Call {
        let mut call = Call::default();
        call.arg(if self.peek || self.never {
            "peek"
        } else {
            "take"
        });
        call.arg(deadline);
        call.arg(id);
        call.arg(ttl.as_millis());
        for (at, demand) in self.demands.iter().enumerate() {
            call.keys.extend(keys(tag, demand));
            match self.slots(demand) {
                Some(most) => call.arg(most),
                None => call.arg(-1),
            }
            let cells = || self.cells.iter().filter(|cell| cell.demand == at);
            call.arg(cells().count());
            for cell in cells() {
                call.arg(&cell.field);
                let cost = if self.never {
                    0
                } else {
                    cell.scale.cost(cell.reserved)
                };
                cell.write(&mut call, &cost, unix);
            }
        }
        call
    }

    /// What an answer means; `keys` are those of the call.
    pub(in crate::limit::redis) fn understand(
        mut self,
        reply: &[i64],
        keys: Vec<String>,
    ) -> Result<Answer, Nonsense> {
        let (&[status, now], rest) = reply.split_first_chunk().ok_or(Nonsense)?;
        let now = u64::try_from(now).map_err(|_| Nonsense)?;
        if status == 0 && rest.is_empty() {
            return Ok(Answer::Late);
        }
        let mut rest = rest.iter().copied();
        let (mut verdict, mut report) = (Verdict::default(), Report::default());
        let mut slots = SmallVec::new();
        let mut cells = std::mem::take(&mut self.cells);
        for (at, demand) in self.demands.iter().enumerate() {
            let in_use = rest.next().ok_or(Nonsense)?;
            if let Some(limit) = self.slots(demand) {
                let in_use = u32::try_from(in_use).map_err(|_| Nonsense)?;
                report.add_slots(Slots { limit, in_use });
                slots.push(at * 2 + 1);
                if limit == 0 {
                    verdict.deny(&demand.rule, None, Retry::Never);
                } else if status == 2 && in_use >= limit {
                    verdict.deny(&demand.rule, None, Retry::Release);
                }
            } else if in_use != -1 {
                return Err(Nonsense);
            }
            for cell in cells.iter_mut().filter(|cell| cell.demand == at) {
                let mut next = || rest.next().ok_or(Nonsense);
                let (wait, level, fin) = (next()?, next()?, next()?);
                let level = u64::try_from(level).map_err(|_| Nonsense)?;
                if level > MOST || wait > 1 << 53 || !(0..1 << 53).contains(&fin) {
                    return Err(Nonsense);
                }
                cell.fin = fin;
                report.add(cell.standing(level, now));
                if cell.reserved > cell.limit.window.capacity() {
                    verdict.deny(&demand.rule, Some(cell.limit.unit), Retry::Never);
                } else if let Ok(wait) = u64::try_from(wait) {
                    let wait = match cell.scale {
                        Scale::Flow { .. } => Duration::from_nanos(cell.scale.nanos(wait)),
                        Scale::Day { .. } => Duration::from_micros(wait),
                    };
                    verdict.deny(&demand.rule, Some(cell.limit.unit), Retry::After(wait));
                }
            }
        }
        if rest.next().is_some() {
            return Err(Nonsense);
        }
        if self.peek {
            let told = Decision::Admitted(Taken::nothing(), report);
            return Ok(Answer::Told(told));
        }
        match (status, verdict.is_admitted()) {
            (1, true) => {
                let taken = Taken { keys, cells, slots };
                Ok(Answer::Told(Decision::Admitted(taken, report)))
            }
            (1, false) if !self.never => Err(Nonsense),
            (1 | 2, false) => Ok(Answer::Told(Decision::Refused(verdict.refusal(report)))),
            _ => Err(Nonsense),
        }
    }
}
