use std::{fmt, sync::Arc, time::Duration};

use super::{
    hold::QueueHold,
    shared::Shared,
    sync::atomic::{AtomicU64, Ordering},
    take::QueueTake,
};
use crate::{
    limit::{Ask, Key, Store},
    time::{DefaultTimer, Timer},
};

/// A store whose requests wait for their limits, where that helps, instead of being refused.
///
/// Callers wait in line by the key of the first rule that concerns them: oldest first within a key,
/// and between keys in turns, weighted by [`weight`](Self::weight), as far as they wait for the same
/// limit; nobody waits behind a limit that is not its own. A request is refused when the line of its
/// key is full, when it would have to wait beyond its deadline, or when it can never fit. In
/// [`Mode::Shadow`](super::super::Mode::Shadow) nothing waits.
///
/// A waiting request has taken nothing. Dropped at any time, it leaves the line.
///
/// ```
/// use std::time::Duration;
/// use tower_completions::limit::{Limiter, Memory, Queue, RateLimitLayer};
///
/// let store = Queue::new(Memory::new()).timeout(Duration::from_secs(10)).length(32);
/// let layer = RateLimitLayer::new(Limiter::with_store(store));
/// ```
#[derive(Clone)]
pub struct Queue<St, T = DefaultTimer> {
    pub(super) store: St,
    pub(super) timer: T,
    pub(super) timeout: Duration,
    pub(super) length: usize,
    pub(super) total: usize,
    pub(super) weight: Arc<dyn Fn(&Key) -> u32 + Send + Sync>,
    pub(super) shared: Arc<Shared>,
}

/// What became of requests in a [`Queue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Requests that wait now.
    pub waiting: usize,
    /// Requests that have waited and were admitted.
    pub waited: u64,
    /// Requests that were refused at their deadline, or at once because they would have missed it.
    pub expired: u64,
    /// Requests that were refused because the line was full.
    pub full: u64,
}

impl<St> Queue<St> {
    /// In front of a store, on the default timer.
    pub fn new(store: St) -> Self {
        Self::with_timer(store, DefaultTimer::default())
    }
}

impl<St, T> Queue<St, T> {
    /// In front of a store, on a clock of your own.
    pub fn with_timer(store: St, timer: T) -> Self {
        Self {
            store,
            timer,
            timeout: Duration::from_secs(30),
            length: 100,
            total: 10_000,
            weight: Arc::new(|_| 1),
            shared: Arc::default(),
        }
    }

    /// How long a request waits at most. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests of one key wait at most. Default: 100.
    #[must_use]
    pub fn length(mut self, requests: usize) -> Self {
        self.length = requests;
        self
    }

    /// How many requests of all keys wait at most. Default: 10 000.
    #[must_use]
    pub fn total(mut self, requests: usize) -> Self {
        self.total = requests;
        self
    }

    /// How much of what several keys wait for each gets, beside the others'; zero counts as one.
    /// Called with the line locked: it must not block. Default: one for each.
    #[must_use]
    pub fn weight(mut self, weight: impl Fn(&Key) -> u32 + Send + Sync + 'static) -> Self {
        self.weight = Arc::new(weight);
        self
    }

    /// Whether somebody is at the line just now.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        self.shared.line.try_lock().is_err()
    }

    /// The store behind it.
    pub fn store(&self) -> &St {
        &self.store
    }

    /// What has become of requests so far.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        QueueStats {
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            waited: of(&self.shared.waited),
            expired: of(&self.shared.expired),
            full: of(&self.shared.full),
        }
    }
}

impl<St: fmt::Debug, T> fmt::Debug for Queue<St, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.store)
            .field("timeout", &self.timeout)
            .field("length", &self.length)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<St: Store, T: Timer> Store for Queue<St, T> {
    type Hold = QueueHold<St::Hold>;
    type Take = QueueTake<St, T>;

    fn take(&self, ask: Ask) -> Self::Take {
        QueueTake::new(self.clone(), ask)
    }
}
