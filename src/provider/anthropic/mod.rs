//! Anthropic's Messages API.
//!
//! Instructions are hoisted out of the conversation, tool results gathered into the user's next
//! turn, reasoning carried both ways: as `reasoning_content`, and as opaque `reasoning_details`
//! which the provider wants back unchanged. What was thought between texts or calls says so in its entry
//! (`x_after`: behind how many characters and how many calls), and goes back to that place. What it cannot do follows the
//! [`Contract`](super::Contract): `seed`, penalties, names of speakers and the like are dropped and
//! announced; `n` above 1, `logit_bias`, `logprobs` and whatever else changes the answer's meaning
//! is refused with `unsupported_parameter`.
//!
//! A temperature above 1 is sent as 1, which is announced as mapped, and 1 is not sent at all, being
//! the default. JSON mode is an instruction added to the others, announced as well, and so is a schema
//! for models that know none: it becomes a tool that must be called, whose arguments are the answer.
//! Models that know schemas want objects closed and no bounds: what is missing is put in, and bounds are
//! told in the descriptions; a schema that cannot be said so becomes the tool as well.
//! `thinking` in the provider's own words goes up as it is, in place of what `reasoning_effort` would become.
//! Ids of calls are brought into the provider's alphabet, the same one always to the same.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, anthropic::Anthropic}};
//!
//! let anthropic = Anthropic::new("https://api.anthropic.com")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("anthropic", "claude-sonnet-4-5");
//! let request = anthropic.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(request.uri().path(), "/v1/messages");
//! assert_eq!(request.headers()["anthropic-version"], "2023-06-01");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
pub(super) mod error;
pub(in crate::provider) mod join;
mod marks;
pub(in crate::provider) mod model;
mod read;
pub(super) mod request;
pub(super) mod response;
pub(in crate::provider) mod schema;
mod stream;
#[cfg(test)]
mod tests;
mod tools;
pub(in crate::provider) mod turns;
mod usage;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header, uri::InvalidUri};

pub(crate) use model::effort;
pub use stream::Stream;

use super::{Answer, Asked, Notes, Translate, credential, path};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// What is not open to all yet is asked for by name. Source: the provider's page of its Files API, 2026-11.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const FILES: HeaderValue = HeaderValue::from_static("files-api-2025-04-14");

/// Speaks to `{base_url}/v1/messages`.
#[derive(Clone)]
pub struct Anthropic {
    uri: Uri,
}

impl fmt::Debug for Anthropic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anthropic")
            .field("uri", &path::Shown(&self.uri.to_string()))
            .finish()
    }
}

impl Anthropic {
    /// An upstream by the base URL that its own SDK uses: without the version.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let uri = format!("{}/v1/messages", base_url.trim_end_matches('/')).parse()?;
        Ok(Self { uri })
    }
}

impl Translate for Anthropic {
    type Stream = Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let own = request::Door::Own;
        let (body, files) = request::translate(chat, &target.model, own, notes)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::USER_AGENT, super::AGENT),
            (HeaderName::from_static("anthropic-version"), "2023-06-01"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if files == request::Files::ById {
            headers.insert(BETA, FILES);
        }
        Ok(request)
    }

    fn authorize(&self, request: &mut Request<Full>, key: &str) -> Result<(), Error> {
        credential::header(request, HeaderName::from_static("x-api-key"), key)
    }

    fn answer(&self, asked: &Asked, body: Bytes) -> Result<Answer, Error> {
        response::answer(&body, asked.created)
    }

    fn stream(&self, asked: &Asked) -> Option<Stream> {
        Some(Stream::new(asked))
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        error::read(status, headers, body)
    }
}
