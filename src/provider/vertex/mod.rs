//! Google's Vertex AI: Gemini's own models, and Anthropic's.
//!
//! A model whose name has `claude` in it is asked through Anthropic's Messages API, every other one
//! through Gemini's; a name may carry its publisher (`anthropic/claude-…`). The credential is an
//! OAuth token, sent as `Authorization: Bearer`: a ready one as a key of the
//! [`Provider`](super::Provider), or, with the feature `vertex` and one of the `tls-*` features, one
//! that a `TokenLayer` around the HTTP client fetches for a `ServiceAccount` and renews.
//!
//! `service_tier` of a Gemini model is a header there (`x-vertex-ai-llm-shared-request-type`), which
//! the location `global` alone knows; the answer says at which tier it was served.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, vertex::Vertex}};
//!
//! let vertex = Vertex::new("my-project", "europe-west4")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("vertex", "gemini-2.5-flash");
//! let request = vertex.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(
//!     request.uri(),
//!     "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/\
//!      europe-west4/publishers/google/models/gemini-2.5-flash:generateContent"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
mod account;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
mod token;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, uri::InvalidUri};

#[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
pub use account::{NotAnAccount, ServiceAccount};
pub use stream::Stream;
#[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
pub use token::{TokenFuture, TokenLayer, WithToken};

use super::{
    Answer, Asked, Notes, Translate, anthropic,
    gemini::{self, Streaming, request::Door},
    path,
};
use crate::{body::Full, error::Error, ext::Target, parse::Chat};

/// How a tier is asked for. Source: the provider's pages on Priority and Flex PayGo, read 2026-11.
const TIER: HeaderName = HeaderName::from_static("x-vertex-ai-llm-shared-request-type");

/// Speaks to `{base_url}/v1/projects/{project}/locations/{location}/publishers/…`.
#[derive(Clone)]
pub struct Vertex {
    base: Box<str>,
    project: Box<str>,
    location: Box<str>,
}

impl fmt::Debug for Vertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vertex")
            .field("base", &path::Shown(&self.base))
            .field("project", &self.project)
            .field("location", &self.location)
            .finish()
    }
}

impl Vertex {
    /// A project in a location: a region, `global`, or one of the groups `eu` and `us`.
    ///
    /// # Errors
    /// What cannot stand in a URL.
    pub fn new(project: &str, location: &str) -> Result<Self, InvalidUri> {
        let base = match location {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            "eu" | "us" => format!("https://aiplatform.{location}.rep.googleapis.com"),
            _ => format!("https://{location}-aiplatform.googleapis.com"),
        };
        Self::at(&base, project, location)
    }

    /// The same under another base URL.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn at(base_url: &str, project: &str, location: &str) -> Result<Self, InvalidUri> {
        let vertex = Self {
            base: base_url.trim_end_matches('/').into(),
            project: project.into(),
            location: location.into(),
        };
        vertex.uri("model", false).map(|_| vertex)
    }

    fn uri(&self, model: &str, stream: bool) -> Result<Uri, InvalidUri> {
        let mut text = format!("{}/v1/projects/", self.base);
        path::segment(&self.project, &mut text);
        text.push_str("/locations/");
        path::segment(&self.location, &mut text);
        let bare = bare(model);
        let (publisher, method) = match (is_claude(model), stream) {
            (true, false) => ("anthropic", ":rawPredict"),
            (true, true) => ("anthropic", ":streamRawPredict"),
            (false, _) => ("google", gemini::method(stream, Streaming::Events)),
        };
        text.push_str("/publishers/");
        text.push_str(publisher);
        text.push_str("/models/");
        path::segment(bare, &mut text);
        text.push_str(method);
        text.parse()
    }
}

fn is_claude(model: &str) -> bool {
    model.contains("claude")
}

fn bare(model: &str) -> &str {
    model
        .strip_prefix("google/")
        .or_else(|| model.strip_prefix("anthropic/"))
        .unwrap_or(model)
}

impl Translate for Vertex {
    type Stream = Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let uri = self.uri(&target.model, chat.stream());
        let uri = uri.map_err(path::unusable)?;
        let model = bare(&target.model);
        if is_claude(model) {
            let door = anthropic::request::Door::Vertex;
            let body = anthropic::request::body(chat, model, door, notes)?;
            return Ok(path::post(uri, body));
        }
        let translated = gemini::request::body(chat, model, Door::Vertex, notes)?;
        let mut request = path::post(uri, translated.body);
        if let Some(tier) = translated.tier {
            let tier = HeaderValue::from_static(tier);
            request.headers_mut().insert(TIER, tier);
        }
        Ok(request)
    }

    fn answer(&self, asked: &Asked, body: Bytes) -> Result<Answer, Error> {
        if is_claude(&asked.model) {
            anthropic::response::answer(&body, asked.created)
        } else {
            gemini::response::answer(&body, asked)
        }
    }

    fn stream(&self, asked: &Asked) -> Option<Stream> {
        Some(Stream::new(asked, is_claude(&asked.model)))
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        // Google's own refusals and those of Anthropic's models differ in their shape.
        if memchr::memmem::find(body, b"\"status\"").is_some() {
            gemini::error::read(status, headers, body)
        } else {
            anthropic::error::read(status, headers, body)
        }
    }
}
