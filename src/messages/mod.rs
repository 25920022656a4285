//! The other way round: clients of Anthropic's Messages API in front of the same stack.
//!
//! [`Messages`] goes around anything that answers Chat Completions over HTTP, the whole
//! [`Gateway`](crate::stack::Gateway) say, which has it at `POST /v1/messages`. A request is
//! translated as its body is read, behind authentication and rate limits; the answer comes back as
//! a `message`, a stream as its named events, a refusal in Anthropic's shape, every count in
//! Anthropic's classes. Which provider answers is the router's business.
//!
//! Instructions, images, documents, tools and their results, forced and forbidden tools, thinking
//! with its signatures, efforts, schemas, cache marks and stop sequences have their counterparts.
//! Budgets of thinking become the nearest effort. What has none is refused when it changes the
//! answer (a provider's own server tools), else dropped and announced in `x-params-dropped`:
//! members that nobody here knows, too, by the first 128 names. What is refused further in is told by
//! the path that it has in the client's request.
//!
//! A stream has one open block at a time. Pieces of several calls that come in turns, or text amid a
//! call, wait until the open call is whole; a stream of which more than 8 MiB would wait ends in an
//! error event.
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower::{Layer, ServiceExt};
//! use tower_completions::{
//!     body::Full, messages::MessagesLayer, mock::Upstream, parse::ParseLayer,
//!     provider::{Provider, openai::OpenAi},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = Provider::new("mock", Upstream::new(), OpenAi::new("http://upstream/v1")?);
//! let service = MessagesLayer::new().layer(ParseLayer::new().layer(provider));
//! let body = r#"{"model":"mock/echo","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
//! let request = http::Request::post("/v1/messages").body(Full::new(body))?;
//! let answer = service.oneshot(request).await?.into_body().collect().await.expect("whole");
//! let answer: serde_json::Value = serde_json::from_slice(&answer.to_bytes())?;
//! assert_eq!((&answer["type"], &answer["content"][0]["type"]), (&"message".into(), &"text".into()));
//! # Ok(()) }
//! ```

mod blocks;
mod body;
mod error;
mod future;
mod members;
mod paths;
mod request;
mod response;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod turns;

pub use body::{MessagesBody, RequestBody};
pub use future::ResponseFuture;
pub(crate) use future::refuse;
pub use service::{Messages, MessagesLayer};
