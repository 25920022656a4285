//! Waiting for a limit instead of being refused.

mod line;
mod store;
#[cfg(test)]
mod tests;

pub use store::{Queue, QueueHold, QueueStats, QueueTake};
