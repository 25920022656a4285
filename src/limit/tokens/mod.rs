//! Limits on what a request uses: reserved by an estimate before, settled by the truth after.

mod guard;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use guard::TokenGuard;
pub use layer::{Cached, Known, Quote, TokenLimitLayer};
pub use service::TokenLimit;
