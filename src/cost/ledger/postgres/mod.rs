//! A durable ledger of many nodes, in PostgreSQL.

mod database;
mod future;
mod hold;
mod ledger;
mod options;
mod pool;
mod queue;
mod sql;
mod task;
mod write;

pub use future::{PostgresExtending, PostgresHolding};
pub use hold::PostgresHold;
pub use ledger::PostgresLedger;
pub use options::PostgresOptions;
