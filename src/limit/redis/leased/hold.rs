use std::{fmt, sync::Arc};

use super::{
    super::RedisHold,
    slices::Slices,
    taking::{Entries, Generations},
};
use crate::limit::{Demand, Hold, Weights, nothing};

/// What one request has taken from a [`Leased`](super::Leased).
pub struct LeasedHold(pub(super) Held);

pub(super) enum Held {
    Nothing,
    Direct(RedisHold),
    Leased {
        entries: Entries,
        /// Of the limits of each entry, when it was taken from.
        generations: Generations,
        reserved: Weights,
        inner: Arc<Slices>,
    },
}

impl LeasedHold {
    fn end(&mut self, actual: &Weights) {
        match std::mem::replace(&mut self.0, Held::Nothing) {
            Held::Nothing => {}
            Held::Direct(hold) => hold.settle(actual),
            Held::Leased {
                entries,
                generations,
                reserved,
                inner,
            } => {
                for (entry, generation) in entries.iter().zip(generations) {
                    let mut state = entry.lock();
                    let surplus = state.lease.settle(generation, &reserved, actual);
                    if !surplus.is_empty() {
                        let demand = Demand {
                            limits: state.lease.limits().clone(),
                            ..entry.demand.clone()
                        };
                        drop(state);
                        inner.give_back(&demand, &surplus);
                    }
                }
            }
        }
    }
}

impl Hold for LeasedHold {
    fn settle(mut self, actual: &Weights) {
        self.end(actual);
    }
}

impl Drop for LeasedHold {
    fn drop(&mut self) {
        self.end(&nothing());
    }
}

impl fmt::Debug for LeasedHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeasedHold")
    }
}
