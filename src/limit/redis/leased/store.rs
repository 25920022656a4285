use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    super::Redis,
    LeasedHold, LeasedTake,
    slices::{IDLE, Slices},
};
use crate::limit::{Ask, Store};

/// Limits of which each node leases slices from Redis, to give them out without asking.
///
/// Where a limit is far from used up, a decision takes no round trip: a node leases a slice of it, by
/// default a twentieth of what may come at once, and leases the next in the background when half of
/// that is gone. What it has not used for a while it gives back.
///
/// **Overshoot.** A leased slice counts as used from then on. So in any span of time at most what the
/// limit admits there is admitted, and what nodes had leased before and not used: for each node at
/// most two slices and one request. Slots for concurrent requests are leased too, one by one or a
/// twentieth at a time, and never overshoot. Near the limit, on the other hand, a request may be
/// refused while another node has a part of a slice left.
///
/// A node that dies loses what it has leased: tokens and requests until they have flowed back, slots
/// until they [expire](crate::limit::redis::RedisBuilder::slot_ttl). While Redis is away, what is leased is given
/// out, and then [`Outage`](crate::limit::redis::Outage) says what happens.
///
/// ```no_run
/// use tower_completions::limit::{Limiter, redis::{Leased, Redis}};
///
/// # fn main() -> Result<(), tower_completions::limit::redis::InvalidUrl> {
/// let store = Leased::new(Redis::open("redis://127.0.0.1:6379")?.build()).slices(50);
/// let limiter = Limiter::with_store(store);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Leased {
    pub(super) inner: Arc<Slices>,
    pub(super) slices: u64,
}

impl Leased {
    /// On top of a [`Redis`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime: it starts the task that gives back what nobody uses.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let inner = Arc::new(Slices::new(redis));
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 2).await;
                match weak.upgrade() {
                    Some(inner) => inner.sweep(IDLE),
                    None => return,
                }
            }
        });
        Self { inner, slices: 20 }
    }

    /// Into how many slices what may come at once is divided. Default: 20.
    #[must_use]
    pub fn slices(mut self, slices: u64) -> Self {
        self.slices = slices.max(1);
        self
    }

    /// How many leases were asked for so far.
    #[must_use]
    pub fn leases(&self) -> u64 {
        self.inner.leases.load(Ordering::Relaxed)
    }

    /// The store that leases.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.inner.redis
    }

    /// Gives back all that is leased and not used, and waits until Redis knows: for the end of a
    /// program. Dropped, what was given back stays so.
    pub async fn flush(&self) {
        // What is on its way comes first.
        let mut told = Vec::new();
        for entry in &self.inner.entries {
            let mut state = entry.lock();
            if state.asking.is_on() {
                let (tell, hear) = oneshot::channel();
                state.asking.join(Some(tell));
                told.push(hear);
            }
        }
        for told in told {
            let _ = told.await;
        }
        self.inner.sweep(Duration::ZERO);
        self.inner.redis.flush().await;
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("redis", &self.inner.redis)
            .field("slices", &self.slices)
            .field("leases", &self.leases())
            .finish_non_exhaustive()
    }
}

impl Store for Leased {
    type Hold = LeasedHold;
    type Take = LeasedTake;

    fn take(&self, ask: Ask) -> LeasedTake {
        LeasedTake(Box::pin(self.clone().decide(ask)))
    }
}
