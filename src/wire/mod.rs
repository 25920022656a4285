//! The API's data: what a request and an answer are made of, as types and as byte ranges.
//!
//! Nothing here knows of HTTP, of time or of the rest of the crate.

pub mod json;
mod usage;

pub use usage::Usage;
