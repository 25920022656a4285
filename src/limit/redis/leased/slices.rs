//! What one node has leased, key by key, and the calls that bring more or give it back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time::timeout,
};

use super::super::{
    Redis,
    asking::Asking,
    health::Fault,
    lease::{Keep, Lease, Seen, Surplus},
    store::{Shared, fault},
    wire::{self, Changes},
    worker::Job,
};
use crate::limit::{Demand, Key, Limit, Limits};

/// All that is leased, and the calls for more.
pub(super) struct Slices {
    pub(super) redis: Redis,
    pub(super) entries: DashMap<(Arc<str>, Key), Arc<Entry>>,
    pub(super) leases: AtomicU64,
}

/// One key of one rule. All that changes is under its one lock, which is never held while anything is
/// waited for: whoever finds too little joins those that wait in the same moment in which it learns
/// whether a call is on its way, and who brings more takes those that wait in the same in which it
/// adds it. The model of `modelled` tries every order of that.
///
/// An entry leaves the map under the write lock of its part, when nobody has a clone of it and
/// nothing is leased; clones are made under the read lock.
pub(super) struct Entry {
    pub(super) demand: Demand,
    pub(super) lease: Mutex<State>,
}

pub(super) type Told = Result<(), Fault>;

pub(super) struct State {
    pub(super) lease: Lease,
    pub(super) asking: Asking<oneshot::Sender<Told>>,
    /// Not before then is more leased in advance.
    pub(super) again: Option<Instant>,
}

/// How long a lease is kept that nobody uses.
pub(super) const IDLE: Duration = Duration::from_secs(10);

impl Entry {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for a slot, until it is dropped.
pub(super) struct Waiting(pub(super) Arc<Entry>);

impl Waiting {
    pub(super) fn new(entry: &Arc<Entry>) -> Self {
        entry.lock().lease.wait();
        Self(Arc::clone(entry))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().lease.left();
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

impl Slices {
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            entries: DashMap::new(),
            leases: AtomicU64::new(0),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.redis.shared()
    }

    /// Leases, and tells those that wait.
    pub(super) async fn fetch(
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
        if slots > 0 && shared.telling.has(&call.keys) {
            // What has been given back here is to be had again. In time or not: Redis is asked, while those that
            // wait for this still do.
            let _ = timeout(shared.budget() / 2, self.redis.told()).await;
        }
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
                    state.lease.add_slots(names, slots, granted.in_use);
                    // Meanwhile others may have given back what they had reserved.
                    let surplus = state.lease.surplus(Keep::For(&more));
                    self.give_back(&demand, &surplus);
                } else {
                    // The limits have changed meanwhile: it goes back as it came.
                    let part = |(at, (limit, part)): (usize, (_, &(u64, Seen)))| {
                        let limit: &Limit = limit;
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
    pub(super) fn give_back(&self, demand: &Demand, surplus: &Surplus) {
        if surplus.is_empty() {
            return;
        }
        let shared = self.shared();
        for name in &surplus.slots {
            shared.slots.remove_name(name);
        }
        let changes: Changes = wire::give_back(demand, surplus, shared.tag(), shared.unix());
        shared.telling.begin(changes.keys());
        if let Err(
            TrySendError::Full(Job::Settle(lost)) | TrySendError::Closed(Job::Settle(lost)),
        ) = self.redis.jobs().try_send(Job::Settle(changes))
        {
            shared.telling.over(lost.keys());
        }
    }

    /// Gives back what nobody has used for so long.
    pub(super) fn sweep(&self, idle: Duration) {
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

impl Drop for Slices {
    fn drop(&mut self) {
        self.sweep(Duration::ZERO);
    }
}
