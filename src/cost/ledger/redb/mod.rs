//! A durable ledger in one file of this process.

mod book;
mod file;
mod future;
mod hold;
mod ledger;
mod open;
mod options;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub use future::{RedbExtending, RedbHolding};
pub use hold::RedbHold;
pub use ledger::RedbLedger;
pub use options::{Recovery, RedbOptions};
