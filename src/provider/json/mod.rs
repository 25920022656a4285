//! JSON from a provider to the client with nothing built in between: read in place, written straight
//! into the output. A text keeps its spelling, so it is neither unescaped nor escaped again.

mod read;
mod write;

use std::borrow::Cow;

pub(super) use read::Reader;
pub(super) use write::{Object, compact, quote};

/// A string as it stands between the quotes of a JSON text: its escapes checked, not resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spelled<'a>(pub(super) &'a str);

impl<'a> Spelled<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many characters it means.
    pub(super) fn length(self) -> u64 {
        let count = if memchr::memchr(b'\\', self.0.as_bytes()).is_none() {
            self.0.chars().count()
        } else {
            self.plain().chars().count()
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// What it means.
    pub(super) fn plain(self) -> Cow<'a, str> {
        if memchr::memchr(b'\\', self.0.as_bytes()).is_none() {
            return Cow::Borrowed(self.0);
        }
        let quoted = format!("\"{}\"", self.0);
        serde_json::from_str::<String>(&quoted).map_or(Cow::Borrowed(self.0), Cow::Owned)
    }
}

/// A string to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'a> {
    /// As it is spelled in JSON, without its quotes.
    Spelled(&'a str),
    /// As it is meant.
    Plain(&'a str),
}

impl<'a> From<Spelled<'a>> for Words<'a> {
    fn from(text: Spelled<'a>) -> Self {
        Self::Spelled(text.0)
    }
}

impl<'a> From<&'a str> for Words<'a> {
    fn from(text: &'a str) -> Self {
        Self::Plain(text)
    }
}

impl<'a> From<&'a String> for Words<'a> {
    fn from(text: &'a String) -> Self {
        Self::Plain(text)
    }
}
