//! Google's Gemini API.
//!
//! Instructions become the `systemInstruction`, neighbours of one role are merged, results of calls are
//! named after the call that they answer and stand in its order. A call that nothing was said before,
//! which is refused, comes behind a `.` of the user's. Images and files that a tool gave stand within
//! its result, or beside it for models before the third generation. A schema travels as the JSON Schema
//! that it is. What has no counterpart follows the [`Contract`](super::Contract).
//!
//! Thought signatures, which the provider wants back with the next turn, are entries of
//! `reasoning_details`; those of calls also stand in the call, as
//! `extra_content.google.thought_signature`, and are understood in either place. Calls of another
//! model get the value that tells the provider not to look for one. Where the provider gives a call
//! no id, it gets one that is not sent back.
//!
//! What the provider's own tools were asked and have found is no call of the client's: its parts are entries
//! of `reasoning_details` as well, and go back to their places.
//!
//! An image of the answer that is known by its address is one of its `images`; another file goes back with
//! the next turn as those parts do.
//!
//! Before the third generation the provider takes tools or a format of JSON, not both: the format follows the
//! contract then. A prompt that led to searches counts one there, as it is charged.
//!
//! `reasoning_effort` becomes a budget of tokens for the 2.5 generation and a level from the third
//! on; thoughts are asked for with it. `extra_body.google.thinking_config`, as clients of the provider's own
//! endpoint for OpenAI's SDKs send it, is taken in its place, and `cached_content` with it. From the third
//! generation on an image's `detail` is its resolution. Source: the provider's API reference, 2026-11.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, gemini::Gemini}};
//!
//! let gemini = Gemini::new("https://generativelanguage.googleapis.com")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("gemini", "gemini-2.5-flash");
//! let request = gemini.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(request.uri().path(), "/v1beta/models/gemini-2.5-flash:generateContent");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contents;
mod entries;
pub(super) mod error;
mod model;
mod names;
mod own;
mod parts;
mod pieces;
pub(super) mod read;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri, uri::InvalidUri};

pub use stream::Stream;

use super::{Answer, Asked, Notes, Translate, credential, path};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// How an answer is streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Streaming {
    /// As server-sent events (`alt=sse`).
    #[default]
    Events,
    /// As one JSON array whose elements come one by one: what the API does unasked.
    Array,
}

/// Speaks to `{base_url}/v1beta/models/{model}:generateContent`, the key in `x-goog-api-key`.
#[derive(Clone)]
pub struct Gemini {
    base: Box<str>,
    streaming: Streaming,
}

impl fmt::Debug for Gemini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gemini")
            .field("base", &path::Shown(&self.base))
            .field("streaming", &self.streaming)
            .finish()
    }
}

impl Gemini {
    /// An upstream by the base URL that its own SDK uses: without the version.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let base: Box<str> = base_url.trim_end_matches('/').into();
        let gemini = Self {
            base,
            streaming: Streaming::default(),
        };
        gemini.uri("model", false).map(|_| gemini)
    }

    /// How answers are asked to be streamed. Default: as events. Either is read, whichever comes.
    #[must_use]
    pub const fn with_streaming(mut self, streaming: Streaming) -> Self {
        self.streaming = streaming;
        self
    }

    fn uri(&self, model: &str, stream: bool) -> Result<Uri, InvalidUri> {
        let mut text = format!("{}/v1beta/models/", self.base);
        path::segment(model.strip_prefix("models/").unwrap_or(model), &mut text);
        text.push_str(method(stream, self.streaming));
        text.parse()
    }
}

/// The end of the URL.
pub(super) const fn method(stream: bool, streaming: Streaming) -> &'static str {
    match (stream, streaming) {
        (false, _) => ":generateContent",
        (true, Streaming::Events) => ":streamGenerateContent?alt=sse",
        (true, Streaming::Array) => ":streamGenerateContent",
    }
}

impl Translate for Gemini {
    type Stream = Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let uri = self.uri(&target.model, chat.stream());
        let uri = uri.map_err(path::unusable)?;
        let body = request::body(chat, &target.model, request::Door::Api, notes)?;
        Ok(path::post(uri, body.body))
    }

    fn authorize(&self, request: &mut Request<Full>, key: &str) -> Result<(), Error> {
        credential::header(request, HeaderName::from_static("x-goog-api-key"), key)
    }

    fn answer(&self, asked: &Asked, body: Bytes) -> Result<Answer, Error> {
        response::answer(&body, asked)
    }

    fn stream(&self, asked: &Asked) -> Option<Stream> {
        Some(Stream::new(asked))
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        error::read(status, headers, body)
    }
}
