//! The task that tells Redis of ended requests, renews the slots of open ones, and looks whether an
//! outage is over.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use redis::RedisError;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    late::{Behind, Lates},
    store::{Reply, Shared, fault},
    wire::{Changes, Question, Taken, probe, renew},
};

/// So many ends of requests are told in one call.
const BATCH: usize = 64;
/// So many slots are renewed in one call.
const RENEWED: usize = 500;
/// How often an outage is looked into.
const LOOK: Duration = Duration::from_millis(100);
/// How long such a look waits for an answer; then the connection is given up for a new one, as one
/// that lost its peer in silence may never fail by itself.
const PATIENCE: Duration = Duration::from_millis(500);

type Pending = Pin<Box<dyn Future<Output = Result<Reply, RedisError>> + Send>>;

/// What the task is to do.
pub(super) enum Job {
    /// Tell how requests have ended.
    Settle(Changes),
    /// Wait for a decision that nobody waits for any more, and give back what it took.
    Late(Box<Late>, Behind),
    /// Say when all before it is done.
    Flush(oneshot::Sender<()>),
}

/// A decision on its way.
pub(super) struct Late {
    pub(super) id: u64,
    pub(super) call: Pending,
    pub(super) question: Question,
    pub(super) keys: Vec<String>,
}

/// The slots of open requests.
#[derive(Debug, Default)]
pub(super) struct OpenSlots(Mutex<HashMap<u64, Vec<String>>>);

impl OpenSlots {
    pub(super) fn insert(&self, id: u64, taken: &Taken) {
        self.insert_keys(id, taken.slots().cloned().collect());
    }

    pub(super) fn insert_keys(&self, id: u64, keys: Vec<String>) {
        if !keys.is_empty() {
            self.lock().insert(id, keys);
        }
    }

    /// The same by the name of a hold of this node.
    pub(super) fn remove_name(&self, name: &str) {
        let id = name.rsplit('-').next().unwrap_or_default();
        if let Ok(id) = u64::from_str_radix(id, 16) {
            self.remove(id);
        }
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    fn all(&self, shared: &Shared) -> Vec<(String, String)> {
        let named = |(id, keys): (&u64, &Vec<String>)| {
            let name = shared.name(*id);
            keys.iter()
                .map(|key| (key.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        self.lock().iter().flat_map(named).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works until the last store and hold are gone and all is told.
pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>, ttl: Duration) {
    let mut slots = interval(ttl / 3);
    let mut look = interval(LOOK);
    slots.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What could not be told yet.
    let mut untold = Changes::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut lates = Lates::default();
    loop {
        let waiting = !untold.is_empty();
        tokio::select! {
            biased;
            _ = slots.tick() => {
                renew_slots(&shared, ttl).await;
            }
            _ = look.tick() => {
                if shared.health.is_suspended() {
                    look_again(&shared).await;
                }
                if waiting {
                    tell(&shared, &mut untold).await;
                }
                if !untold.is_empty() && jobs.is_closed() && shared.health.is_suspended() {
                    // Nobody is left who could wait for Redis to come back.
                    return;
                }
            }
            Some(changes) = lates.over(), if !lates.is_empty() => {
                untold.append(changes);
                tell(&shared, &mut untold).await;
                lates.told();
            }
            count = jobs.recv_many(&mut batch, BATCH), if !waiting => {
                if count == 0 {
                    while let Some(changes) = lates.over().await {
                        untold.append(changes);
                    }
                    tell(&shared, &mut untold).await;
                    return;
                }
                for job in batch.drain(..) {
                    match job {
                        Job::Settle(changes) => untold.append(changes),
                        Job::Late(late, behind) => lates.add(&shared, *late, behind),
                        Job::Flush(done) => lates.tell(done),
                    }
                }
                tell(&shared, &mut untold).await;
                lates.told();
            }
        }
    }
}

async fn tell(shared: &Arc<Shared>, untold: &mut Changes) {
    if untold.is_empty() || shared.health.is_suspended() {
        return;
    }
    match shared.invoke(&untold.call()).await {
        Ok(_) => shared.telling.over(std::mem::take(untold).keys()),
        Err(error) => {
            shared.failed(fault(&error));
            if !error.is_connection_refusal() {
                let lost = untold.take_limits();
                shared.telling.over(lost.keys());
                let lost = u64::try_from(lost.keys().count()).unwrap_or(u64::MAX);
                shared.health.unanswered.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }
}

async fn renew_slots(shared: &Arc<Shared>, ttl: Duration) {
    if shared.health.is_suspended() {
        return;
    }
    for slots in shared.slots.all(shared).chunks(RENEWED) {
        let call = renew(slots.iter().map(|(key, id)| (key, id)), ttl);
        if let Err(error) = shared.invoke(&call).await {
            shared.failed(fault(&error));
            return;
        }
    }
}

async fn look_again(shared: &Arc<Shared>) {
    match timeout(PATIENCE, shared.invoke(&probe(shared.tag()))).await {
        Ok(Ok(reply)) if reply.len() == 2 && reply[0] == 1 => shared.health.well(),
        // Another has taken its place, and is where the address leads now.
        Ok(Err(error)) if is_read_only(&error) => shared.reconnect(),
        Ok(_) => {}
        Err(_) => shared.reconnect(),
    }
}

/// Whether it says that the server takes no writes. Before Redis 7.0 what a script's call says comes
/// back within an error of the script's own, `ERR Error running script …: -READONLY …`.
fn is_read_only(error: &RedisError) -> bool {
    const CODE: &str = "READONLY";
    error.code() == Some(CODE) || error.detail().is_some_and(|text| text.contains(CODE))
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    #[cfg(feature = "metrics")]
    #[test]
    fn each_failure_is_counted_by_its_cause() {
        use crate::limit::redis::health::{Fault, Health};

        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let health = Health::default();
        metrics::with_local_recorder(&recorder, || {
            for fault in [Fault::Gone, Fault::Slow, Fault::Slow, Fault::Nonsense] {
                health.ill(fault, crate::limit::redis::Outage::Closed);
            }
        });
        let text = handle.render();
        for (cause, count) in [("gone", 1), ("slow", 2), ("nonsense", 1)] {
            let line =
                format!("tower_completions_limits_store_failures{{cause=\"{cause}\"}} {count}");
            assert!(text.contains(&line), "{line} is not in:\n{text}");
        }
        let stats = health.stats();
        assert_eq!((stats.gone, stats.slow, stats.nonsense), (1, 2, 1));
        assert!(health.is_suspended());
    }

    #[test]
    fn a_replica_is_told_by_its_words_from_any_version() {
        let words = "You can't write against a read only replica.";
        for (said, read_only) in [
            (format!("READONLY {words}"), true),
            (
                format!("READONLY {words} script: f_ab, on @user_script:1."),
                true,
            ),
            // Before 7.0 a script's error is told within one of its own.
            (
                format!(
                    "ERR Error running script (call to f_ab): @user_script:7: \
                     @user_script: 7: -READONLY {words} "
                ),
                true,
            ),
            (
                "ERR Error running script (call to f_ab): @user_script:7: -OOM command not \
                 allowed when used memory > 'maxmemory'. "
                    .to_owned(),
                false,
            ),
            ("READONLYISH no".to_owned(), false),
            (
                "LOADING Redis is loading the dataset in memory".to_owned(),
                false,
            ),
        ] {
            let value = parse_redis_value(format!("-{said}\r\n").as_bytes()).expect("RESP");
            let error = value.extract_error().expect_err("an error");
            assert_eq!(is_read_only(&error), read_only, "{said}");
        }
    }
}
