//! Decisions that nobody waits for any more: what they have taken is given back.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    sync::oneshot,
    task::{Id, JoinError, JoinSet},
};

use super::{
    store::Shared,
    wire::{Answer, Changes},
    worker::Late,
};
use crate::limit::{Decision, nothing};

/// Says of some keys that something is yet to be told, until it is dropped.
pub(super) struct Behind {
    shared: Arc<Shared>,
    keys: Vec<String>,
}

impl Behind {
    pub(super) fn new(shared: Arc<Shared>, keys: Vec<String>) -> Self {
        shared.telling.begin(keys.iter());
        Self { shared, keys }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.shared.telling.over(self.keys.iter());
    }
}

/// Those that are waited for here, and who wants to know when they are over.
#[derive(Default)]
pub(super) struct Lates {
    running: JoinSet<Changes>,
    numbers: HashMap<Id, u64>,
    next: u64,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl Lates {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn add(&mut self, shared: &Arc<Shared>, late: Late, behind: Behind) {
        let id = self
            .running
            .spawn(over(Arc::clone(shared), late, behind))
            .id();
        self.numbers.insert(id, self.next);
        self.next += 1;
    }

    /// What is to be given back of the next that is over. `None` where there is none.
    pub(super) async fn over(&mut self) -> Option<Changes> {
        let (id, changes) = match self.running.join_next_with_id().await? {
            Ok(over) => over,
            Err(error) => (JoinError::id(&error), Changes::default()),
        };
        self.numbers.remove(&id);
        Some(changes)
    }

    /// Says so once all that run now are over, and told.
    pub(super) fn tell(&mut self, done: oneshot::Sender<()>) {
        // Whoever was to be told may have had no time.
        self.waiting.retain(|(_, done)| !done.is_closed());
        self.waiting.push((self.next, done));
    }

    /// All that are over have been told.
    pub(super) fn told(&mut self) {
        let first = self.numbers.values().min().copied().unwrap_or(self.next);
        let waiting = mem::take(&mut self.waiting).into_iter();
        let (over, waiting) = waiting.partition::<Vec<_>, _>(|(number, _)| *number <= first);
        self.waiting = waiting;
        for (_, done) in over {
            let _ = done.send(());
        }
    }
}

async fn over(shared: Arc<Shared>, late: Late, behind: Behind) -> Changes {
    let changes = changes(&shared, late).await.unwrap_or_default();
    // Until they are told, in the place of what may have been taken.
    shared.telling.begin(changes.keys());
    drop(behind);
    changes
}

async fn changes(shared: &Shared, late: Late) -> Option<Changes> {
    let reply = late.call.await.ok()?;
    let Answer::Told(Decision::Admitted(taken, _)) =
        late.question.understand(&reply, late.keys).ok()?
    else {
        return None;
    };
    shared.health.late.fetch_add(1, Ordering::Relaxed);
    Some(taken.changes(&shared.name(late.id), &nothing(), shared.unix()))
}
