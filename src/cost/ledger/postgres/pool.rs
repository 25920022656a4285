//! The connections.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::database::Database;
use crate::cost::StoreError;

#[derive(Clone)]
pub(super) struct Pool {
    pub(super) connections: deadpool_postgres::Pool,
    pub(super) database: Database,
}

impl Pool {
    pub(super) async fn client(&self) -> Result<deadpool_postgres::Client, StoreError> {
        let client = self.connections.get().await;
        client.map_err(|error| StoreError::new("reaching the ledger", error))
    }

    /// What a connection was asked has taken too long: whoever came next on it would wait behind that. The
    /// database is told to stop it, as it would go on alone, and the connection goes back into the pool when
    /// it answers again; one that does not is dropped.
    pub(super) fn stop(&self, client: deadpool_postgres::Client, longest: Duration) {
        let database = self.database.clone();
        tokio::spawn(async move {
            let _ = timeout(longest, database.cancel(&client.cancel_token())).await;
            if !answers(&client, longest).await {
                drop(Object::take(client));
            }
        });
    }
}

/// Whether a session answers, within so long. Of one whose network swallows everything nobody else
/// tells.
pub(super) async fn answers(client: &Client, longest: Duration) -> bool {
    let answer = timeout(longest, client.simple_query("")).await;
    matches!(answer, Ok(Ok(_)))
}
