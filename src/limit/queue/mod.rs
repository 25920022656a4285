//! Waiting for a limit instead of being refused.

mod line;
#[cfg(test)]
mod modelled;
mod store;
#[cfg(test)]
mod tests;

use super::sync;

pub use store::{Queue, QueueHold, QueueStats, QueueTake};
