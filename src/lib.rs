//! Composable tower layers for an OpenAI-compatible `POST /v1/chat/completions`.

pub mod auth;
pub mod body;
pub mod cost;
pub mod dialect;
pub mod error;
mod ext;
mod id;
pub mod limit;
pub mod meter;
#[cfg(feature = "mock")]
pub mod mock;
pub mod models;
pub mod observe;
pub mod parse;
pub mod provider;
pub mod reframe;
pub mod router;
pub mod sse;
pub mod stack;
pub mod telemetry;
pub mod time;
pub mod validate;
pub mod wire;

pub use dialect::Dialect;
pub use error::Error;
pub use ext::{Principal, Served, Target, matches};
