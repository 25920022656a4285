//! Watches requests from outside all layers, and tells logs, spans and metrics of them.
//!
//! [`TelemetryLayer`] goes outermost. It puts a [`Watch`](crate::observe::Watch) into each request,
//! which the layers inside tell what they do, and follows the answer to its last byte. Who is told
//! is an [`Observe`](crate::observe::Observe): `Trace` (feature `tracing`), `Meter` (feature
//! `metrics`), a pair of them, or an own one:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use http::{Request, Response, request::Parts};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_completions::{body::Full, observe::{Event, Watch}, telemetry::TelemetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), std::convert::Infallible> {
//! let ended = Arc::new(Mutex::new(Vec::new()));
//! let notes = Arc::clone(&ended);
//! let layer = TelemetryLayer::new(move |_: &Parts| {
//!     let notes = Arc::clone(&notes);
//!     Watch::new(move |event: &Event<'_>| {
//!         if let Event::Finished(end) = event {
//!             notes.lock().expect("unpoisoned").push(end.status);
//!         }
//!     })
//! });
//! let service = layer.layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new("hi")))
//! }));
//! let response = service.oneshot(Request::new(())).await?;
//! drop(response); // nobody reads it: the caller has left
//! assert_eq!(ended.lock().expect("unpoisoned").len(), 1);
//! # Ok(())
//! # }
//! ```

mod body;
mod future;
mod guard;
mod layer;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod names;
mod service;
#[cfg(feature = "tracing")]
mod trace;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::TelemetryLayer;
#[cfg(feature = "metrics")]
pub use meter::Meter;
pub use service::Telemetry;
#[cfg(feature = "tracing")]
pub use trace::{Propagate, Trace};
