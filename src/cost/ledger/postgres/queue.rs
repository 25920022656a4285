//! Ends of holds on their way to the database, with a place for each reserved by its hold.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::{Notify, oneshot};

use crate::cost::{Amount, HoldId};

/// How a hold ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) hold: HoldId,
    pub(super) account: Arc<str>,
    /// `None` releases it.
    pub(super) charge: Option<Amount>,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
    closing: AtomicBool,
    /// Holds whose end is not in the database yet.
    open: AtomicUsize,
    max_open: usize,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) ends: Vec<End>,
    /// To be told when all before is in the database.
    pub(super) barriers: Vec<oneshot::Sender<()>>,
}

impl Queue {
    pub(super) fn new(max_open: usize) -> Self {
        Self {
            max_open,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves the place of a hold; false when all are taken.
    pub(super) fn reserve(&self) -> bool {
        let place = |open: usize| (open < self.max_open).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, place)
            .is_ok()
    }

    /// Gives places back.
    pub(super) fn free(&self, places: usize) {
        self.open.fetch_sub(places, Ordering::AcqRel);
    }

    /// Into the place that its hold has reserved.
    pub(super) fn push(&self, end: End) {
        self.lock().ends.push(end);
        self.more.notify_one();
    }

    pub(super) fn barrier(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.lock().barriers.push(sender);
        self.more.notify_one();
        receiver
    }

    /// All that waits; `None` when no more will come.
    pub(super) async fn take(&self) -> Option<Waiting> {
        loop {
            let more = self.more.notified();
            let waiting = self.take_now();
            if !waiting.ends.is_empty() || !waiting.barriers.is_empty() {
                return Some(waiting);
            }
            if self.is_closing() {
                return None;
            }
            more.await;
        }
    }

    /// All that waits now.
    pub(super) fn take_now(&self) -> Waiting {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.more.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// What a hold has reserved and, once asked for, may have in the database. Dropped, it is released.
pub(super) struct Open {
    pub(super) hold: HoldId,
    pub(super) account: Arc<str>,
    pub(super) queue: Arc<Queue>,
    /// Whether the database may know of it.
    pub(super) asked: bool,
    ended: bool,
}

impl Open {
    /// Reserves a place; `None` when all are taken.
    pub(super) fn new(queue: &Arc<Queue>, hold: HoldId, account: &str) -> Option<Self> {
        queue.reserve().then(|| Self {
            hold,
            account: account.into(),
            queue: Arc::clone(queue),
            asked: false,
            ended: false,
        })
    }

    /// Ends it with a charge.
    pub(super) fn charge(mut self, charge: Amount) {
        self.ended = true;
        if self.asked || charge > Amount::ZERO {
            self.push(Some(charge));
        } else {
            self.queue.free(1);
        }
    }

    /// The database has said that it has none of it.
    pub(super) fn refused(mut self) {
        self.ended = true;
        self.queue.free(1);
    }

    fn push(&self, charge: Option<Amount>) {
        self.queue.push(End {
            hold: self.hold,
            account: Arc::clone(&self.account),
            charge,
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.ended {
        } else if self.asked {
            self.push(None);
        } else {
            self.queue.free(1);
        }
    }
}
