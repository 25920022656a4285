//! JSON from a provider to the client with nothing built in between: read in place, written straight
//! into the output. A text keeps its spelling, so it is neither unescaped nor escaped again.

mod read;
mod write;

use std::borrow::Cow;

use crate::wire::chat::Text;

pub(super) use read::{Reader, count, readable};
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
        let bytes = self.0.as_bytes();
        let (mut count, mut at) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            at += match (
                byte,
                bytes.get(at + 1),
                bytes.get(at + 2),
                bytes.get(at + 3),
            ) {
                // Both halves of a pair are one.
                (
                    b'\\',
                    Some(b'u'),
                    Some(b'd' | b'D'),
                    Some(b'8' | b'9' | b'a'..=b'b' | b'A'..=b'B'),
                ) => 12,
                (b'\\', Some(b'u'), ..) => 6,
                (b'\\', ..) => 2,
                _ => 1,
            };
            // Bytes that continue a character are none of their own.
            count += u64::from(byte & 0xC0 != 0x80);
        }
        count
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

impl Words<'_> {
    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How many bytes there are to be written at least.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Spelled(text) | Self::Plain(text) => text.len(),
        }
    }
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

impl<'a> From<&'a Text<'_>> for Words<'a> {
    fn from(text: &'a Text<'_>) -> Self {
        text.spelled()
            .map_or_else(|| Self::Plain(text), Self::Spelled)
    }
}

impl<'a> From<&'a String> for Words<'a> {
    fn from(text: &'a String) -> Self {
        Self::Plain(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Spelled;

    #[test]
    fn characters_are_counted_as_they_are_meant() {
        for spelled in [
            "",
            "plain",
            "é—😀",
            r#"a\"\\\n\/b"#,
            r"\u00e9\ud83d\uDE00x",
            r"\uD83D\ude00\\u0041",
        ] {
            let text = Spelled(spelled);
            let meant = u64::try_from(text.plain().chars().count()).expect("short");
            assert_eq!(text.length(), meant, "{spelled}");
        }
    }
}
