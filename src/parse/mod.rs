//! One parse of the request, shared by every layer.
//!
//! [`Parse`] is the one service that reads a body: around a `Service<Request<ChatBody>>` it makes a
//! service over any body. Layers that need the request are written over [`ChatBody`] and wrap
//! themselves in it, so each works alone; in a stack only the outermost reads. A body that is a
//! [`ChatBody`] already is taken as it is, and one whose bytes are the very allocation of the
//! [`Chat`] in the request's extensions is not parsed again, so that layers put into an axum app
//! one by one share the parse too.
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{body::Full, parse::{ChatBody, ParseLayer}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ParseLayer::new().layer(service_fn(async |request: http::Request<ChatBody>| {
//!     let model = request.body().chat().model().to_owned();
//!     Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(model)))
//! }));
//! let request = http::Request::new(Full::new(r#"{"model":"m","messages":[]}"#));
//! let response = service.clone().oneshot(request).await.unwrap();
//! assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "m");
//!
//! let response = service.oneshot(http::Request::new(Full::new("{"))).await.unwrap();
//! assert_eq!(response.status(), 400);
//! # }
//! ```

mod body;
mod changes;
mod chat;
mod collect;
mod content;
mod fault;
mod future;
mod head;
#[cfg(feature = "gzip")]
mod inflate;
mod layer;
mod reading;
mod service;
mod typed;

pub use body::ChatBody;
pub use chat::Chat;
pub(crate) use fault::refused;
pub use future::ResponseFuture;
pub use layer::{Decode, ParseLayer, ReadLimits};
pub use service::Parse;
