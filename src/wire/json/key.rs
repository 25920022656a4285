//! Keys, with what they say in one word.

use super::{Str, escape};

/// A key of an object.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) string: Str<'a>,
    /// The same however the key is spelled, so that an escape is resolved once.
    pub(crate) word: Word,
}

/// A string of 1 to 15 bytes, none of which is NUL: the bytes, the first one lowest. No two strings
/// have the same word but those that have none, and share [`NONE`](Self::NONE).
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Word {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Word {
    pub(crate) const NONE: Self = Self { low: 0, high: 0 };

    /// Of bytes that are known at compile time.
    pub(crate) const fn of(text: &[u8]) -> Self {
        if text.len() > 15 {
            return Self::NONE;
        }
        let mut word = 0u128;
        let mut at = text.len();
        while at > 0 {
            at -= 1;
            if text[at] == 0 {
                return Self::NONE;
            }
            word = word << 8 | text[at] as u128;
        }
        Self {
            low: word as u64,
            high: (word >> 64) as u64,
        }
    }

    /// What a string means.
    #[inline(never)]
    pub(crate) fn meant_by(string: Str<'_>) -> Self {
        if string.is_escaped() {
            return Self::meant_by_escaped(string);
        }
        let mut padded = [0; 16];
        let bytes = string.bytes();
        if bytes.len() > 15 {
            return Self::NONE;
        }
        padded[..bytes.len()].copy_from_slice(bytes);
        let word = u128::from_le_bytes(padded);
        Self {
            low: word as u64,
            high: (word >> 64) as u64,
        }
    }

    fn meant_by_escaped(string: Str<'_>) -> Self {
        let mut bytes = [0; 24];
        let mut length = 0;
        let mut rest = string.bytes();
        while length < 16 && !rest.is_empty() {
            let (word, count, behind) = escape::meaning(rest);
            rest = behind;
            if let Some(places) = bytes.get_mut(length..).and_then(<[u8]>::first_chunk_mut) {
                *places = word.to_le_bytes();
            }
            length += count as usize;
        }
        // Behind what has been written all is zero.
        match bytes.first_chunk() {
            Some(bytes) if length <= 15 && !bytes[..length].contains(&0) => {
                let word = u128::from_le_bytes(*bytes);
                Self {
                    low: word as u64,
                    high: (word >> 64) as u64,
                }
            }
            _ => Self::NONE,
        }
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        // A string has no NUL, and so no word begins with one.
        self.low == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Cursor;

    /// The first key of an object whose text goes on behind it, and the same at the end of the text.
    fn words(key: &str) -> [Word; 2] {
        let word = |text: &str| {
            let mut cursor = Cursor::new(text);
            cursor.object().expect("an object");
            let key = cursor.opening_key().expect("a key").expect("one");
            assert_eq!(cursor.at(), text.find(':').expect("a colon") + 1);
            key.word
        };
        let long = "and so on, and so on, and so on";
        [
            word(&format!("{{\"{key}\":\"{long}\"}}")),
            word(&format!("{{ \"{key}\" :1}}")),
        ]
    }

    #[test]
    fn a_word_is_the_same_however_a_key_is_spelled() {
        for length in 1..=20 {
            let plain: String = ('a'..='z').take(length).collect();
            let of = Word::of(plain.as_bytes());
            assert_eq!(of.is_none(), length > 15, "{plain}");
            for at in 0..length {
                let escape = format!("\\u{:04x}", plain.as_bytes()[at]);
                let escaped = format!("{}{escape}{}", &plain[..at], &plain[at + 1..]);
                assert_eq!(words(&escaped), [of, of], "{escaped}");
            }
            assert_eq!(words(&plain), [of, of], "{plain}");
        }
        for (spelled, meant) in [
            ("\\n\\t\\r\\b\\f\\/\\\"\\\\", "\n\t\r\u{8}\u{c}/\"\\"),
            ("ä\\u00e4\\u20ac", "ää€"),
            ("\\ud834\\udd1e", "𝄞"),
            ("a\\u00e4bcdefghijklm", "aäbcdefghijklm"),
        ] {
            let of = Word::of(meant.as_bytes());
            assert!(!of.is_none(), "{meant}");
            assert_eq!(words(spelled), [of, of], "{spelled}");
        }
    }

    #[test]
    fn what_is_empty_long_or_has_a_nul_has_no_word() {
        for spelled in [
            "",
            "\\u0000",
            "mode\\u0000",
            "\\u0000mode",
            "abcdefghijklmno\\u0070",
        ] {
            assert_eq!(words(spelled), [Word::NONE; 2], "{spelled}");
        }
    }
}
