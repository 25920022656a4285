//! Composable tower layers for an OpenAI-compatible `POST /v1/chat/completions`.
//!
//! A whole gateway, over a mock provider in place of a real one:
//!
//! ```
//! # #[cfg(feature = "mock")] {
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_completions::{
//!     Principal, auth::Keys, body::Full, limit::Limits, mock::Upstream,
//!     cost::{MemoryLedger, Price, Prices},
//!     provider::{Provider, openai::OpenAi}, stack::Gateway,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::new();
//! keys.insert("sk-demo", Principal::new("demo").attach(Limits::new().requests_per_minute(60)));
//! let ledger = MemoryLedger::new();
//! ledger.grant("demo", "5.00".parse()?);
//! let prices = Prices::new().with("mock/echo", Price::new("0.15", "0.60")?);
//!
//! let upstream = Provider::new("mock", Upstream::new(), OpenAi::new("http://upstream/v1")?);
//! let gateway = Gateway::builder(keys).cost(prices, ledger.clone()).build(upstream);
//!
//! let request = http::Request::post("/v1/chat/completions")
//!     .header("authorization", "Bearer sk-demo")
//!     .body(Full::new(r#"{"model":"mock/echo","messages":[{"role":"user","content":"hi"}]}"#))?;
//! let response = gateway.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.headers()["x-ratelimit-remaining-requests"], "59");
//! let spent = ledger.statement("demo").spent;
//! assert_eq!(response.headers()["x-completion-cost"], spent.to_string().as_str());
//! # let _ = response.into_body().collect().await.expect("whole");
//! # Ok(()) }
//! # }
//! ```
//!
//! # The order of the layers
//!
//! Outermost first:
//!
//! 1. [`auth`] tells who calls.
//! 2. [`limit::RateLimitLayer`] counts requests, before a byte of the body is read.
//! 3. [`parse`] reads the body, once for all.
//! 4. [`validate`] refuses what no upstream would take, before it costs anything.
//! 5. [`limit::TokenLimitLayer`] and [`cost`] reserve what the request may use, and settle what it did.
//! 6. [`reframe`] makes the answer canonical and notes its usage and its ending.
//! 7. [`router`] chooses a target and, until the first content, another one.
//! 8. [`provider`] speaks to it.
//!
//! [`stack`] puts them together. [`guide::layers`] says what other orders do, and what you may put in place of each.
//!
//! # The extensions
//!
//! Layers know of one another only by what they leave in the extensions. None of them is required.
//!
//! | in the | type | absent |
//! |---|---|---|
//! | request | [`CallId`] | nobody has named the request |
//! | request | [`Principal`] | the caller is anonymous |
//! | request | [`parse::Chat`] | it is not parsed yet |
//! | request | [`Target`] | the model that the client named is meant |
//! | request | [`Sending`] | a request that the service inside has been given counts as sent |
//! | request | [`observe::Watch`] | nobody is told what becomes of the request |
//! | response | [`Error`] | it is no refusal |
//! | response | [`validate::Mistakes`] | one mistake is told, in [`Error`] |
//! | response | [`Served`] | there is no router |
//! | response | [`Attempts`] | nobody was asked in vain |
//! | response | [`Cached`] | the answer is new |
//! | response | [`meter::Tally`] | the answer is scanned for its usage |
//! | response | [`provider::RateHeaders`] | the upstream says nothing of its limits |
//! | response | [`cost::Receipt`] | no whole answer was charged |
//! | response | [`cost::Bill`] | no stream is charged |
//!
//! # Longer texts
//!
//! [`guide`] has a page on each subject: [layers](guide::layers), [validation](guide::validation),
//! [money](guide::money), [limits](guide::limits), [streaming](guide::streaming), [routing](guide::routing),
//! [providers](guide::providers), [several nodes](guide::nodes), [coming from a proxy](guide::migrating), and on
//! [other gateways](guide::comparison). The features of the crate are listed in its README.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod announce;
pub mod auth;
pub mod body;
pub mod cache;
pub mod cost;
pub mod dialect;
pub mod error;
mod ext;
mod facts;
#[cfg(any(doc, doctest))]
pub mod guide;
mod hint;
mod id;
pub mod idempotency;
pub mod limit;
mod media;
pub mod messages;
pub mod meter;
#[cfg(feature = "mock")]
pub mod mock;
pub mod models;
pub mod observe;
pub mod parse;
pub mod provider;
pub mod reframe;
pub mod retry;
pub mod router;
pub mod sse;
pub mod stack;
pub mod telemetry;
mod text;
pub mod time;
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
mod tls;
pub mod validate;
mod wakers;
pub mod wire;
mod zone;

pub use dialect::Dialect;
pub use error::Error;
pub use ext::{
    Attempt, Attempts, Cached, CallId, KeyPool, Principal, Sending, Served, Target, TraceContext,
    matches,
};
pub use facts::Facts;
