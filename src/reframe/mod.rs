//! The re-framer of answers: whatever an OpenAI-like upstream sends, as the canonical form of it.

mod body;
mod clock;
mod config;
mod edits;
mod fault;
mod fold;
mod future;
mod layer;
mod machine;
mod read;
mod service;
mod whole;

pub use body::ResponseBody;
pub use fold::{fold, unfold};
pub use future::ResponseFuture;
pub use layer::{ModelName, ReframeLayer};
pub use service::Reframe;

#[cfg(all(test, feature = "tokio"))]
mod tests;
