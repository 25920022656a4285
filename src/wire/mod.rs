//! The API's data: what a request and an answer are made of, as types and as byte ranges.
//!
//! Nothing here knows of HTTP, of time or of the rest of the crate.

pub mod chat;
mod counting;
pub mod json;
mod members;
pub(crate) mod placed;
pub mod request;
pub(crate) mod shape;
pub mod splice;
pub(crate) mod tokens;
mod usage;

pub use counting::Counting;
pub(crate) use members::Members;
pub use usage::{ServiceTier, Usage};
