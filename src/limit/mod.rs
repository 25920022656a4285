//! Limits on requests, tokens, money and concurrency.
//!
//! [`RateLimitLayer`] holds requests to limits in time and number before their body is read. Limits
//! come attached to the caller's [`Principal`](crate::ext::Principal), or from [`Rule`]s that count
//! by anything else; several hold at once, and a refusal consumes nothing anywhere.
//! [`TokenLimitLayer`] does the same for tokens and money, which it reserves by an estimate and
//! settles by the truth.
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_completions::{Principal, body::Full, limit::{Limits, RateLimitLayer}};
//!
//! # tokio_test::block_on(async {
//! let app = ServiceBuilder::new()
//!     .layer(RateLimitLayer::default())
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::new("hi"))) }));
//!
//! let caller = Principal::new("acme").attach(Limits::new().requests_per_minute(1));
//! let ask = || {
//!     let mut request = Request::new(());
//!     request.extensions_mut().insert(caller.clone());
//!     app.clone().oneshot(request)
//! };
//! let first = ask().await?;
//! assert_eq!(first.headers()["x-ratelimit-remaining-requests"], "0");
//! assert_eq!(first.headers()["x-ratelimit-reset-requests"], "1m0s");
//! let second = ask().await?;
//! assert_eq!(second.status(), 429);
//! assert_eq!(second.headers()["retry-after"], "60");
//! # Ok::<_, Infallible>(()) }).unwrap();
//! ```

mod asks;
mod bucket;
mod cell;
mod either;
mod few;
mod future;
mod gcra;
mod guard;
mod headers;
mod held;
mod key;
mod layer;
mod limiter;
mod limits;
mod memory;
mod queue;
mod rate;
#[cfg(feature = "redis")]
pub mod redis;
mod rule;
mod service;
mod state;
mod store;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod verdict;

use layer::Settings;

pub use crate::zone::Zone;
pub use either::{Either, EitherTake};
pub use future::ResponseFuture;
pub use guard::RequestGuard;
pub use headers::Fields;
pub use held::Carry;
pub use key::{ByHeader, ByIp, ByModel, ByPrincipal, ByTeam, Global, Key, KeyExtractor};
pub use layer::{Mode, RateLimitLayer};
pub use limiter::{Limiter, Stats};
pub use limits::{Limit, Limits, Unit};
pub use memory::{Memory, MemoryHold};
pub use queue::{Queue, QueueHold, QueueStats, QueueTake};
pub use rate::{Rate, Window};
pub use rule::Rule;
pub use service::RateLimit;
pub use store::{
    Ask, Decision, Demand, Hold, Refusal, Report, Retry, Slots, Standing, Store, Weights,
};
pub use tokens::{Cached, Known, Purpose, Quote, TokenGuard, TokenLimit, TokenLimitLayer};

const UNITS: [Unit; Unit::COUNT] = [
    Unit::Requests,
    Unit::Tokens,
    Unit::InputTokens,
    Unit::OutputTokens,
    Unit::Money,
];

/// What a request uses that never was: nothing of anything.
const fn nothing() -> Weights {
    let mut weights = Weights::new();
    let mut at = 0;
    while at < UNITS.len() {
        weights = weights.with(UNITS[at], 0);
        at += 1;
    }
    weights
}
