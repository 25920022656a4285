//! The task that proves this node alive and cleans up after others.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_postgres::Client;

use super::{database::Database, pool::answers, queue::Queue, sql};
use crate::cost::{Amount, HoldId, StoreError};

/// Between two looks after nodes that are gone.
const SWEEP: Duration = Duration::from_secs(2);

/// A connection whose session has this node's lock.
pub(super) async fn attend(database: &Database, node: i32) -> Result<Client, StoreError> {
    let failed = |error| StoreError::new("reaching the ledger", error);
    let client = database.connect().await?;
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
    database: Database,
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
            match attend(&database, node).await {
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

pub(super) fn report(what: &'static str, error: &StoreError) {
    #[cfg(feature = "tracing")]
    {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, source, "{what}");
    }
    let _ = (what, error);
}
