use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use smallvec::SmallVec;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Redis, RedisHold,
    asking::Asking,
    health::Fault,
    lease::{Keep, Lease, Surplus, Word},
    store::{Shared, fault},
    wire::{self, Changes},
    worker::Job,
};
use crate::{
    error::Error,
    limit::{
        Ask, Decision, Demand, Hold, Key, Limits, Refusal, Report, Retry, Store, Weights, nothing,
    },
};

/// How many keys have a lease at most; further ones are decided by Redis itself.
const CAPACITY: usize = 65_536;

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
    inner: Arc<Inner>,
    slices: u64,
}

struct Inner {
    redis: Redis,
    entries: DashMap<(Arc<str>, Key), Arc<Entry>>,
    leases: AtomicU64,
}

/// One key of one rule. All that changes is under its one lock, which is never held while anything is
/// waited for: whoever finds too little joins those that wait in the same moment in which it learns
/// whether a call is on its way, and who brings more takes those that wait in the same in which it
/// adds it. The model of `modelled` tries every order of that.
///
/// An entry leaves the map under the write lock of its part, when nobody has a clone of it and
/// nothing is leased; clones are made under the read lock.
struct Entry {
    demand: Demand,
    lease: Mutex<State>,
}

type Told = Result<(), Fault>;

struct State {
    lease: Lease,
    asking: Asking<oneshot::Sender<Told>>,
    /// Not before then is more leased in advance.
    again: Option<Instant>,
}

/// How long a lease is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(10);

impl Leased {
    /// On top of a [`Redis`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime: it starts the task that gives back what nobody uses.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let inner = Arc::new(Inner {
            redis,
            entries: DashMap::new(),
            leases: AtomicU64::new(0),
        });
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

    fn entries(&self, ask: &Ask) -> Option<Entries> {
        let map = &self.inner.entries;
        let mut entries = Entries::new();
        for demand in ask.demands() {
            let place = (Arc::clone(&demand.rule), demand.key.clone());
            let known = map.get(&place).map(|entry| Arc::clone(&entry));
            let entry = match known {
                Some(entry) => entry,
                None if map.len() >= CAPACITY => return None,
                None => {
                    let fresh = || {
                        Arc::new(Entry {
                            demand: demand.clone(),
                            lease: Mutex::new(State {
                                lease: Lease::new(self.slices),
                                asking: Asking::Idle,
                                again: None,
                            }),
                        })
                    };
                    Arc::clone(&map.entry(place).or_insert_with(fresh))
                }
            };
            if !entries.iter().any(|it| Arc::ptr_eq(it, &entry)) {
                entries.push(entry);
            }
        }
        // All threads lock in the same order.
        entries.sort_unstable_by_key(Arc::as_ptr);
        Some(entries)
    }

    /// Takes from all leases, or from none.
    fn try_now(&self, entries: &[Arc<Entry>], ask: &Ask) -> Tried {
        self.visit(entries, ask, true)
    }

    /// Whether it would be enough.
    fn probe(&self, entries: &[Arc<Entry>], ask: &Ask) -> Tried {
        self.visit(entries, ask, false)
    }

    fn visit(&self, entries: &[Arc<Entry>], ask: &Ask, take: bool) -> Tried {
        let mut locked: SmallVec<[MutexGuard<'_, State>; 2]> =
            entries.iter().map(|entry| entry.lock()).collect();
        let mut short = Vec::new();
        let mut never = None;
        let now = Instant::now();
        for (at, (entry, state)) in entries.iter().zip(&mut locked).enumerate() {
            let of = |it: &&Demand| it.rule == entry.demand.rule && it.key == entry.demand.key;
            let limits = ask.demands().iter().find(of).map(|it| &it.limits);
            if let Some(limits) = limits {
                let surplus = state.lease.adapt(limits);
                self.inner.give_back(&entry.demand, &surplus);
            }
            state.lease.used_at = Some(now);
            match state.lease.look(&ask.weights) {
                Word::Enough => {}
                Word::More(more, slot) => short.push(Short { at, more, slot }),
                Word::Never(unit) => never = Some((Arc::clone(&entry.demand.rule), unit)),
            }
        }
        let mut report = Report::default();
        if never.is_none() && short.is_empty() && take {
            for state in &mut locked {
                state.lease.take(&ask.weights);
            }
        }
        for state in &locked {
            state.lease.report(&ask.weights, &mut report);
        }
        if let Some((rule, unit)) = never {
            return Tried::Refused(Box::new(Refusal::new(rule, unit, Retry::Never, report)));
        }
        if !short.is_empty() {
            return Tried::Short(short);
        }
        let low: SmallVec<[bool; 2]> = locked
            .iter()
            .map(|state| {
                state.lease.is_low()
                    && !state.asking.is_on()
                    && state.again.is_none_or(|again| now >= again)
            })
            .collect();
        drop(locked);
        for (entry, low) in entries.iter().zip(low) {
            if low && take {
                self.lease(entry, &[], false, None);
            }
        }
        Tried::Admitted(report)
    }

    /// Asks Redis for more, unless somebody does; whether the call is for what this one needs.
    fn lease(
        &self,
        entry: &Arc<Entry>,
        more: &[u64],
        slot: bool,
        told: Option<&mut Vec<oneshot::Receiver<Told>>>,
    ) -> bool {
        let waiter = told.map(|told| {
            let (tell, hear) = oneshot::channel();
            told.push(hear);
            tell
        });
        let mut state = entry.lock();
        let ours = state.asking.join(waiter);
        if ours {
            let (wants, slots) = state.lease.wants(more, slot);
            let limits = state.lease.limits().clone();
            self.inner.leases.fetch_add(1, Ordering::Relaxed);
            let inner = Arc::clone(&self.inner);
            // A task: whoever waits for it may leave, and what was granted must not be lost.
            let fetch = inner.fetch(Arc::clone(entry), limits, wants, more.to_vec(), slots);
            tokio::spawn(fetch);
        }
        ours
    }

    fn refusal(&self, entries: &[Arc<Entry>], ask: &Ask, short: &[Short]) -> Refusal {
        let mut verdict = crate::limit::verdict::Verdict::default();
        let mut report = Report::default();
        for entry in entries {
            entry.lock().lease.report(&ask.weights, &mut report);
        }
        for lacks in short {
            let entry = &entries[lacks.at];
            let (unit, retry) = entry.lock().lease.retry(&lacks.more, lacks.slot);
            verdict.deny(&entry.demand.rule, unit, retry);
        }
        verdict.refusal(report)
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

type Entries = SmallVec<[Arc<Entry>; 2]>;

/// What one lease lacks.
struct Short {
    at: usize,
    more: Vec<u64>,
    slot: bool,
}

enum Tried {
    Admitted(Report),
    Refused(Box<Refusal>),
    Short(Vec<Short>),
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way. Dropped before its end, by a panic or with its task, it is over all the same: those
/// that wait hear that nothing came of it, and the next makes a new one.
struct Over<'a>(&'a Entry);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        drop(self.0.lock().asking.over());
    }
}

impl Inner {
    fn shared(&self) -> &Arc<Shared> {
        self.redis.shared()
    }

    /// Leases, and tells those that wait.
    async fn fetch(
        self: Arc<Self>,
        entry: Arc<Entry>,
        limits: Limits,
        wants: Vec<u64>,
        more: Vec<u64>,
        slots: usize,
    ) {
        let shared = self.shared();
        let over = Over(&entry);
        let demand = Demand {
            limits,
            ..entry.demand.clone()
        };
        let ids: Vec<u64> = (0..slots).map(|_| shared.next_id()).collect();
        let names: Vec<String> = ids.iter().map(|id| shared.name(*id)).collect();
        let question = wire::LeaseQuestion::new(&demand, &wants);
        let call = question.call(shared.tag(), &names, shared.slot_ttl(), shared.unix());
        let asked = match shared.invoke(&call).await {
            Ok(reply) => question
                .understand(&reply, slots)
                .map_err(|_| Fault::Nonsense),
            Err(error) => Err(fault(&error)),
        };
        let result = asked.as_ref().map(|_| ()).map_err(|fault| *fault);
        match result {
            Ok(()) => shared.health.well(),
            Err(fault) => shared.failed(fault),
        }
        let waiting = {
            let mut state = entry.lock();
            if let Ok(granted) = asked {
                let names = names[..granted.slots].to_vec();
                for id in &ids[..granted.slots] {
                    shared
                        .slots
                        .insert_keys(*id, vec![question.slots_key(shared.tag())]);
                }
                let in_vain = granted
                    .parts
                    .iter()
                    .zip(&wants)
                    .any(|(got, want)| got.0 < *want);
                state.again = in_vain.then(|| Instant::now() + Duration::from_millis(20));
                if state.lease.credit(&demand.limits, &granted.parts) {
                    state.lease.add_slots(names, granted.in_use);
                    // Meanwhile others may have given back what they had reserved.
                    let surplus = state.lease.surplus(Keep::For(&more));
                    self.give_back(&demand, &surplus);
                } else {
                    // The limits have changed meanwhile: it goes back as it came.
                    let part = |(at, (limit, part)): (usize, (_, &(u64, super::lease::Seen)))| {
                        let limit: &crate::limit::Limit = limit;
                        (limit.clone(), at, part.0, part.1.fin)
                    };
                    let list = demand.limits.list().iter().zip(&granted.parts);
                    let parts = list.enumerate().map(part).filter(|part| part.2 > 0);
                    let parts = parts.collect();
                    self.give_back(
                        &demand,
                        &Surplus {
                            parts,
                            slots: names,
                        },
                    );
                }
            }
            state.asking.over()
        };
        std::mem::forget(over);
        for waiting in waiting {
            let _ = waiting.send(result);
        }
    }

    /// Tells Redis what this node does not need. Where too much waits to be told it is lost: it
    /// flows off, and slots expire.
    fn give_back(&self, demand: &Demand, surplus: &Surplus) {
        if surplus.is_empty() {
            return;
        }
        let shared = self.shared();
        for name in &surplus.slots {
            shared.slots.remove_name(name);
        }
        let changes: Changes = wire::give_back(demand, surplus, shared.tag(), shared.unix());
        let _ = self.redis.jobs().try_send(Job::Settle(changes));
    }

    /// Gives back what nobody has used for so long.
    fn sweep(&self, idle: Duration) {
        let now = Instant::now();
        self.entries.retain(|_, entry| {
            let mut state = entry.lock();
            let since = state
                .lease
                .used_at
                .map_or(idle, |at| now.duration_since(at));
            if since < idle {
                return true;
            }
            let demand = Demand {
                limits: state.lease.limits().clone(),
                ..entry.demand.clone()
            };
            let surplus = state.lease.surplus(Keep::Nothing);
            self.give_back(&demand, &surplus);
            !state.lease.is_idle() || state.asking.is_on() || Arc::strong_count(entry) > 1
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sweep(Duration::ZERO);
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

/// What one request has taken from a [`Leased`].
pub struct LeasedHold(Held);

enum Held {
    Nothing,
    Direct(RedisHold),
    Leased {
        entries: Entries,
        reserved: Weights,
        inner: Arc<Inner>,
    },
}

impl LeasedHold {
    fn end(&mut self, actual: &Weights) {
        match std::mem::replace(&mut self.0, Held::Nothing) {
            Held::Nothing => {}
            Held::Direct(hold) => hold.settle(actual),
            Held::Leased {
                entries,
                reserved,
                inner,
            } => {
                for entry in &entries {
                    let mut state = entry.lock();
                    let surplus = state.lease.settle(&reserved, actual);
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
