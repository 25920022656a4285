//! The connections.

use deadpool_postgres::Object;
use tokio_postgres::NoTls;

use crate::cost::StoreError;

pub(super) type Pool = deadpool_postgres::Pool;

pub(super) async fn client(pool: &Pool) -> Result<deadpool_postgres::Client, StoreError> {
    pool.get()
        .await
        .map_err(|error| StoreError::new("reaching the ledger", error))
}

/// Gives up a connection that does not answer in time: whoever came next on it would wait behind what
/// it was asked. The database is told to stop that, as it would go on alone.
pub(super) fn give_up(client: deadpool_postgres::Client) {
    let cancel = client.cancel_token();
    drop(Object::take(client));
    tokio::spawn(async move { cancel.cancel_query(NoTls).await });
}
