//! OpenAI's Chat Completions, and everything that is compatible with it.
//!
//! The body goes up as the client wrote it: the model's name is spliced in, and a stream is asked
//! for its usage, which the re-framer takes away again from a client that had not asked.

pub(super) mod error;
pub(super) mod request;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, uri::InvalidUri};

pub use error::classify;
pub(crate) use error::read as read_error;

use super::{Answer, Asked, Notes, Translate, Untranslated};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// Forwards to `{base_url}/chat/completions`.
#[derive(Clone, Debug)]
pub struct OpenAi {
    uri: Uri,
}

impl OpenAi {
    /// An upstream by the base URL that its own SDK uses: with the version, `https://host/v1`.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let uri = format!("{}/chat/completions", base_url.trim_end_matches('/')).parse()?;
        Ok(Self { uri })
    }
}

impl Translate for OpenAi {
    type Stream = Untranslated;

    fn request(&self, chat: &Chat, target: &Target, _: &mut Notes) -> Result<Request<Full>, Error> {
        Ok(request::request(self.uri.clone(), chat, target))
    }

    fn answer(&self, _: &Asked, body: Bytes) -> Result<Answer, Error> {
        error::check(body).map(Answer::new)
    }

    fn stream(&self, _: &Asked) -> Option<Untranslated> {
        None
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        error::read(status, headers, body)
    }
}
