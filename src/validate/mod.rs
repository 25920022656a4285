//! The request validator: what an upstream would refuse is refused here, with the field named.
//!
//! The shape and the values were judged in the one pass that parsed the request; [`Validate`] says
//! what its dialect makes of them, applies the operator's [`Policy`], and fills in the dialect's
//! defaults.
//!
//! ```
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{Dialect, Error, body::Full, parse::ChatBody, validate::ValidateLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ValidateLayer::new(Dialect::strict()).layer(service_fn(
//!     async |_: http::Request<ChatBody>| {
//!         Ok::<_, std::convert::Infallible>(http::Response::new(Full::default()))
//!     },
//! ));
//! let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":3}"#;
//! let response = service.oneshot(http::Request::new(Full::new(body))).await.unwrap();
//! assert_eq!(response.status(), 422);
//! let error = response.extensions().get::<Error>().unwrap();
//! assert_eq!(error.param(), Some("temperature"));
//! assert_eq!(error.message(), "`temperature` must be a number between 0 and 2, got 3");
//! # }
//! ```

mod check;
mod contract;
mod future;
mod layer;
mod mistakes;
mod model;
mod operator;
mod policy;
mod service;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::ValidateLayer;
pub use mistakes::Mistakes;
pub use model::{Capabilities, Catalog, Input, KnownModels, Support};
pub use policy::{Images, Policy, Report, UnknownMembers};
pub use service::Validate;
