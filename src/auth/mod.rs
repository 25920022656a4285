//! Authentication: who is calling, told from the request's head alone.
//!
//! [`Auth`] asks an [`Authenticate`] and puts the [`Principal`](crate::ext::Principal) into the request's extensions. Every
//! wrong key gets the same 401, whether it is missing, malformed, unknown or revoked. The one that
//! comes with the crate, [`Keys`], knows keys by their SHA-256 only.
//!
//! ```
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{Principal, auth::{AuthLayer, Keys}, body::Full};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let keys = Keys::new();
//! keys.insert("sk-demo", Principal::new("demo"));
//! let service = AuthLayer::new(keys).layer(service_fn(async |request: http::Request<Full>| {
//!     let caller = request.extensions().get::<Principal>().expect("put in by Auth");
//!     Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(caller.id().to_owned())))
//! }));
//!
//! let request = http::Request::builder().header("authorization", "Bearer sk-demo");
//! let response = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
//! assert_eq!(response.status(), 200);
//! let response = service.oneshot(http::Request::new(Full::default())).await.unwrap();
//! assert_eq!(response.status(), 401);
//! # }
//! ```
//!
//! Your own is a closure, or a type when it has state:
//!
//! ```
//! use http::request::Parts;
//! use tower_completions::{Error, Principal, auth::AuthLayer};
//!
//! let layer = AuthLayer::new(|parts: &Parts| {
//!     let tenant = parts.headers.get("x-tenant").and_then(|name| name.to_str().ok());
//!     std::future::ready(Ok::<_, Error>(tenant.map(Principal::new)))
//! });
//! # let _ = layer;
//! ```

mod future;
mod keys;
mod layer;
mod service;
mod table;

pub use future::ResponseFuture;
pub use keys::{Digest, Keys, NotADigest, credential};
pub use layer::AuthLayer;
pub use service::{Auth, Authenticate};
