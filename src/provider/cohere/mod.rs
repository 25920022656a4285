//! Cohere's chat API, version 2.
//!
//! Text, images, tools, schemas and reasoning travel both ways; `reasoning_content` is the thinking
//! or the plan before a call, and what was said beside one is of that plan. A tool named by the choice is the
//! only one that is sent. Tokens are those that Cohere bills, where it tells them apart from those it counted:
//! the prompt of its own template is not charged. `documents`, `citation_options`, `safety_mode` and `priority`
//! pass as a client sends them, and what an answer rests on of them comes as `citations` in the API's own form.
//! What the API has no counterpart of follows the [`Contract`](super::Contract);
//! penalties below 0 and a `top_p` beyond 0.01 to 0.99 are cut to its own ranges and announced.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, cohere::Cohere}};
//!
//! let cohere = Cohere::new("https://api.cohere.com")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("cohere", "command-a-03-2025");
//! let request = cohere.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(request.uri(), "https://api.cohere.com/v2/chat");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, uri::InvalidUri};

pub use stream::Stream;

use super::{Answer, Asked, Notes, Translate, path, support::post};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// Speaks to `{base_url}/v2/chat`.
#[derive(Clone)]
pub struct Cohere {
    uri: Uri,
}

impl fmt::Debug for Cohere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cohere")
            .field("uri", &path::Shown(&self.uri.to_string()))
            .finish()
    }
}

impl Cohere {
    /// An upstream by its base URL, without the version: `https://api.cohere.com`.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let uri = format!("{}/v2/chat", base_url.trim_end_matches('/')).parse()?;
        Ok(Self { uri })
    }
}

impl Translate for Cohere {
    type Stream = Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let body = request::body(chat, &target.model, notes)?;
        Ok(post(self.uri.clone(), body))
    }

    fn is_bearer(&self) -> bool {
        true
    }

    fn answer(&self, asked: &Asked, body: Bytes) -> Result<Answer, Error> {
        response::answer(asked, &body)
    }

    fn stream(&self, asked: &Asked) -> Option<Stream> {
        Some(Stream::new(asked))
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        error::read(status, headers, body)
    }
}
