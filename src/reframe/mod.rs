//! The re-framer of answers: whatever an OpenAI-like service sends, as the canonical form of it.
//!
//! A stream comes out as `data:` lines only, whole events only in a frame, with one id, time and
//! model, a role in the first delta of each choice, tool calls counted from 0 and named once, usage
//! as the client asked for it, and `[DONE]` once, last and only behind a whole answer. What needs
//! no change goes out as the bytes it came in.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt};
//! use tower_completions::{Dialect, parse::ChatBody, reframe::ReframeLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any service of one's own, which frames its stream as it likes.
//! let handler = tower::service_fn(|_: Request<ChatBody>| async {
//!     let stream = "data:{\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\r\n\r\n";
//!     Response::builder()
//!         .header("content-type", "text/event-stream")
//!         .body(Full::<bytes::Bytes>::from(stream))
//! });
//!
//! let request = Request::post("/v1/chat/completions").body(Full::<bytes::Bytes>::from(
//!     r#"{"model":"mine","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#,
//! ))?;
//! let response = ReframeLayer::new(Dialect::openai()).layer(handler).oneshot(request).await?;
//! let body = response.into_body().collect().await?.to_bytes();
//! let text = std::str::from_utf8(&body)?;
//! assert!(text.contains(r#""model":"mine""#) && text.contains(r#""role":"assistant""#));
//! assert!(text.ends_with("}\n\ndata: [DONE]\n\n"));
//! # Ok(())
//! # }
//! ```
//!
//! A broken stream ends with one error event in the API's shape and no `[DONE]`. How it ended is
//! in the [`Tally`](crate::meter::Tally) of the response, for the layers outside.
//!
//! A refusal of the inner service (a status that is no success, or an [`Error`](crate::error::Error)
//! in the extensions), a content type that is not what was asked for, and what is compressed, pass
//! as they are. With [`convert`](ReframeLayer::convert) a stream is folded for a client that asked
//! for none, and an answer unfolded for one that asked for a stream:
//!
//! ```
//! use std::time::Duration;
//! use tower_completions::{Dialect, reframe::{ModelName, ReframeLayer}};
//!
//! let layer = ReframeLayer::new(Dialect::openai())
//!     .model_name(ModelName::Served)
//!     .first_event_timeout(Duration::from_secs(20))
//!     .keep_alive(None)
//!     .convert();
//! # let _ = layer;
//! ```

mod base64;
mod begin;
mod body;
mod calls;
mod choices;
mod clock;
mod config;
mod edits;
mod fault;
mod fold;
mod folded;
mod future;
mod gather;
mod layer;
mod machine;
mod names;
mod outgoing;
mod pass;
mod pattern;
mod read;
mod service;
mod sink;
mod unfold;
mod usual;
mod whole;

pub use body::ResponseBody;
pub use fold::fold;
pub use future::ResponseFuture;
pub use layer::{ModelName, ReframeLayer};
pub use service::Reframe;
pub use unfold::unfold;

#[cfg(all(test, feature = "tokio"))]
mod tests;
