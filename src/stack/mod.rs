//! The whole gateway as one service, and the layers by name on a `ServiceBuilder`.
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_completions::{
//!     Principal, auth::Keys, body::Full, mock::Upstream,
//!     provider::{Provider, openai::OpenAi}, stack::Gateway,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::new();
//! keys.insert("sk-demo", Principal::new("demo"));
//! let upstream = Provider::new("mock", Upstream::new(), OpenAi::new("http://upstream/v1")?);
//! let gateway = Gateway::builder(keys).build(upstream);
//!
//! let request = http::Request::post("/v1/chat/completions")
//!     .header("authorization", "Bearer sk-demo")
//!     .body(Full::new(r#"{"model":"mock/echo","messages":[{"role":"user","content":"hi"}]}"#))?;
//! let response = gateway.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! let answer = response.into_body().collect().await.expect("whole").to_bytes();
//! assert!(std::str::from_utf8(&answer)?.contains("hi"));
//! # Ok(())
//! # }
//! ```

mod boxed;
mod builder;
mod ext;
mod gateway;
mod request_id;

pub use boxed::{Boxed, BoxedFuture};
pub use builder::{GatewayBuilder, Stack};
pub use ext::ServiceBuilderExt;
pub use gateway::{Gateway, GatewayFuture};
pub use request_id::{RequestId, RequestIdFuture, RequestIdLayer};
