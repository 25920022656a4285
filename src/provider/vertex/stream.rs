use std::fmt;

use bytes::BytesMut;

use crate::{
    error::Error,
    provider::{Asked, Framing, TranslateStream, anthropic, gemini},
    wire::Usage,
};

/// The state of a stream, of whichever API the model has.
pub struct Stream(Of);

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Of {
    Gemini(Box<gemini::Stream>),
    Anthropic(Box<anthropic::Stream>),
}

impl Stream {
    pub(super) fn new(asked: &Asked, claude: bool) -> Self {
        Self(if claude {
            Of::Anthropic(Box::new(anthropic::Stream::new(asked)))
        } else {
            Of::Gemini(Box::new(gemini::Stream::new(asked)))
        })
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        match &self.0 {
            Of::Gemini(stream) => stream.framing(),
            Of::Anthropic(stream) => stream.framing(),
        }
    }

    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        match &mut self.0 {
            Of::Gemini(stream) => stream.event(name, data, out),
            Of::Anthropic(stream) => stream.event(name, data, out),
        }
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        match &mut self.0 {
            Of::Gemini(stream) => stream.finish(out),
            Of::Anthropic(stream) => stream.finish(out),
        }
    }

    fn usage(&self) -> Option<Usage> {
        match &self.0 {
            Of::Gemini(stream) => stream.usage(),
            Of::Anthropic(stream) => stream.usage(),
        }
    }
}
