//! OpenAI's Chat Completions, and everything that is compatible with it.
//!
//! The body goes up as the client wrote it: the model's name is spliced in, and a stream is asked
//! for its usage, which the re-framer takes away again from a client that had not asked. What a
//! [`Vendor`] calls otherwise is renamed, what it does not take follows the
//! [`Contract`](super::Contract); the vendor is told from the host unless it is given. An unknown
//! one gets the body as it is. So it is with the conversation: the role `developer` becomes `system`,
//! ids of calls are brought into the form that Mistral wants, and messages into its order (a result is
//! answered before anything else is said, instructions behind an answer are the user's), members of messages
//! that Cerebras, Groq and Mistral refuse are left out, where the vendor's row says so; a list of texts is one
//! text, and calls have an empty one beside them, where those refuse anything else; earlier reasoning goes
//! under the name that is read there, or is one of those; tools that take free text become functions of one
//! string. Reasoning that another vendor has signed is left out, where whose it is can be told. Sampling
//! parameters are refused for models that reason, or dropped where those pass over them.
//!
//! ```
//! use http_body_util::BodyExt;
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, openai::OpenAi}};
//!
//! let mistral = OpenAi::new("https://api.mistral.ai/v1")?;
//! let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"seed":7,"user":"u"}"#;
//! let mut notes = Notes::default();
//! let request = mistral.request(&Chat::parse(body.into())?, &Target::new("mistral", "m"), &mut notes)?;
//! # tokio_test::block_on(async {
//! let sent = request.into_body().collect().await.expect("whole").to_bytes();
//! assert_eq!(sent, r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"random_seed":7}"#);
//! # });
//! assert_eq!(notes.dropped(), ["user"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(super) mod error;
pub(super) mod foreign;
mod models;
mod params;
pub(super) mod request;
mod row;
mod rows;
mod speech;
#[cfg(test)]
mod tests;
mod tools;
mod vendor;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, uri::InvalidUri};

pub use error::classify;
pub(crate) use error::read as read_error;
use speech::Speech;
pub(super) use vendor::Usage;
pub use vendor::Vendor;

use super::{Answer, Asked, Notes, Translate, Untranslated, path};
use crate::{body::Full, error::Error, ext::Target, parse::Chat, wire::Counting};

/// Forwards to `{base_url}/chat/completions`.
#[derive(Clone)]
pub struct OpenAi {
    uri: Uri,
    vendor: Vendor,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("uri", &path::Shown(&self.uri.to_string()))
            .field("vendor", &self.vendor)
            .finish()
    }
}

impl OpenAi {
    /// An upstream by the base URL that its own SDK uses: with the version, `https://host/v1`.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let uri: Uri = format!("{}/chat/completions", base_url.trim_end_matches('/')).parse()?;
        let vendor = Vendor::of_host(uri.host().unwrap_or_default());
        Ok(Self { uri, vendor })
    }

    /// Whose quirks to expect. Default: told from the host.
    #[must_use]
    pub fn with_vendor(mut self, vendor: Vendor) -> Self {
        self.vendor = vendor;
        self
    }

    /// Whose quirks are expected.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }
}

impl Translate for OpenAi {
    type Stream = Untranslated;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let mut chat = chat.clone();
        if self.vendor.row().only_functions {
            tools::fit(&mut chat, notes)?;
        }
        params::fit(&mut chat, self.vendor, &target.model, notes)?;
        let row = self.vendor.row();
        let speech = Speech {
            reasoning: (row.remembers)(&target.model),
            ..row.speech
        };
        speech::fit(&mut chat, speech, notes)?;
        foreign::fit(&mut chat, self.vendor.row().whose, notes)?;
        let usage = self.vendor.row().usage;
        Ok(request::request(self.uri.clone(), chat, target, usage))
    }

    fn is_bearer(&self) -> bool {
        true
    }

    fn knows_functions(&self) -> bool {
        self.vendor.row().functions
    }

    fn knows_custom_tools(&self) -> bool {
        !self.vendor.row().only_functions
    }

    fn counting(&self) -> Counting {
        self.vendor.counting()
    }

    fn answer(&self, _: &Asked, body: Bytes) -> Result<Answer, Error> {
        error::check(body).map(Answer::new)
    }

    fn stream(&self, _: &Asked) -> Option<Untranslated> {
        None
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        if self.vendor.name() == "gemini" {
            // It refuses as the provider's own API does, in a list.
            return super::gemini::error::read(status, headers, body);
        }
        error::read_of(self.vendor.numbers(), status, headers, body)
    }
}
