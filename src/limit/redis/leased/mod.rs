//! Slices of limits, leased from Redis and given out without asking.

mod hold;
mod slices;
mod taking;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

pub use self::hold::LeasedHold;
use self::{
    hold::Held,
    slices::{IDLE, Slices},
    taking::Tried,
};
use super::{Redis, health::Fault};
use crate::{
    error::Error,
    limit::{Ask, Decision, Report, Store},
};

/// Requests lease again at most so often in vain.
const ROUNDS: usize = 3;

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
/// until they [expire](super::RedisBuilder::slot_ttl). While Redis is away, what is leased is given
/// out, and then [`Outage`](super::Outage) says what happens.
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
    inner: Arc<Slices>,
    slices: u64,
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

    async fn decide(self, ask: Ask) -> Result<Decision<LeasedHold>, Error> {
        let Some(entries) = self.entries(&ask) else {
            return self.directly(ask).await;
        };
        if ask.peek {
            return self.look(&ask).await;
        }
        for round in 0..=ROUNDS {
            let short = match self.try_now(&entries, &ask) {
                Tried::Admitted(report) => {
                    let hold = LeasedHold(Held::Leased {
                        entries,
                        reserved: ask.weights,
                        inner: Arc::clone(&self.inner),
                    });
                    return Ok(Decision::Admitted(hold, report));
                }
                Tried::Refused(refusal) => return Ok(Decision::Refused(*refusal)),
                Tried::Short(short) => short,
            };
            if round == ROUNDS {
                return Ok(Decision::Refused(self.refusal(&entries, &ask, &short)));
            }
            if self.inner.redis.shared().health.is_suspended() {
                return self.without(Fault::Suspended, &ask);
            }
            let mut told = Vec::new();
            let mut own = true;
            for lacks in short {
                let entry = &entries[lacks.at];
                own &= self.lease(entry, &lacks.more, lacks.slot, Some(&mut told));
            }
            let all = async {
                for told in told {
                    told.await.unwrap_or(Err(Fault::Gone))?;
                }
                Ok(())
            };
            match timeout(self.inner.redis.shared().budget(), all).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return self.without(fault, &ask),
                Err(_) => return self.without(Fault::Slow, &ask),
            }
            // All that it lacks was asked for in its name: what is still not there is not to be had.
            if own {
                if let Tried::Short(short) = self.probe(&entries, &ask) {
                    return Ok(Decision::Refused(self.refusal(&entries, &ask, &short)));
                }
            }
        }
        unreachable!("the last round returns")
    }

    /// How things stand, from Redis, with what this node has leased and not used.
    async fn look(&self, ask: &Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.take(ask.clone()).await?;
        let Decision::Admitted(hold, mut report) = decision else {
            return Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))));
        };
        if let Some(entries) = self.entries(ask) {
            let mut own = Report::default();
            for entry in &entries {
                entry.lock().lease.report(&ask.weights, &mut own);
            }
            for (told, own) in [
                (&mut report.requests, own.requests),
                (&mut report.tokens, own.tokens),
                (&mut report.money, own.money),
            ] {
                if let (Some(told), Some(own)) = (told, own) {
                    if told.limit == own.limit && told.window == own.window {
                        told.remaining = told.remaining.max(own.remaining);
                    }
                }
            }
            if let (Some(told), Some(own)) = (&mut report.concurrent, own.concurrent) {
                told.in_use = told.in_use.min(own.in_use);
            }
        }
        Ok(Decision::Admitted(LeasedHold(Held::Direct(hold)), report))
    }

    async fn directly(&self, ask: Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.take(ask).await?;
        Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))))
    }

    fn without(&self, fault: Fault, ask: &Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.without(fault, ask)?;
        Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))))
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

type Deciding = Pin<Box<dyn Future<Output = Result<Decision<LeasedHold>, Error>> + Send>>;

/// A decision of [`Leased`]. Dropped before its end, it has taken nothing.
pub struct LeasedTake(Deciding);

impl Future for LeasedTake {
    type Output = Result<Decision<LeasedHold>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for LeasedTake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeasedTake")
    }
}

impl Store for Leased {
    type Hold = LeasedHold;
    type Take = LeasedTake;

    fn take(&self, ask: Ask) -> LeasedTake {
        LeasedTake(Box::pin(self.clone().decide(ask)))
    }
}
