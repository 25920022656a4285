use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};

use super::{Notes, customs::Names};
use crate::{
    body::Full,
    error::Error,
    ext::Target,
    parse::Chat,
    wire::{Counting, Usage},
};

/// What was asked of the upstream: all that reading its answer needs of the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The model's name at the provider.
    pub model: Arc<str>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// When it was asked, in seconds since 1970: the `created` of an answer that has no time of its own.
    pub created: u64,
    /// Whether the calls of the answer are told as those of functions.
    pub(crate) functions: bool,
    /// The custom tools that went up as functions: calls of them are told as theirs.
    pub(super) customs: Option<Names>,
    id: OnceLock<Arc<str>>,
}

impl Asked {
    /// Takes it from a request and its target, asked at this time.
    #[must_use]
    pub fn new(chat: &Chat, target: &Target, now: SystemTime) -> Self {
        Self {
            model: Arc::clone(&target.model),
            stream: chat.stream(),
            created: now
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
            functions: false,
            customs: None,
            id: OnceLock::new(),
        }
    }

    /// An id for an answer that has none of its own: `chatcmpl-…`, the same at every call.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.get_or_init(|| crate::id::completion().into())
    }
}

/// A whole answer, translated.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The JSON of a `chat.completion`.
    pub body: Bytes,
    /// What it used; `None` leaves it to be read from the body.
    pub usage: Option<Usage>,
}

impl fmt::Debug for Answer {
    /// Of the text its length alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("bytes", &self.body.len())
            .field("usage", &self.usage)
            .finish()
    }
}

impl Answer {
    /// An answer whose body says all there is to know.
    #[must_use]
    pub const fn new(body: Bytes) -> Self {
        Self { body, usage: None }
    }

    /// What it used.
    #[must_use]
    pub const fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// How a stream is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON value a line.
    JsonLines,
    /// One JSON array whose elements come one by one.
    JsonArray,
    /// Server-sent events or one JSON array, whichever comes: told by the first byte.
    SseOrJsonArray,
    /// AWS's binary event stream.
    #[cfg(feature = "bedrock")]
    AwsEventStream,
}

/// Between Chat Completions and one provider's own API. Pure: no input or output, no clock.
///
/// See the [module](super) for how little an own one needs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not translate for a provider",
    label = "not a `Translate`",
    note = "`provider::openai::OpenAi` and the other providers' types are; one of your own must be `Clone + Send + Sync`"
)]
pub trait Translate: Clone + Send + Sync + 'static {
    /// The state of one answer's stream.
    type Stream: TranslateStream;

    /// Builds the upstream's request, without credentials: an absolute URI, the content type, what
    /// other headers the provider asks for, and the body. What the provider cannot be given as the
    /// client sent it goes into `notes`, which decide whether it is refused or dropped.
    ///
    /// # Errors
    /// What the provider cannot do, as the caller should read it.
    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error>;

    /// Puts a credential into a finished request. The default is `Authorization: Bearer`.
    ///
    /// # Errors
    /// A credential that no header can carry.
    fn authorize(&self, request: &mut Request<Full>, key: &str) -> Result<(), Error> {
        super::credential::bearer(request, key)
    }

    /// Whether [`authorize`](Self::authorize) is the default one, whatever the request: then the header
    /// of each key is made once, and `authorize` is not asked. Default: no.
    fn is_bearer(&self) -> bool {
        false
    }

    /// Reads a whole answer of status 200.
    ///
    /// # Errors
    /// An answer that makes no sense, or that is an error under the wrong status.
    fn answer(&self, asked: &Asked, body: Bytes) -> Result<Answer, Error>;

    /// Begins to read a stream; `None` forwards it as it comes, which is right when the provider
    /// sends `chat.completion.chunk` events itself.
    fn stream(&self, asked: &Asked) -> Option<Self::Stream>;

    /// How the counts of answers that pass as they are depart from OpenAI's. Default: not at all.
    fn counting(&self) -> Counting {
        Counting::Plain
    }

    /// Whether the upstream knows `functions`, the deprecated form of tools. Default: no; it is given
    /// tools in their place, and its calls are given back as `function_call`.
    fn knows_functions(&self) -> bool {
        false
    }

    /// Whether the upstream knows custom tools. Default: no; a translation tells it of them as functions
    /// of one string, `input`, and calls of those are given back as calls of custom tools.
    fn knows_custom_tools(&self) -> bool {
        false
    }

    /// Reads a refusal: its [`Class`](crate::error::Class) decides what a router does next.
    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error;
}

/// One answer's stream, event by event.
pub trait TranslateStream: Send + 'static {
    /// How the upstream's stream is cut into events.
    fn framing(&self) -> Framing;

    /// Takes an event and writes what it means as `data: {…}` events with their blank lines. Once
    /// it writes `data: [DONE]` the answer is finished: nothing more is read of the upstream, not
    /// even an error, and [`finish`](Self::finish) is not called.
    ///
    /// # Errors
    /// An error event of the provider, or one that makes no sense. The stream ends there.
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error>;

    /// The upstream has ended: writes what is left, `data: [DONE]` last.
    ///
    /// # Errors
    /// The answer was not whole.
    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Error>;

    /// What was used, as far as has been said.
    fn usage(&self) -> Option<Usage>;
}

/// The stream of a provider that needs none.
#[derive(Clone, Copy, Debug)]
pub enum Untranslated {}

impl TranslateStream for Untranslated {
    fn framing(&self) -> Framing {
        match *self {}
    }

    fn event(&mut self, _: Option<&str>, _: &[u8], _: &mut BytesMut) -> Result<(), Error> {
        match *self {}
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        match *self {}
    }

    fn usage(&self) -> Option<Usage> {
        match *self {}
    }
}
