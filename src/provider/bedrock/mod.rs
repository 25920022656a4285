//! AWS Bedrock: Converse and ConverseStream.
//!
//! With a Bedrock API key a [`Provider`](super::Provider) sends it as a bearer token. With access
//! keys a [`SignLayer`] around the HTTP client signs each request (Signature Version 4), with the
//! keys of a [`Credentials`]: an [`AccessKey`], the [`Environment`], or one's own fetch behind
//! [`Cached`].
//!
//! Tools, images, documents, sound, cache points, schemas and reasoning travel both ways; efforts
//! become what the model's family has for them. `guardrailConfig`, `performanceConfig` and the
//! `additionalModel…` members pass as a client sends them. What Converse has no counterpart of
//! follows the [`Contract`](super::Contract). Images and files must come as data: an address is
//! refused, for nothing is fetched here. JSON without a schema is an instruction beside the others,
//! announced as mapped. Ids of calls are brought into the service's alphabet, the same one always
//! to the same; a request without tools whose conversation has calls declares them again, without
//! their schemas, because the service insists on it. Images that a model makes are `images` of its answer, and
//! citations of the web its `annotations`; an answer that the service calls malformed is an error.
//!
//! ```
//! use tower_completions::{Target, parse::Chat, provider::{Notes, Translate, bedrock::Bedrock}};
//!
//! let bedrock = Bedrock::region("eu-west-1")?;
//! let chat = Chat::parse(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.into())?;
//! let target = Target::new("aws", "amazon.nova-lite-v1:0");
//! let request = bedrock.request(&chat, &target, &mut Notes::default())?;
//! assert_eq!(
//!     request.uri(),
//!     "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod cached;
mod content;
mod credentials;
mod error;
mod marks;
mod model;
mod names;
mod request;
mod response;
mod sign;
mod sigv4;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod tools;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header, uri::InvalidUri};

pub use cached::{Cached, CachedFuture};
pub use credentials::{AccessKey, Credentials, Environment, MissingVariable};
pub use sign::{Sign, SignFuture, SignLayer};
pub use stream::Stream;

use super::{Answer, Asked, Notes, Translate, path};
use crate::{
    body::Full,
    error::{Class, Error, Kind, Origin},
    ext::Target,
    parse::Chat,
};

/// Speaks to `{base_url}/model/{model}/converse`.
#[derive(Clone)]
pub struct Bedrock {
    base: Box<str>,
}

impl fmt::Debug for Bedrock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bedrock")
            .field("base", &path::Shown(&self.base))
            .finish()
    }
}

impl Bedrock {
    /// An endpoint by its base URL.
    ///
    /// # Errors
    /// What is not a URL.
    pub fn new(base_url: &str) -> Result<Self, InvalidUri> {
        let bedrock = Self {
            base: base_url.trim_end_matches('/').into(),
        };
        bedrock.uri("model", "converse").map(|_| bedrock)
    }

    /// The public endpoint of a region.
    ///
    /// # Errors
    /// What cannot stand in a host's name.
    pub fn region(region: &str) -> Result<Self, InvalidUri> {
        Self::new(&format!("https://bedrock-runtime.{region}.amazonaws.com"))
    }

    /// An id, a profile or an ARN is one segment of the path.
    fn uri(&self, model: &str, action: &str) -> Result<Uri, InvalidUri> {
        let mut text = format!("{}/model/", self.base);
        sigv4::escape(model, &mut text);
        text.push('/');
        text.push_str(action);
        text.parse()
    }
}

impl Translate for Bedrock {
    type Stream = Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let body = request::body(chat, &target.model, notes)?;
        let (action, accept) = if chat.stream() {
            ("converse-stream", "application/vnd.amazon.eventstream")
        } else {
            ("converse", "application/json")
        };
        let uri = self.uri(&target.model, action).map_err(|source| {
            Error::new(Kind::BadUpstream, "The model's name cannot stand in a URL.")
                .with_code("upstream_model_not_found")
                .with_class(Class::ModelGone)
                .with_origin(Origin::Gateway)
                .with_source(source)
        })?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::ACCEPT, accept),
            (header::USER_AGENT, super::AGENT),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(request)
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
