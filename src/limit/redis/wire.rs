//! What is asked of the script, and what its answer means. Pure.

use std::{fmt, time::Duration};

use smallvec::SmallVec;

use super::{
    lease::{Seen, Surplus},
    scale::{MOST, Scale, days},
};
use crate::limit::{
    Ask, Decision, Demand, Limit, Report, Retry, Slots, Standing, Unit, Weights, Window,
    verdict::Verdict,
};

/// One call of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<String>,
}

impl Call {
    fn arg(&mut self, value: impl fmt::Display) {
        self.args.push(value.to_string());
    }
}

/// One limit that a request is held to.
#[derive(Clone, Debug)]
struct Cell {
    /// Which demand.
    demand: usize,
    limit: Limit,
    field: String,
    scale: Scale,
    /// How much was taken, as asked.
    reserved: u64,
    /// The end of the day it was taken from.
    fin: i64,
}

/// A question to the script, kept until its answer is understood.
#[derive(Debug)]
pub(super) struct Question {
    demands: SmallVec<[Demand; 2]>,
    cells: Vec<Cell>,
    weights: Weights,
    peek: bool,
    /// Some weight is larger than its limit.
    never: bool,
}

/// An answer that no script of ours gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// What the script says to a question.
#[expect(
    clippy::large_enum_variant,
    reason = "looked at once, where it is made"
)]
pub(super) enum Answer {
    /// It came too late to be looked at.
    Late,
    /// The verdict; what was taken, if it was.
    Told(Decision<Taken>),
}

/// What one request holds in Redis.
#[derive(Debug)]
pub(super) struct Taken {
    keys: Vec<String>,
    cells: Vec<Cell>,
    /// The sorted sets it has a slot in, by their place among the keys.
    slots: SmallVec<[usize; 2]>,
}

fn field(limit: &Limit, nth: usize) -> String {
    let unit = match limit.unit {
        Unit::Requests => 'r',
        Unit::Tokens => 't',
        Unit::InputTokens => 'i',
        Unit::OutputTokens => 'o',
        Unit::Money => 'm',
    };
    match &limit.window {
        Window::Rolling(rate) => format!("{unit}/{}/{nth}", rate.per()),
        Window::Daily { .. } => format!("{unit}/day/{nth}"),
    }
}

/// The keys of a demand: the hash of its limits, the set of its slots.
fn keys(tag: &str, demand: &Demand) -> [String; 2] {
    let (rule, key) = (&demand.rule, demand.key.as_str());
    ['h', 's'].map(|kind| format!("{{{tag}}}{kind}:{}:{rule}:{key}", rule.len()))
}

/// All limits of a demand, of which nothing is taken.
fn cells_of(at: usize, demand: &Demand) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for limit in demand.limits.list() {
        let alike = |it: &&Cell| {
            it.limit.unit == limit.unit && it.limit.window.length() == limit.window.length()
        };
        let nth = cells.iter().filter(alike).count();
        cells.push(Cell {
            demand: at,
            field: field(limit, nth),
            scale: Scale::of(limit),
            limit: limit.clone(),
            reserved: 0,
            fin: 0,
        });
    }
    cells
}

impl Question {
    pub(super) fn new(ask: &Ask) -> Self {
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
    pub(super) fn call(
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
    pub(super) fn understand(
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

impl Cell {
    fn write(&self, call: &mut Call, cost: &dyn fmt::Display, unix: i64) {
        match (self.scale, &self.limit.window) {
            (
                Scale::Flow {
                    amount, per, tick, ..
                },
                _,
            ) => {
                call.arg('b');
                call.arg(amount);
                call.arg(per);
                call.arg(tick);
            }
            (Scale::Day { shift, .. }, window) => {
                call.arg('d');
                call.arg(1_u64 << shift);
                let zone = match window {
                    Window::Daily { zone, .. } => zone.clone(),
                    Window::Rolling(_) => crate::limit::Zone::utc(),
                };
                for end in days(&zone, unix) {
                    call.arg(end);
                }
            }
        }
        call.arg(cost);
        call.arg(self.scale.most());
    }

    /// A change of what is used, of a day that ended so.
    fn change(&self, key: &str, delta: i64, fin: i64, unix: i64) -> Change {
        let mut call = Call::default();
        call.arg(&self.field);
        self.write(&mut call, &delta, unix);
        call.arg(fin);
        // The script wants the kind first.
        call.args.swap(0, 1);
        Change {
            key: key.to_owned(),
            args: call.args,
        }
    }

    fn standing(&self, level: u64, now: u64) -> Standing {
        let reset = match self.scale {
            Scale::Flow { .. } => Duration::from_nanos(self.scale.nanos(level)),
            Scale::Day { .. } if level == 0 => Duration::ZERO,
            Scale::Day { .. } => {
                let fin = u64::try_from(self.fin).unwrap_or(0);
                Duration::from_micros(fin.saturating_mul(1_000_000).saturating_sub(now))
            }
        };
        Standing {
            unit: self.limit.unit,
            limit: self.limit.window.shown(),
            remaining: self.scale.remaining(level),
            debt: self.scale.debt(level),
            reset,
            window: self.limit.window.length(),
        }
    }
}

impl Taken {
    pub(super) fn nothing() -> Self {
        Self {
            keys: Vec::new(),
            cells: Vec::new(),
            slots: SmallVec::new(),
        }
    }

    /// The keys of the slots it holds.
    pub(super) fn slots(&self) -> impl Iterator<Item = &String> {
        self.slots.iter().map(|at| &self.keys[*at])
    }

    /// What is to be changed at the end.
    pub(super) fn changes(self, id: &str, actual: &Weights, unix: i64) -> Changes {
        let mut changes = Changes::default();
        for cell in &self.cells {
            let Some(actual) = actual.get(cell.limit.unit) else {
                continue;
            };
            let signed = |cost: u64| i64::try_from(cost).unwrap_or(i64::MAX);
            let before = cell.scale.cost(cell.reserved);
            let delta = signed(cell.scale.cost(actual)) - signed(before);
            if delta == 0 {
                continue;
            }
            let key = &self.keys[cell.demand * 2];
            changes.limits.push(cell.change(key, delta, cell.fin, unix));
        }
        for slot in self.slots() {
            changes.slots.push(Change {
                key: slot.clone(),
                args: vec!["s".to_owned(), id.to_owned()],
            });
        }
        changes
    }
}

/// One change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    key: String,
    /// Its kind, then the rest.
    args: Vec<String>,
}

/// What is to be told at the end of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    limits: Vec<Change>,
    /// Freeing a slot twice frees it once.
    slots: Vec<Change>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.slots.is_empty()
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.limits.append(&mut other.limits);
        self.slots.append(&mut other.slots);
    }

    /// Forgets what must not be said twice; how many changes that are.
    pub(super) fn forget_limits(&mut self) -> usize {
        std::mem::take(&mut self.limits).len()
    }

    pub(super) fn call(&self) -> Call {
        let mut call = Call::default();
        call.arg("settle");
        call.arg(self.limits.len() + self.slots.len());
        for change in self.limits.iter().chain(&self.slots) {
            let at = call.keys.iter().position(|key| *key == change.key);
            let at = at.unwrap_or_else(|| {
                call.keys.push(change.key.clone());
                call.keys.len() - 1
            });
            let (kind, rest) = change.args.split_first().expect("a kind");
            call.arg(kind);
            call.arg(at + 1);
            call.args.extend_from_slice(rest);
        }
        call
    }
}

/// Holds slots for another while.
pub(super) fn renew<'a>(
    slots: impl Iterator<Item = (&'a String, &'a String)>,
    ttl: Duration,
) -> Call {
    let mut call = Call::default();
    call.arg("renew");
    call.arg(ttl.as_millis());
    for (key, id) in slots {
        call.keys.push(key.clone());
        call.arg(id);
    }
    call
}

/// Only looks whether the script answers as it should.
pub(super) fn probe() -> Call {
    let mut call = Call::default();
    for arg in ["peek", "0", "-", "0"] {
        call.arg(arg);
    }
    call
}

/// The server's clock in microseconds, as an answer tells it.
pub(super) fn clock(reply: &[i64]) -> Option<u64> {
    reply.get(1).and_then(|now| u64::try_from(*now).ok())
}

/// A question for a lease: of each limit as much as there is, up to what is wanted.
#[derive(Debug)]
pub(super) struct LeaseQuestion {
    demand: Demand,
    cells: Vec<Cell>,
}

/// What has been leased.
#[derive(Debug)]
pub(super) struct Granted {
    /// Of each limit how much, and how it stands.
    pub(super) parts: Vec<(u64, Seen)>,
    /// How many of the slots.
    pub(super) slots: usize,
    /// How many slots all nodes have now.
    pub(super) in_use: u32,
}

impl LeaseQuestion {
    pub(super) fn new(demand: &Demand, wants: &[u64]) -> Self {
        let mut cells = cells_of(0, demand);
        for (cell, want) in cells.iter_mut().zip(wants) {
            cell.reserved = *want;
        }
        Self {
            demand: demand.clone(),
            cells,
        }
    }

    /// The call, for slots of these names.
    pub(super) fn call(&self, tag: &str, names: &[String], ttl: Duration, unix: i64) -> Call {
        let mut call = Call::default();
        call.keys.extend(keys(tag, &self.demand));
        call.arg("lease");
        call.arg(0);
        call.arg('-');
        call.arg(ttl.as_millis());
        match self.demand.limits.concurrent() {
            Some(most) => call.arg(most),
            None => call.arg(-1),
        }
        call.arg(names.len());
        for name in names {
            call.arg(name);
        }
        call.arg(self.cells.len());
        for cell in &self.cells {
            call.arg(&cell.field);
            cell.write(&mut call, &cell.scale.cost(cell.reserved), unix);
        }
        call
    }

    /// What an answer means, when so many slots were asked for.
    pub(super) fn understand(&self, reply: &[i64], slots: usize) -> Result<Granted, Nonsense> {
        let (&[status, now, in_use, granted], rest) = reply.split_first_chunk().ok_or(Nonsense)?;
        let now = u64::try_from(now).map_err(|_| Nonsense)?;
        let granted = usize::try_from(granted).map_err(|_| Nonsense)?;
        if status != 1 || granted > slots || rest.len() != self.cells.len() * 3 {
            return Err(Nonsense);
        }
        let mut parts = Vec::with_capacity(self.cells.len());
        for (cell, told) in self.cells.iter().zip(rest.chunks_exact(3)) {
            let whole = |at: usize| u64::try_from(told[at]).map_err(|_| Nonsense);
            let (cost, level, fin) = (whole(0)?, whole(1)?, told[2]);
            let wanted = cell.scale.cost(cell.reserved);
            if cost > wanted || level > MOST || fin < 0 {
                return Err(Nonsense);
            }
            let amount = if cost == wanted {
                cell.reserved
            } else {
                cell.scale.whole(cost)
            };
            let mut dated = cell.clone();
            dated.fin = fin;
            let seen = Seen {
                standing: dated.standing(level, now),
                level,
                fin,
            };
            parts.push((amount, seen));
        }
        Ok(Granted {
            parts,
            slots: granted,
            in_use: u32::try_from(in_use.max(0)).map_err(|_| Nonsense)?,
        })
    }

    /// Where its slots are.
    pub(super) fn slots_key(&self, tag: &str) -> String {
        let [_, slots] = keys(tag, &self.demand);
        slots
    }
}

/// What is to be told when a part of a lease is given back.
pub(super) fn give_back(demand: &Demand, surplus: &Surplus, tag: &str, unix: i64) -> Changes {
    let mut changes = Changes::default();
    let [hash, slots] = keys(tag, demand);
    let cells = cells_of(0, demand);
    for (_, at, amount, fin) in &surplus.parts {
        if let Some(cell) = cells.get(*at) {
            let back = i64::try_from(cell.scale.back(*amount)).unwrap_or(i64::MAX);
            changes.limits.push(cell.change(&hash, -back, *fin, unix));
        }
    }
    for name in &surplus.slots {
        changes.slots.push(Change {
            key: slots.clone(),
            args: vec!["s".to_owned(), name.clone()],
        });
    }
    changes
}
