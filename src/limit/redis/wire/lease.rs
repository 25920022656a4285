//! A part of each limit for one node, and the part of it that is given back.

use std::time::Duration;

use super::{
    super::{
        lease::{Seen, Surplus},
        scale::MOST,
    },
    call::Call,
    cell::{Cell, cells_of, keys},
    change::{Change, Changes},
    question::Nonsense,
};
use crate::limit::Demand;

/// A question for a lease: of each limit as much as there is, up to what is wanted.
#[derive(Debug)]
pub(in crate::limit::redis) struct LeaseQuestion {
    demand: Demand,
    cells: Vec<Cell>,
}

/// What has been leased.
#[derive(Debug)]
pub(in crate::limit::redis) struct Granted {
    /// Of each limit how much, and how it stands.
    pub(in crate::limit::redis) parts: Vec<(u64, Seen)>,
    /// How many of the slots.
    pub(in crate::limit::redis) slots: usize,
    /// How many slots all nodes have now.
    pub(in crate::limit::redis) in_use: u32,
}

impl LeaseQuestion {
    pub(in crate::limit::redis) fn new(demand: &Demand, wants: &[u64]) -> Self {
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
    pub(in crate::limit::redis) fn call(
        &self,
        tag: &str,
        names: &[String],
        ttl: Duration,
        unix: i64,
    ) -> Call {
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
    pub(in crate::limit::redis) fn understand(
        &self,
        reply: &[i64],
        slots: usize,
    ) -> Result<Granted, Nonsense> {
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
    pub(in crate::limit::redis) fn slots_key(&self, tag: &str) -> String {
        let [_, slots] = keys(tag, &self.demand);
        slots
    }
}

/// What is to be told when a part of a lease is given back.
pub(in crate::limit::redis) fn give_back(
    demand: &Demand,
    surplus: &Surplus,
    tag: &str,
    unix: i64,
) -> Changes {
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
