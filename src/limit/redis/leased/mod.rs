//! Slices of limits, leased from Redis and given out without asking.

mod decide;
mod future;
mod hold;
mod slices;
mod store;
mod taking;

pub use future::LeasedTake;
pub use hold::LeasedHold;
pub use store::Leased;
