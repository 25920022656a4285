//! Limits on what a request uses: reserved by an estimate before, settled by the truth after.

mod guard;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use crate::meter::{Known, Purpose, Quote};
pub use guard::TokenGuard;
pub use layer::{Cached, TokenLimitLayer};
pub use service::TokenLimit;
