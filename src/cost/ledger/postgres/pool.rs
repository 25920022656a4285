//! The connections.

use crate::cost::StoreError;

pub(super) type Pool = deadpool_postgres::Pool;

pub(super) async fn client(pool: &Pool) -> Result<deadpool_postgres::Client, StoreError> {
    pool.get()
        .await
        .map_err(|error| StoreError::new("reaching the ledger", error))
}
