//! One limit as the script knows it: its place, its numbers, how it stands.

use std::{fmt, time::Duration};

use super::{
    super::scale::{Scale, days},
    call::Call,
    change::Change,
};
use crate::limit::{Demand, Limit, Standing, Unit, Window};

/// One limit that a request is held to.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Which demand.
    pub(super) demand: usize,
    pub(super) limit: Limit,
    pub(super) field: String,
    pub(super) scale: Scale,
    /// How much was taken, as asked.
    pub(super) reserved: u64,
    /// The end of the day it was taken from.
    pub(super) fin: i64,
}

/// The keys of a demand: the hash of its limits, the set of its slots.
pub(in crate::limit::redis) fn keys(tag: &str, demand: &Demand) -> [String; 2] {
    let (rule, key) = (&demand.rule, demand.key.as_str());
    ['h', 's'].map(|kind| format!("{{{tag}}}{kind}:{}:{rule}:{key}", rule.len()))
}

/// All limits of a demand, of which nothing is taken.
pub(super) fn cells_of(at: usize, demand: &Demand) -> Vec<Cell> {
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

impl Cell {
    pub(super) fn write(&self, call: &mut Call, cost: &dyn fmt::Display, unix: i64) {
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
    pub(super) fn change(&self, key: &str, delta: i64, fin: i64, unix: i64) -> Change {
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

    pub(super) fn standing(&self, level: u64, now: u64) -> Standing {
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
