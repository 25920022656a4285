//! Providers: one request, each upstream's own API.
//!
//! A [`Provider`] is a service over any HTTP client; a [`Translate`] is the pure code that knows one
//! API. [`openai::OpenAi`] forwards to everything that speaks Chat Completions itself.
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower::{ServiceExt, Layer};
//! use tower_completions::{mock::Upstream, parse::ParseLayer, provider::{Provider, openai::OpenAi}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In place of the mock: any HTTP client service.
//! let translate = OpenAi::new("http://upstream/v1")?;
//! let provider = Provider::new("mock", Upstream::new(), translate).with_keys(["sk-upstream"]);
//!
//! let body = r#"{"model":"mock/echo","messages":[{"role":"user","content":"hi"}]}"#;
//! let request = http::Request::post("/").body(tower_completions::body::Full::new(body))?;
//! let response = ParseLayer::new().layer(provider).oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! # let _ = response.into_body().collect().await.expect("whole");
//! # Ok(()) }
//! ```

/// How the crate names itself to upstreams.
pub(crate) const AGENT: &str = concat!("tower-completions/", env!("CARGO_PKG_VERSION"));

pub mod anthropic;
pub mod azure;
mod base64;
#[cfg(feature = "bedrock")]
pub mod bedrock;
mod body;
mod boxed;
mod chunks;
#[cfg(feature = "client")]
pub mod client;
pub mod cohere;
mod completion;
/// Secrets, and the headers they travel in.
pub mod credential;
mod customs;
mod cut;
mod edits;
mod functions;
mod future;
pub mod gemini;
mod json;
mod limits;
mod notes;
pub mod ollama;
pub mod openai;
mod parallel;
mod path;
mod refusal;
mod rest;
mod retell;
mod said;
mod service;
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
mod socket;
mod structured;
mod support;
#[cfg(test)]
mod testing;
mod translate;
pub mod vertex;

pub use body::Body;
pub use boxed::BoxProvider;
pub use credential::Secret;
pub use future::ResponseFuture;
pub(crate) use future::nonsense;
pub use limits::RateHeaders;
pub use notes::{Contract, Notes, Unsupported};
pub use parallel::{Parallel, ParallelBody, ParallelFuture, ParallelLayer};
pub use service::Provider;
pub use translate::{Answer, Asked, Framing, Translate, TranslateStream, Untranslated};
