//! The task that writes ends of holds, and the one that proves this node alive and cleans up after
//! others.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_postgres::{Client, Config, NoTls};

use super::{
    pool::{Pool, answers, client},
    queue::{End, Queue},
    sql,
};
use crate::cost::{Amount, HoldId, StoreError, What};

/// Ends that one statement writes at most.
const AT_ONCE: usize = 500;

/// How often the ends are tried when the ledger closes meanwhile.
const LAST_TRIES: u32 = 20;

/// Between two looks after nodes that are gone.
const SWEEP: Duration = Duration::from_secs(2);

/// Writes ends until the ledger closes and all are written.
pub(super) async fn write(pool: Pool, queue: Arc<Queue>, longest: Duration) {
    while let Some(waiting) = queue.take().await {
        let mut given_up = false;
        for ends in waiting.ends.chunks(AT_ONCE) {
            given_up |= !keep(&pool, &queue, ends, longest).await;
            queue.free(ends.len());
        }
        if !given_up {
            for barrier in waiting.barriers {
                let _ = barrier.send(());
            }
        }
    }
}

/// Tries until they are written; false when it was given up.
async fn keep(pool: &Pool, queue: &Queue, ends: &[End], longest: Duration) -> bool {
    let mut tries = 0;
    loop {
        let error = match settle(pool, ends, longest).await {
            Ok(ended) => {
                for (account, what) in ended {
                    what.log_overrun(&account);
                }
                return true;
            }
            Err(error) => error,
        };
        tries += 1;
        if tries == 1 {
            report("charges wait: the ledger cannot be reached", &error);
        }
        if queue.is_closing() && tries >= LAST_TRIES {
            report("the ledger cannot be reached: this is lost", &error);
            for end in ends {
                lost(end);
            }
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10 << tries.min(6))).await;
    }
}

/// Writes ends now; what ended, and whose it was.
async fn settle(
    pool: &Pool,
    ends: &[End],
    longest: Duration,
) -> Result<Vec<(Arc<str>, What)>, StoreError> {
    let rows = settled(pool, ends, longest).await?;
    let ended = rows.iter().map(|row| {
        let what = What::Settled {
            hold: sql::hold(row, 0)?,
            held: sql::usd(row, 2)?,
            charged: sql::usd(row, 3)?,
            overrun: sql::usd(row, 4)?,
        };
        Ok((sql::name(row, 1)?, what))
    });
    ended.collect()
}

/// The rows of what ended now, within so long.
pub(super) async fn settled(
    pool: &Pool,
    ends: &[End],
    longest: Duration,
) -> Result<Vec<tokio_postgres::Row>, StoreError> {
    let ids: Vec<String> = ends.iter().map(|end| sql::uuid(end.hold)).collect();
    let accounts: Vec<&str> = ends.iter().map(|end| &*end.account).collect();
    let charges: Vec<Option<String>> = ends.iter().map(|end| end.charge.map(sql::text)).collect();
    let client = client(pool).await?;
    let written = async {
        let failed = |error| StoreError::new("settling", error);
        let statement = client.prepare_cached(sql::SETTLE).await.map_err(failed)?;
        client
            .query(&statement, &[&ids, &accounts, &charges])
            .await
            .map_err(failed)
    };
    // A network that swallows everything would hold up all charges until TCP gives up.
    match tokio::time::timeout(longest, written).await {
        Ok(written) => written,
        Err(_) => {
            drop(deadpool_postgres::Object::take(client));
            Err(StoreError::plain("settling in time"))
        }
    }
}

/// A connection whose session has this node's lock.
pub(super) async fn attend(config: &Config, node: i32) -> Result<Client, StoreError> {
    let failed = |error| StoreError::new("reaching the ledger", error);
    let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
    tokio::spawn(connection);
    // Not waited for: a session of ours that the database has not missed yet may have it for hours.
    // As long as it does, this node counts as alive.
    const TAKE: &str = "SELECT pg_try_advisory_lock($1, $2)";
    let row = client.query_one(TAKE, &[&sql::NODE_LOCKS, &node]).await;
    if sql::only::<bool>(&row.map_err(failed)?)? {
        Ok(client)
    } else {
        Err(StoreError::plain("proving this node alive"))
    }
}

/// Keeps this node's lock, and releases what nodes without theirs have left open.
pub(super) async fn watch(
    config: Config,
    node: i32,
    mut client: Client,
    longest: Duration,
    alive: Weak<Queue>,
) {
    let mut missed = HashSet::new();
    let mut round: u32 = 0;
    loop {
        tokio::time::sleep(SWEEP).await;
        if alive.strong_count() == 0 {
            return;
        }
        if !answers(&client, longest).await {
            match attend(&config, node).await {
                Ok(again) => client = again,
                Err(error) => {
                    report("the ledger cannot be reached", &error);
                    continue;
                }
            }
        }
        match sweep(&client, node, &missed).await {
            Ok((_, suspects)) => missed = suspects,
            Err(error) => report("cannot look after holds of other nodes", &error),
        }
        round = round.wrapping_add(1);
        if round % 30 == 1 {
            let _ = client.execute(sql::TIDY, &[]).await;
        }
    }
}

/// A hold that was voided.
pub(super) type Voided = (HoldId, Arc<str>, Amount);

/// Voids the holds of nodes that have no lock and are in `missed`; and who else has none.
pub(super) async fn sweep(
    client: &Client,
    node: i32,
    missed: &HashSet<i32>,
) -> Result<(Vec<Voided>, HashSet<i32>), StoreError> {
    void(client, node, |other| missed.contains(&other)).await
}

/// Voids the holds of all nodes that have no lock, at the start.
pub(super) async fn sweep_all(client: &Client, node: i32) -> Result<Vec<Voided>, StoreError> {
    void(client, node, |_| true).await.map(|(voided, _)| voided)
}

async fn void(
    client: &Client,
    node: i32,
    now: impl Fn(i32) -> bool,
) -> Result<(Vec<Voided>, HashSet<i32>), StoreError> {
    let failed = |error| StoreError::new("looking after other nodes", error);
    let (mut voided, mut suspects) = (Vec::new(), HashSet::new());
    for row in client.query(sql::NODES, &[&node]).await.map_err(failed)? {
        let other: i32 = sql::only(&row)?;
        let locks: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&sql::NODE_LOCKS, &other];
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1, $2)", &locks)
            .await
            .map_err(failed)?;
        if !sql::only::<bool>(&row)? {
            continue;
        }
        if now(other) {
            for row in client.query(sql::VOID, &[&other]).await.map_err(failed)? {
                let (hold, account, held) =
                    (sql::hold(&row, 0)?, sql::name(&row, 1)?, sql::usd(&row, 2)?);
                #[cfg(feature = "tracing")]
                tracing::warn!(account = &*account, %hold, %held, "released a hold left open by a crash");
                voided.push((hold, account, held));
            }
        } else {
            suspects.insert(other);
        }
        client
            .execute("SELECT pg_advisory_unlock($1, $2)", &locks)
            .await
            .map_err(failed)?;
    }
    Ok((voided, suspects))
}

fn report(what: &'static str, error: &StoreError) {
    #[cfg(feature = "tracing")]
    {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, source, "{what}");
    }
    let _ = (what, error);
}

fn lost(end: &End) {
    #[cfg(feature = "tracing")]
    tracing::error!(account = &*end.account, hold = %end.hold, charge = ?end.charge, "not booked");
    let _ = end;
}
