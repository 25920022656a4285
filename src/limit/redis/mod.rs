//! Limits that several nodes share, counted in Redis or Valkey (6.2 or later).
//!
//! One script decides over all limits of a request in one round trip, by the server's clock. All keys
//! carry one `{tag}`, so that they lie in one slot of a cluster.
//!
//! ```no_run
//! use tower_completions::limit::{Limiter, RateLimitLayer, TokenLimitLayer, redis::{Outage, Redis}};
//!
//! # fn main() -> Result<(), tower_completions::limit::redis::InvalidUrl> {
//! let store = Redis::open("redis://127.0.0.1:6379")?
//!     .nodes(3)
//!     .outage(Outage::LocalShare)
//!     .build();
//! let limiter = Limiter::with_store(store);
//! let layers = (RateLimitLayer::new(limiter.clone()), TokenLimitLayer::new(limiter));
//! # Ok(()) }
//! ```
//!
//! Between two limits of a different amount, burst or window, what is used is carried over and never
//! made less.
//!
//! [`Leased`] asks less often: each node takes slices and gives them out by itself.
//!
//! With the feature `tls-ring` or `tls-aws-lc` an address `rediss://` is one of TLS: the server must prove its name, by a
//! root that browsers trust or by [those given](RedisBuilder::root_certificates). Where the application has named no
//! provider of cryptography for `rustls` as the process's default, that feature's becomes it then.
//!
//! # When Redis does not answer
//!
//! A decision waits for at most the [budget](RedisBuilder::budget). Then, and when Redis is gone,
//! talks nonsense or takes no writes, [`Outage`] says what happens; after three such failures in a row
//! nothing is asked until a look, ten times a second, finds it well again. A server that has become a
//! replica is left for the one that its address leads to by then. Each failure is counted in [`RedisStats`],
//! and with the feature `tracing` the beginning and the end of an outage are logged.
//!
//! What an ended request used is told afterwards, in the background. A request of the same node that is
//! refused meanwhile waits until it is told, and is judged again; where a slot is what it lacks, whoever comes
//! meanwhile under its key waits for that before it asks. What could not be told while Redis was gone waits; what was told and not answered is not told again, as it may have been heard.
//! So a reservation may stay as it was, until it has flowed off, or a debt may be lost: for the
//! requests that ended in that moment. A slot of a node that dies is free again after
//! [`slot_ttl`](RedisBuilder::slot_ttl).

mod asking;
mod builder;
mod health;
mod hold;
mod late;
mod lease;
mod leased;
#[cfg(test)]
mod modelled;
mod scale;
mod store;
mod telling;
mod wire;
mod worker;

use super::sync;

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
pub use builder::InvalidRoots;
pub use builder::{InvalidUrl, Outage, RedisBuilder};
pub use health::RedisStats;
pub use hold::RedisHold;
pub use leased::{Leased, LeasedHold, LeasedTake};
pub use store::{Redis, Take};
