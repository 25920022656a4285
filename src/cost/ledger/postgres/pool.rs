//! The connections.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::cost::StoreError;

pub(super) type Pool = deadpool_postgres::Pool;

pub(super) async fn client(pool: &Pool) -> Result<deadpool_postgres::Client, StoreError> {
    pool.get()
        .await
        .map_err(|error| StoreError::new("reaching the ledger", error))
}

/// What a connection was asked has taken too long: whoever came next on it would wait behind that. The
/// database is told to stop it, as it would go on alone, and the connection goes back into the pool when
/// it answers again; one that does not is dropped.
pub(super) fn stop(client: deadpool_postgres::Client, longest: Duration) {
    let cancel = client.cancel_token();
    tokio::spawn(async move {
        let _ = timeout(longest, cancel.cancel_query(NoTls)).await;
        if !answers(&client, longest).await {
            drop(Object::take(client));
        }
    });
}

/// Whether a session answers, within so long. Of one whose network swallows everything nobody else
/// tells.
pub(super) async fn answers(client: &Client, longest: Duration) -> bool {
    let answer = timeout(longest, client.simple_query("")).await;
    matches!(answer, Ok(Ok(_)))
}
