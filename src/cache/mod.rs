//! The same answer to the same question: one upstream request for many at once, and none for those
//! that come later.
//!
//! [`Cache`] compares requests byte for byte, as they would go on from here, and only those of one
//! caller with one another; requests without a [`Principal`](crate::Principal) are all of the same caller,
//! so an application that serves strangers whose answers differ puts one into each request first. While an answer is under way, a request like it joins it: both read the
//! one upstream. Once it is whole it is kept for a time, and given again. Nothing of this happens
//! unless the layer is put in; best just outside of the router, where what it gives is made
//! canonical like any other answer.
//!
//! What is given from the cache is marked [`Cached`](crate::Cached), by which `Cost` takes nothing
//! for it, and `TokenLimit` counts nothing. One that joined an answer under way pays for it as if it had asked alone: else a caller
//! could ask twice, leave the first and have the other for nothing.
//!
//! ```
//! use std::time::Duration;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{body::Full, cache::CacheLayer, parse::ChatBody};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = service_fn(async |_: http::Request<ChatBody>| {
//!     let answer = http::Response::builder().header("content-type", "application/json");
//!     Ok::<_, std::convert::Infallible>(answer.body(Full::new(r#"{"choices":[]}"#)).expect("valid"))
//! });
//! let cache = CacheLayer::new(Duration::from_secs(60)).layer(upstream);
//! for expected in ["miss", "hit"] {
//!     let request = http::Request::post("/v1/chat/completions")
//!         .header("content-type", "application/json")
//!         .body(Full::new(r#"{"model":"m","messages":[]}"#))?;
//!     let response = cache.clone().oneshot(request).await?;
//!     assert_eq!(response.headers()["x-cache"], expected);
//!     # use http_body_util::BodyExt;
//!     let _ = response.into_body().collect().await.expect("whole");
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod flight;
mod future;
mod layer;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::CacheLayer;
pub use service::Cache;
