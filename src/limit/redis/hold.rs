use std::{fmt, sync::Arc};

use tokio::sync::mpsc::OwnedPermit;

use super::{store::Shared, wire::Taken, worker::Job};
use crate::limit::{Hold, MemoryHold, Weights, nothing};

/// What one request has taken from a [`Redis`](super::Redis), or from its stand-in.
pub struct RedisHold(Held);

enum Held {
    /// Nothing, or it has been told.
    Nothing,
    Local(MemoryHold),
    Remote(Box<Remote>),
}

struct Remote {
    id: u64,
    taken: Taken,
    /// A place in the queue of what is to be told, so that no end can be lost to a full one.
    permit: OwnedPermit<Job>,
    shared: Arc<Shared>,
}

impl RedisHold {
    pub(super) const fn nothing() -> Self {
        Self(Held::Nothing)
    }

    pub(super) const fn local(hold: MemoryHold) -> Self {
        Self(Held::Local(hold))
    }

    pub(super) fn remote(
        id: u64,
        taken: Taken,
        permit: OwnedPermit<Job>,
        shared: Arc<Shared>,
    ) -> Self {
        shared.slots.insert(id, &taken);
        Self(Held::Remote(Box::new(Remote {
            id,
            taken,
            permit,
            shared,
        })))
    }

    fn end(&mut self, actual: &Weights) {
        match std::mem::replace(&mut self.0, Held::Nothing) {
            Held::Nothing => {}
            Held::Local(hold) => hold.settle(actual),
            Held::Remote(remote) => {
                let Remote {
                    id,
                    taken,
                    permit,
                    shared,
                } = *remote;
                shared.slots.remove(id);
                let name = shared.name(id);
                let changes = taken.changes(&name, actual, shared.unix());
                if !changes.is_empty() {
                    shared.telling.begin(changes.keys());
                    permit.send(Job::Settle(changes));
                }
            }
        }
    }
}

impl Hold for RedisHold {
    fn settle(mut self, actual: &Weights) {
        self.end(actual);
    }
}

impl Drop for RedisHold {
    fn drop(&mut self) {
        self.end(&nothing());
    }
}

impl fmt::Debug for RedisHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            Held::Nothing => "nothing",
            Held::Local(_) => "local",
            Held::Remote(_) => "remote",
        };
        f.debug_tuple("RedisHold").field(&what).finish()
    }
}
