//! One answer for a request that is sent twice under one `Idempotency-Key`.
//!
//! A client that does not know whether its request arrived sends it again under the same key. While
//! the first is under way the second joins it; within a day of its end the second is given the answer
//! again: one upstream call, one charge. A key belongs to its caller, and to one body: another body
//! under the same key is a 409. Callers are told apart by their [`Principal`](crate::Principal): requests
//! without one are all of the same caller, who share their keys and are given each other's answers, so an
//! application that serves strangers puts a principal into each request first. A request without the header passes at the price of looking for it.
//!
//! The layer stands outside of what counts and charges, and inside of what authenticates.
//!
//! ```
//! use std::sync::atomic::{AtomicUsize, Ordering};
//! use http_body_util::BodyExt;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{body::Full, idempotency::IdempotencyLayer, parse::ChatBody};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! static CALLS: AtomicUsize = AtomicUsize::new(0);
//! let service = IdempotencyLayer::new().layer(service_fn(async |_: http::Request<ChatBody>| {
//!     let call = CALLS.fetch_add(1, Ordering::Relaxed);
//!     Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(format!("answer {call}"))))
//! }));
//! for replayed in [false, true] {
//!     let request = http::Request::post("/v1/chat/completions")
//!         .header("idempotency-key", "order-7")
//!         .body(Full::new(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#))?;
//!     let response = service.clone().oneshot(request).await?;
//!     assert_eq!(response.headers().contains_key("idempotent-replayed"), replayed);
//!     let answer = response.into_body().collect().await.expect("whole");
//!     assert_eq!(answer.to_bytes(), "answer 0");
//! }
//! # Ok(()) }
//! ```
//!
//! # What is kept
//!
//! Whole answers with a status of 200 to 299, for a day ([`IdempotencyLayer::keep`]). A refusal, a
//! failure or a stream that broke is shared by those who wait for it and then forgotten, so that the
//! next attempt may do better. An answer that is too large to be kept is remembered as such: who
//! repeats its request is told with a 409 instead of being charged again.
//!
//! All is in memory and bounded; when it is full the oldest answers are forgotten first. No caller has
//! more than a share of it ([`IdempotencyLayer::max_keys_per_caller`],
//! [`max_bytes_per_caller`](IdempotencyLayer::max_bytes_per_caller)), so that one alone does not push out
//! everyone's. It is of one process: a repetition that comes to another node, or after a restart, is
//! another request, called and charged. Where there are several nodes, let the balancer send a key's
//! requests to the same one.
//!
//! # When a caller leaves
//!
//! Whoever reads drives the answer: when the first caller leaves, those who joined it go on with what
//! there is. When the last one leaves before the end, the upstream is cancelled and the key is free
//! again: who comes back then is another request, called and charged once more. With a
//! [`DrainLayer`](crate::cost::DrainLayer) outside of this one the answer goes on without a reader, and
//! who comes back joins it.

mod body;
mod future;
mod layer;
mod run;
mod service;
mod store;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::IdempotencyLayer;
pub use service::Idempotency;
