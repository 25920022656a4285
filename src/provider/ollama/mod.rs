//! Ollama's own chat API.
//!
//! Text, images, tools, schemas, thinking and likelihoods of tokens travel both ways. The server takes no choice of tools:
//! `none` leaves them out, allowing some leaves the others out, forcing a call is refused. Images
//! must come as data. Arguments of calls are objects there and texts here; calls without an id get
//! one. What the API has no counterpart of follows the [`Contract`](super::Contract).
//! `keep_alive` and the options `top_k`, `min_p`, `repeat_penalty` and `num_ctx` pass as a client
//! sends them.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, ollama::Ollama}};
//!
//! let ollama = Ollama::new("http://localhost:11434")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("local", "llama3.2");
//! let request = ollama.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(request.uri(), "http://localhost:11434/api/chat");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod likely;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, uri::InvalidUri};

pub use stream::Stream;

use super::{Answer, Asked, Notes, Translate, openai, path, support::post};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// Speaks to `{base_url}/api/chat`.
#[derive(Clone)]
pub struct Ollama {
    uri: Uri,
}

impl fmt::Debug for Ollama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ollama")
            .field("uri", &path::Shown(&self.uri.to_string()))
            .finish()
    }
}

impl Ollama {
    /// A server by its base URL: `http://localhost:11434`.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let uri = format!("{}/api/chat", base_url.trim_end_matches('/')).parse()?;
        Ok(Self { uri })
    }
}

impl Translate for Ollama {
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
        // `{"error": "text"}` is one of the shapes that the family's reader knows.
        openai::read_error(status, headers, body)
    }
}
