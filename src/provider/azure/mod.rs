//! Azure OpenAI: OpenAI's own bodies under Azure's URLs, keys and errors.
//!
//! The target's model is the deployment. Content-filter members and the empty first chunk of a
//! stream are forwarded as they come; the re-framer takes no id and no model from that chunk.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, azure::{Azure, Api}}};
//!
//! let body = r#"{"model":"gpt","messages":[{"role":"user","content":"hi"}]}"#;
//! let chat = Chat::parse(body.into())?;
//! let target = Target::new("azure", "my-gpt");
//!
//! let v1 = Azure::new("https://name.openai.azure.com", Api::V1, None)?;
//! let request = v1.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(request.uri(), "https://name.openai.azure.com/openai/v1/chat/completions");
//!
//! let old = Azure::new("https://name.openai.azure.com", Api::Deployments, Some("2024-10-21"))?;
//! let request = old.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(
//!     request.uri().path_and_query().expect("absolute"),
//!     "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod request;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode, uri::InvalidUri};

use super::{Answer, Asked, Notes, Translate, Untranslated, credential, openai, path};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// Which of Azure's two forms of URL is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Api {
    /// `/openai/v1/chat/completions`: the deployment is the body's model.
    #[default]
    V1,
    /// `/openai/deployments/{deployment}/chat/completions`, which wants an `api-version`.
    Deployments,
}

/// How the credential travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// A resource key, as `api-key`.
    #[default]
    ApiKey,
    /// A ready Entra ID token, as `Authorization: Bearer`.
    Bearer,
}

/// Forwards to one Azure OpenAI resource.
#[derive(Clone)]
pub struct Azure {
    base: Box<str>,
    api: Api,
    version: Option<Box<str>>,
    auth: Auth,
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("base", &path::Shown(&self.base))
            .field("api", &self.api)
            .field("version", &self.version)
            .field("auth", &self.auth)
            .finish()
    }
}

impl Azure {
    /// The API version used with deployment URLs when none is given.
    pub const VERSION: &'static str = "2024-10-21";

    /// A resource by its endpoint, `https://NAME.openai.azure.com`, and an `api-version`: with
    /// [`Api::Deployments`] it is [`VERSION`](Self::VERSION) by default, with [`Api::V1`] none.
    ///
    /// # Errors
    /// What is not a URL, or a version that cannot stand in one.
    pub fn new(base_url: &str, api: Api, version: Option<&str>) -> Result<Self, InvalidUri> {
        let version = match api {
            Api::Deployments => Some(version.unwrap_or(Self::VERSION)),
            Api::V1 => version,
        };
        let azure = Self {
            base: base_url.trim_end_matches('/').into(),
            api,
            version: version.map(Into::into),
            auth: Auth::default(),
        };
        request::uri(&azure, "deployment").map(|_| azure)
    }

    /// How the credential travels. Default: as `api-key`.
    #[must_use]
    pub const fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }
}

impl Translate for Azure {
    type Stream = Untranslated;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let mut chat = chat.clone();
        openai::foreign::leave(&mut chat, notes)?;
        let uri = request::uri(self, &target.model).map_err(path::unusable)?;
        Ok(openai::request::request(
            uri,
            chat,
            target,
            openai::Usage::Asked,
        ))
    }

    fn knows_functions(&self) -> bool {
        true
    }

    fn knows_custom_tools(&self) -> bool {
        true
    }

    fn authorize(&self, request: &mut Request<Full>, key: &str) -> Result<(), Error> {
        match self.auth {
            Auth::ApiKey => credential::header(request, HeaderName::from_static("api-key"), key),
            Auth::Bearer => credential::bearer(request, key),
        }
    }

    fn answer(&self, _: &Asked, body: Bytes) -> Result<Answer, Error> {
        openai::error::check(body).map(Answer::new)
    }

    fn stream(&self, _: &Asked) -> Option<Untranslated> {
        None
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        openai::error::read(status, headers, body)
    }
}

#[cfg(test)]
mod tests;
