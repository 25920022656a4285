//! A scriptable OpenAI-compatible provider to test against, and to start with when there is no key.
//!
//! [`Upstream`] is an HTTP service in memory: it takes the place of the HTTP client of a
//! [`Provider`](crate::provider), so a whole stack runs with no socket. [`Server`] puts the same
//! service on a loopback port. What it answers is a [`Script`], chosen per call, per model or by a
//! function; what it was asked is in its [`Log`].
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_completions::mock::{Script, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new();
//! let ask = |body: &'static str| {
//!     http::Request::post("/v1/chat/completions").body(http_body_util::Full::new(body.as_bytes()))
//! };
//!
//! // It echoes the last message of the user, a word an event on streams.
//! let body = r#"{"model":"any","messages":[{"role":"user","content":"hi there"}]}"#;
//! let response = upstream.clone().oneshot(ask(body)?).await?;
//! let answer = response.into_body().collect().await?.to_bytes();
//! assert!(std::str::from_utf8(&answer)?.contains(r#""content":"hi there""#));
//!
//! // The next call is refused as a busy provider would.
//! upstream.queue(Script::rate_limited("2"));
//! let response = upstream.clone().oneshot(ask(body)?).await?;
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.headers()["retry-after"], "2");
//!
//! assert_eq!(upstream.log().counts().calls, 2);
//! assert_eq!(upstream.log().requests()[0].path(), "/v1/chat/completions");
//! # Ok(())
//! # }
//! ```
//!
//! Every delay is a tokio timer: under paused time (`tokio::time::pause`) an answer that takes an
//! hour takes no time at all.
//!
//! ```
//! use std::time::Duration;
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_completions::mock::{Fault, Script, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Three events, ten seconds apart, then the connection breaks.
//! let script = Script::text("one two three four")
//!     .with_event_delay(Duration::from_secs(10))
//!     .with_fault(3, Fault::Cut);
//! let upstream = Upstream::new().with_model("m", script);
//! let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
//! let ask = http::Request::post("/v1/chat/completions").body(http_body_util::Full::new(body.as_bytes()))?;
//! let mut stream = upstream.oneshot(ask).await?.into_body();
//! for _ in 0..3 {
//!     stream.frame().await.expect("an event")?;
//! }
//! assert!(stream.frame().await.expect("the break").is_err());
//! # Ok(())
//! # }
//! ```

mod ask;
mod body;
mod books;
mod clock;
mod future;
mod log;
mod models;
mod plan;
mod script;
mod server;
mod upstream;

pub use body::{Body, Broken};
pub use books::{assert_conserved, assert_settled};
pub use clock::{Clock, Sleep};
pub use future::ResponseFuture;
pub use log::{Counts, Log, Seen};
pub use models::{MODELS, Model};
pub use script::{Fault, Script};
pub use server::{Server, refused};
pub use upstream::Upstream;
