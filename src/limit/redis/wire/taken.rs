//! What one request holds, and what is to be changed when it ends.

use smallvec::SmallVec;

use super::{
    cell::Cell,
    change::{Change, Changes},
};
use crate::limit::Weights;

/// What one request holds in Redis.
#[derive(Debug)]
pub(in crate::limit::redis) struct Taken {
    pub(super) keys: Vec<String>,
    pub(super) cells: Vec<Cell>,
    /// The sorted sets it has a slot in, by their place among the keys.
    pub(super) slots: SmallVec<[usize; 2]>,
}

impl Taken {
    pub(in crate::limit::redis) fn nothing() -> Self {
        Self {
            keys: Vec::new(),
            cells: Vec::new(),
            slots: SmallVec::new(),
        }
    }

    /// The keys of the slots it holds.
    pub(in crate::limit::redis) fn slots(&self) -> impl Iterator<Item = &String> {
        self.slots.iter().map(|at| &self.keys[*at])
    }

    /// What is to be changed at the end.
    pub(in crate::limit::redis) fn changes(self, id: &str, actual: &Weights, unix: i64) -> Changes {
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
