//! The API's data: what a request and an answer are made of, as types and as byte ranges.
//!
//! Nothing here knows of HTTP, of time or of the rest of the crate.

pub mod chat;
mod counting;
pub mod json;
pub mod request;
pub mod splice;
mod usage;

pub use counting::Counting;
pub use usage::{ServiceTier, Usage};
