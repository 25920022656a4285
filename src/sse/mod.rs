//! Server-sent events and their kin: bytes in, events out, and back.
//!
//! Every decoder here has the same shape: [`push`](Decoder::push) a chunk, drain
//! [`next`](Decoder::next) until it says `None`, and [`finish`](Decoder::finish) when the input has
//! ended. Where a chunk ends never matters. An event that lies within one chunk is a slice of it;
//! only one that spans chunks is copied.
//!
//! ```
//! use bytes::Bytes;
//! use tower_completions::sse::Decoder;
//!
//! let mut decoder = Decoder::new();
//! decoder.push(Bytes::from_static(b": hello\n\nevent: ping\ndata: {\"a\""));
//! assert!(decoder.next().is_none());
//! decoder.push(Bytes::from_static(b":1}\r\n\r\ndata: [DONE]\n\n"));
//! let event = decoder.next().expect("whole")?;
//! assert_eq!((event.name(), event.data()), (Some("ping"), &b"{\"a\":1}"[..]));
//! assert_eq!(decoder.next().expect("whole")?.data(), b"[DONE]");
//! assert!(decoder.next().is_none());
//! # Ok::<(), tower_completions::sse::Error>(())
//! ```
//!
//! Writing goes the same way back:
//!
//! ```
//! let mut out = Vec::new();
//! tower_completions::sse::write_event(&mut out, None, b"[DONE]");
//! assert_eq!(out, b"data: [DONE]\n\n");
//! ```

#[cfg(feature = "bedrock")]
pub mod aws;
mod decoder;
mod encoder;
mod event;
pub mod json_array;
mod limits;
pub mod ndjson;

pub(crate) use decoder::{Ahead, Found, Place};
pub use decoder::{AtEnd, Decoder};
pub use encoder::{Encoder, write_comment, write_event};
pub use event::Event;
pub use limits::{Error, MaxSizes};

/// What all decoders of a stream have in common, for code that is told which one to use.
pub trait Decode {
    /// Gives it the next bytes of the input.
    fn push(&mut self, chunk: bytes::Bytes);

    /// The next event that is whole; `None` when more input is needed.
    ///
    /// # Errors
    /// A limit was passed or the input is not of this format. Nothing follows an error.
    fn next(&mut self) -> Option<Result<Event, Error>>;

    /// Says that the input has ended: what is still to come, one event a call.
    ///
    /// # Errors
    /// As [`next`](Self::next), and where the format does not allow an end here.
    fn finish(&mut self) -> Option<Result<Event, Error>>;
}

/// The input of a decoder: what has not been read, and how much may still come.
#[derive(Clone)]
struct Input {
    chunk: bytes::Bytes,
    left: u64,
    exceeded: bool,
}

impl Input {
    fn new(limits: MaxSizes) -> Self {
        Self {
            chunk: bytes::Bytes::new(),
            left: limits.stream,
            exceeded: false,
        }
    }

    /// The part of a chunk that is within the limit of the stream, wherever the chunk ends.
    fn admit(&mut self, chunk: bytes::Bytes) -> bytes::Bytes {
        let chunk = match usize::try_from(self.left) {
            Ok(left) if left < chunk.len() => {
                self.exceeded = true;
                chunk.slice(..left)
            }
            _ => chunk,
        };
        self.left -= chunk.len() as u64;
        chunk
    }

    /// Puts a chunk behind what is left of the one before, which should be nothing.
    fn push(&mut self, chunk: bytes::Bytes) {
        let chunk = self.admit(chunk);
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else if !chunk.is_empty() {
            self.chunk = [&self.chunk[..], &chunk[..]].concat().into();
        }
    }
}

macro_rules! decode {
    ($($decoder:ty),*) => {$(
        impl Decode for $decoder {
            fn push(&mut self, chunk: bytes::Bytes) {
                self.push(chunk);
            }
            fn next(&mut self) -> Option<Result<Event, Error>> {
                self.next()
            }
            fn finish(&mut self) -> Option<Result<Event, Error>> {
                self.finish()
            }
        }

        impl std::fmt::Debug for $decoder {
            /// Nothing of what it has read: events are answers.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Decoder")
                    .finish_non_exhaustive()
            }
        }
    )*};
}

decode!(Decoder, ndjson::Decoder, json_array::Decoder);
#[cfg(feature = "bedrock")]
decode!(aws::Decoder);

/// Whether an event's data say that the stream is whole, as OpenAI's clients look at it: what follows the
/// word does not count. Blanks before it neither, where more than one stands behind the colon.
pub(crate) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii_start().starts_with(b"[DONE]")
}

#[cfg(test)]
mod tests;
