//! Commits late: an answer's head goes out with its first content.
//!
//! [`Commit`] reads the beginning of a stream before it lets the head pass. A stream that ends,
//! fails, says an error or stays silent before its first content becomes a failed response, which
//! a router around it can still turn into an attempt elsewhere. The frames that were read come
//! first in the body, untouched, and the rest follows as the upstream sends it.
//!
//! ```
//! use tower_completions::router::commit::CommitLayer;
//! use tower_layer::Layer;
//!
//! # let provider = ();
//! let provider = CommitLayer::new().layer(provider);
//! ```

mod body;
mod future;
mod layer;
mod look;
mod peek;
mod seen;
mod service;
#[cfg(test)]
mod tests;
mod usual;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::CommitLayer;
pub use service::Commit;
