use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use redis::{RedisError, Script, aio::ConnectionManager};
use tokio::{
    sync::{
        mpsc::{self, OwnedPermit},
        oneshot,
    },
    time::{Instant, timeout, timeout_at},
};

use super::{
    InvalidUrl, Outage, RedisBuilder, RedisHold, RedisStats,
    health::{Fault, Health},
    late::Behind,
    telling::Telling,
    wire::{Answer, Call, Question, clock, keys},
    worker::{self, Job, Late, OpenSlots},
};
use crate::{
    error::{Error, Kind},
    limit::{Ask, Decision, Demand, Limit, Memory, Report, Retry, Store},
};

/// A question older than this, after its budget, is not looked at any more: so a Redis that was stopped
/// for a while does not take what nobody waits for.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// How often a refusal that comes behind something untold is asked for again. Others on this node end
/// meanwhile, so that once is not always enough to be told what is free by then; without an end, refusals
/// under load would be most of what Redis is asked.
const AGAIN: usize = 4;

/// The numbers that the script answers with.
pub(super) type Reply = Vec<i64>;

/// Limits counted in Redis. See the [module](super).
///
/// A clone is the same store.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

pub(super) struct Shared {
    settings: RedisBuilder,
    script: Script,
    connection: ArcSwap<ConnectionManager>,
    /// Told apart from every other node.
    node: String,
    next: AtomicU64,
    pub(super) slots: OpenSlots,
    pub(super) telling: Telling,
    pub(super) health: Health,
    /// What decides in an outage, by a share of every limit.
    local: Memory,
    epoch: Instant,
    /// The server's clock less ours since `epoch`, in microseconds; the least is "not known".
    ahead: AtomicI64,
}

impl Redis {
    /// Begins with where Redis is: `redis://[user:password@]host[:port][/database]`.
    ///
    /// # Errors
    ///
    /// When that is no such address.
    pub fn open(url: &str) -> Result<RedisBuilder, InvalidUrl> {
        RedisBuilder::new(url)
    }

    pub(super) fn new(settings: RedisBuilder) -> Self {
        let (jobs, queue) = mpsc::channel(settings.open_holds);
        let ttl = settings.slot_ttl;
        let shared = Arc::new(Shared {
            script: Script::new(include_str!("limits.lua")),
            connection: ArcSwap::from_pointee(settings.connection()),
            settings,
            node: crate::id::random(""),
            next: AtomicU64::new(0),
            slots: OpenSlots::default(),
            telling: Telling::default(),
            health: Health::default(),
            local: Memory::new(),
            epoch: Instant::now(),
            ahead: AtomicI64::new(i64::MIN),
        });
        tokio::spawn(worker::run(Arc::clone(&shared), queue, ttl));
        Self { shared, jobs }
    }

    /// How decisions have gone so far.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        self.shared.health.stats()
    }

    /// Waits until Redis has been told of every request that has ended before, for two seconds at
    /// most: for the end of a program. Dropped, it changes nothing.
    pub async fn flush(&self) {
        let _ = timeout(LATE * 2, self.told()).await;
    }

    /// Waits until what has ended before is told; whether it was.
    pub(super) async fn told(&self) -> bool {
        let (done, told) = oneshot::channel();
        self.jobs.send(Job::Flush(done)).await.is_ok() && told.await.is_ok()
    }

    /// Decides within the budget. A refusal that may be for what this node has given back, and
    /// Redis has not been told of, is asked for again when it has. It stands where that is not answered
    /// in time: Redis has decided, and what was waited for was not its answer alone.
    async fn decide(self, ask: Ask) -> Result<Decision<RedisHold>, Error> {
        let end = Instant::now() + self.shared.settings.budget;
        let telling = &self.shared.telling;
        let waited_for = || telling.is_waited_for(&self.keys(&ask));
        if !ask.peek && telling.is_anything_waited_for() && waited_for() {
            // In time or not: Redis is asked, and has as long to answer. With nothing left for it a slow word of
            // ours would be taken for its outage.
            let _ = timeout(self.shared.settings.budget / 2, self.told()).await;
        }
        let mut behind = false;
        let mut decision = match self.once(&ask, end, &mut behind).await {
            Ok(decision) => decision,
            Err(fault) => return self.without(fault, &ask),
        };
        let mut refused = None;
        for _ in 0..AGAIN {
            let settled = match &decision {
                Decision::Admitted(..) => !ask.peek,
                Decision::Refused(refusal) => refusal.retry == Retry::Never,
            };
            if settled || !behind {
                break;
            }
            let is_slot = matches!(&decision, Decision::Refused(it) if it.retry == Retry::Release);
            if is_slot && refused.is_none() {
                refused = Some(telling.refused(&self.keys(&ask)));
            }
            if timeout_at(end, self.told()).await != Ok(true) {
                break;
            }
            let Ok(again) = self.once(&ask, end, &mut behind).await else {
                break;
            };
            decision = again;
        }
        Ok(decision)
    }

    /// Under which keys its limits are.
    #[cold]
    fn keys(&self, ask: &Ask) -> Vec<String> {
        let demands = ask.demands.iter();
        let keys = demands.flat_map(|demand| keys(&self.shared.settings.tag, demand));
        keys.collect()
    }

    /// Asks once; `behind` says whether changes to the same keys were yet to be told
    /// then, or still are.
    async fn once(
        &self,
        ask: &Ask,
        end: Instant,
        behind: &mut bool,
    ) -> Result<Decision<RedisHold>, Fault> {
        let Ok(permit) = self.jobs.clone().try_reserve_owned() else {
            return Err(Fault::Full);
        };
        let shared = &self.shared;
        if shared.health.is_suspended() {
            return Err(Fault::Suspended);
        }
        let id = shared.next_id();
        let question = Question::new(ask);
        let ttl = shared.settings.slot_ttl;
        let call = question.call(
            &shared.settings.tag,
            &shared.name(id),
            ttl,
            shared.deadline(),
            shared.unix(),
        );
        *behind = shared.telling.has(&call.keys);
        let keys = call.keys.clone();
        let mut pending = Pending {
            shared: Arc::clone(shared),
            parts: Some((
                Late {
                    id,
                    call: Box::pin(Arc::clone(shared).ask(call)),
                    question,
                    keys,
                },
                permit,
            )),
        };
        let reply = match timeout_at(end, &mut pending).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(fault(&error)),
            Err(_) => return Err(Fault::Slow),
        };
        let (late, permit) = pending.parts.take().expect("answered once");
        *behind |= shared.telling.has(&late.keys);
        match late.question.understand(&reply, late.keys) {
            Ok(Answer::Told(decision)) => {
                shared.health.well();
                shared.health.decided.fetch_add(1, Ordering::Relaxed);
                Ok(decision.map(|taken| RedisHold::remote(id, taken, permit, Arc::clone(shared))))
            }
            Ok(Answer::Late) => Err(Fault::Slow),
            Err(_) => Err(Fault::Nonsense),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn jobs(&self) -> &mpsc::Sender<Job> {
        &self.jobs
    }

    /// Decides without Redis.
    pub(super) fn without(&self, fault: Fault, ask: &Ask) -> Result<Decision<RedisHold>, Error> {
        let shared = &self.shared;
        shared.failed(fault);
        let count = match shared.settings.outage {
            Outage::LocalShare => &shared.health.by_local_share,
            Outage::Closed => &shared.health.closed,
            Outage::Open => &shared.health.open,
        };
        count.fetch_add(1, Ordering::Relaxed);
        match shared.settings.outage {
            Outage::LocalShare => {
                let share = |demand: &Demand| Demand {
                    limits: demand.limits.share(shared.settings.nodes),
                    ..demand.clone()
                };
                let share = Ask {
                    demands: ask.demands.iter().map(share).collect(),
                    ..ask.clone()
                };
                let mut decision = shared.local.decide(&share).map(RedisHold::local);
                if let Decision::Refused(refusal) = &mut decision {
                    if refusal.retry == Retry::Never && fits(ask) {
                        // Larger than the share, not than the limit: when Redis is back it fits.
                        refusal.retry = Retry::Release;
                    }
                }
                Ok(decision)
            }
            Outage::Closed => Err(Error::new(
                Kind::Overloaded,
                "Rate limits cannot be checked at the moment. Please try again.",
            )
            .with_code("limits_unavailable")
            .with_retry_after(Duration::from_secs(1))),
            Outage::Open => Ok(Decision::Admitted(RedisHold::nothing(), Report::default())),
        }
    }
}

impl Shared {
    /// The name of a hold.
    pub(super) fn name(&self, id: u64) -> String {
        format!("{}-{id:x}", self.node)
    }

    /// A number that no other hold of this node has.
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn tag(&self) -> &str {
        &self.settings.tag
    }

    pub(super) fn slot_ttl(&self) -> Duration {
        self.settings.slot_ttl
    }

    pub(super) fn budget(&self) -> Duration {
        self.settings.budget
    }

    /// The time of day here, in Unix nanoseconds.
    #[expect(clippy::unused_self, reason = "a clock is a part of the store")]
    pub(super) fn unix(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        i64::try_from(since.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(i64::MAX)
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Until when, by the server's clock, a question of now is worth an answer.
    fn deadline(&self) -> u64 {
        match self.ahead.load(Ordering::Relaxed) {
            i64::MIN => 0,
            ahead => {
                let patience = (self.settings.budget + LATE).as_micros();
                let patience = i64::try_from(patience).unwrap_or(i64::MAX);
                let end = self.micros().saturating_add(ahead).saturating_add(patience);
                u64::try_from(end).unwrap_or(0)
            }
        }
    }

    pub(super) fn failed(&self, fault: Fault) {
        self.health.ill(fault, self.settings.outage);
    }

    async fn ask(self: Arc<Self>, call: Call) -> Result<Reply, RedisError> {
        self.invoke(&call).await
    }

    pub(super) async fn invoke(&self, call: &Call) -> Result<Reply, RedisError> {
        let mut invocation = self.script.prepare_invoke();
        for key in &call.keys {
            invocation.key(key);
        }
        for arg in &call.args {
            invocation.arg(arg);
        }
        let mut connection = ConnectionManager::clone(&self.connection.load());
        let reply: Reply = invocation.invoke_async(&mut connection).await?;
        if let Some(now) = clock(&reply).and_then(|now| i64::try_from(now).ok()) {
            self.ahead
                .store(now.saturating_sub(self.micros()), Ordering::Relaxed);
        }
        Ok(reply)
    }

    pub(super) fn reconnect(&self) {
        self.connection.store(Arc::new(self.settings.connection()));
    }
}

/// Whether a request is within its limits when nothing of them is used.
fn fits(ask: &Ask) -> bool {
    ask.demands.iter().all(|demand| {
        let within = |limit: &Limit| {
            let amount = ask.weights.get(limit.unit).unwrap_or(0);
            amount <= limit.window.capacity()
        };
        let slots = demand.limits.concurrent().filter(|_| ask.weights.slot());
        demand.limits.list().iter().all(within) && slots != Some(0)
    })
}

/// What kind of failure an error is.
pub(super) fn fault(error: &RedisError) -> Fault {
    if error.is_timeout() {
        Fault::Slow
    } else if error.is_io_error() || error.is_connection_dropped() {
        // Of the network or of TLS: nothing of a request is in it.
        #[cfg(feature = "tracing")]
        tracing::debug!(%error, "limits: Redis cannot be reached");
        Fault::Gone
    } else {
        Fault::Nonsense
    }
}

/// A decision on its way. Dropped before it is there, somebody else waits for it and gives back what
/// it took.
struct Pending {
    shared: Arc<Shared>,
    parts: Option<(Late, OwnedPermit<Job>)>,
}

impl Future for Pending {
    type Output = Result<Reply, RedisError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (late, _) = self.parts.as_mut().expect("polled after completion");
        let result = std::task::ready!(late.call.as_mut().poll(cx));
        if result.is_err() {
            self.parts = None;
        }
        Poll::Ready(result)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((late, permit)) = self.parts.take() {
            let behind = Behind::new(Arc::clone(&self.shared), late.keys.clone());
            permit.send(Job::Late(Box::new(late), behind));
        }
    }
}

type Deciding = Pin<Box<dyn Future<Output = Result<Decision<RedisHold>, Error>> + Send>>;

/// A decision of [`Redis`]. Dropped before its end, it gives back what it may have taken.
pub struct Take(Deciding);

impl Future for Take {
    type Output = Result<Decision<RedisHold>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis::Take")
    }
}

impl Store for Redis {
    type Hold = RedisHold;
    type Take = Take;

    fn take(&self, ask: Ask) -> Take {
        Take(Box::pin(self.clone().decide(ask)))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.shared.settings)
            .field("stats", &self.stats())
            .finish()
    }
}
