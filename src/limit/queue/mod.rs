//! Waiting for a limit instead of being refused.

mod hold;
mod line;
#[cfg(test)]
mod modelled;
mod places;
mod shared;
mod store;
mod take;
#[cfg(test)]
mod tests;

use super::sync;

pub use hold::QueueHold;
pub use store::{Queue, QueueStats};
pub use take::QueueTake;
