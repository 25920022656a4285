use std::fmt;

/// How much a decoder holds and reads at most. What is larger is an [`Error`] that says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSizes {
    pub(super) line: u32,
    pub(super) event: u32,
    pub(super) stream: u64,
}

impl MaxSizes {
    /// Lines up to 8 MiB, events up to 16 MiB, streams up to 1 GiB.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: 8 << 20,
            event: 16 << 20,
            stream: 1 << 30,
        }
    }

    /// Bytes of one line without its end. Default: 8 MiB.
    #[must_use]
    pub const fn line(mut self, bytes: u32) -> Self {
        self.line = bytes;
        self
    }

    /// Bytes of one event as it came, with its field names, line ends and the comments inside it.
    /// Default: 16 MiB.
    #[must_use]
    pub const fn event(mut self, bytes: u32) -> Self {
        self.event = bytes;
        self
    }

    /// Bytes of the whole input. Default: 1 GiB.
    #[must_use]
    pub const fn stream(mut self, bytes: u64) -> Self {
        self.stream = bytes;
        self
    }
}

impl MaxSizes {
    /// Bytes of the longest event.
    pub(crate) fn longest_event(self) -> usize {
        self.event as usize
    }
}

impl Default for MaxSizes {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A line is longer than this many bytes.
    LineTooLong(u32),
    /// An event is larger than this many bytes.
    EventTooLarge(u32),
    /// The input is longer than this many bytes.
    StreamTooLong(u64),
    /// The input is not of the format that was expected; what it is not.
    Format(&'static str),
    /// The input ended inside a value; what was being read.
    Cut(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong(limit) => write!(f, "a line is longer than {limit} bytes"),
            Self::EventTooLarge(limit) => write!(f, "an event is larger than {limit} bytes"),
            Self::StreamTooLong(limit) => write!(f, "the stream is longer than {limit} bytes"),
            Self::Format(what) => write!(f, "not {what}"),
            Self::Cut(what) => write!(f, "the stream ended inside {what}"),
        }
    }
}

impl std::error::Error for Error {}
