//! What strings mean, in two machine words: the bytes themselves where they are few, else a digest.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

use super::{Str, escape};

/// What a string means, the same however it is spelled.
///
/// Of 1 to 15 bytes, none of which is NUL, it is the bytes, the first one lowest: no two such strings have
/// the same word. Of all others there is none; in its place stands what tells most of them apart.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Word {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// Of what has no word: whether it is made of decimal digits, below its digest and above its length.
const DIGITS: u64 = 1 << 31;

/// More bytes than these have no word.
const MOST: usize = 15;

impl Word {
    pub(crate) const NONE: Self = Self { low: 0, high: 0 };

    /// Of bytes that are known at compile time.
    pub(crate) const fn of(text: &[u8]) -> Self {
        if text.len() > MOST {
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
        let raw = string.bytes();
        if string.is_escaped() {
            return match escape::meant(raw, 0) {
                Some(meant) => meant.word,
                None => Self::of_long(string),
            };
        }
        if raw.len() > MOST {
            return Self::of_long(string);
        }
        let mut padded = [0; 16];
        padded[..raw.len()].copy_from_slice(raw);
        let word = u128::from_le_bytes(padded);
        Self {
            low: word as u64,
            high: (word >> 64) as u64,
        }
    }

    /// In the place of a word, of what is too long to have one.
    #[inline(never)]
    fn of_long(string: Str<'_>) -> Self {
        Digest::of(string).word()
    }

    /// Of bytes in words, and of so many behind these.
    #[inline(always)]
    pub(super) fn of_words(words: &[u64], last: u64, bytes: usize, has_nul: bool) -> Self {
        match words {
            [] if !has_nul => Self { low: last, high: 0 },
            [low] if !has_nul => Self {
                low: *low,
                high: last,
            },
            _ => Digest::of_words(words, last, bytes).word(),
        }
    }

    /// Whether the string is made of decimal digits, and not empty.
    #[inline(always)]
    pub(crate) const fn is_digits(self) -> bool {
        if self.is_none() {
            return self.high & DIGITS != 0;
        }
        // Where there is no byte, it is as if there were a zero.
        others(self.low, 64 - self.low.leading_zeros() / 8 * 8) == 0
            && (self.high == 0 || others(self.high, 64 - self.high.leading_zeros() / 8 * 8) == 0)
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        // A string has no NUL, and so no word begins with one.
        self.low == 0
    }

    /// How many bytes a string means that has no word.
    #[inline(always)]
    pub(crate) const fn long_length(self) -> usize {
        (self.high & (DIGITS - 1)) as usize
    }

    /// Digests a word, or what stands in its place.
    #[inline(always)]
    pub(crate) fn digest(self) -> u32 {
        let seed = seed();
        (fold(self.low ^ seed, self.high ^ seed.rotate_left(32)) >> 32) as u32
    }
}

/// The high bit of each byte that is no decimal digit, of so many bits.
#[inline(always)]
const fn others(word: u64, bits: u32) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let zeros = match 1u64.checked_shl(bits) {
        Some(end) => (ONES * 0x30) & (end - 1),
        None => ONES * 0x30,
    };
    let word = word ^ zeros;
    // The high bit of each byte above nine, carries aside.
    (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80)
}

/// What is left of a string of any length.
pub(crate) struct Digest {
    sum: u64,
    bytes: usize,
    /// Whether some byte is no decimal digit.
    others: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Digest {
    /// Of what a string means.
    #[inline(never)]
    pub(crate) fn of(string: Str<'_>) -> Self {
        let mut digest = Self::new();
        let (mut last, mut bytes) = ([0; 8], 0);
        string.each_piece(|piece| {
            let mut rest = piece;
            while let Some((word, behind)) = rest.split_first_chunk() {
                digest.take(u64::from_le_bytes(*word));
                rest = behind;
            }
            // None but the last piece leaves some.
            bytes = rest.len();
            last[..bytes].copy_from_slice(rest);
        });
        digest.end(u64::from_le_bytes(last), bytes)
    }

    /// The same of bytes in words, and of so many behind these.
    #[inline(always)]
    fn of_words(words: &[u64], last: u64, bytes: usize) -> Self {
        let mut digest = Self::new();
        for word in words {
            digest.take(*word);
        }
        digest.end(last, bytes)
    }

    #[inline(always)]
    fn new() -> Self {
        Self {
            sum: seed(),
            bytes: 0,
            others: 0,
        }
    }

    #[inline(always)]
    fn take(&mut self, word: u64) {
        self.sum = fold(self.sum ^ word, STEP);
        self.others |= others(word, 64);
        self.bytes += 8;
    }

    #[inline(always)]
    fn end(mut self, last: u64, bytes: usize) -> Self {
        self.sum = fold(self.sum ^ last, STEP);
        self.others |= others(last, 8 * bytes as u32);
        self.bytes += bytes;
        self.sum = fold(self.sum ^ self.bytes as u64, seed().rotate_left(32) | 1);
        self
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    #[inline(always)]
    fn word(&self) -> Word {
        let length = (self.bytes as u64).min(DIGITS - 1);
        let digits = if self.others == 0 && self.bytes > 0 {
            DIGITS
        } else {
            0
        };
        let digest = self.sum & !(2 * DIGITS - 1);
        Word {
            low: 0,
            high: digest | digits | length,
        }
    }
}

/// What digests begin with: nobody outside can know it, so nobody can choose strings that have the same
/// digest and are slow to tell apart.
#[inline(always)]
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().build_hasher().finish())
}

/// Both halves of a product, mixed.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Cursor;

    /// The first key of an object whose text goes on behind it, the same at the end of the text, and the
    /// string by itself.
    fn words(key: &str) -> [Word; 3] {
        let word = |text: &str| {
            let mut cursor = Cursor::new(text);
            cursor.object().expect("an object");
            let key = cursor.opening_key().expect("a key").expect("one");
            assert_eq!(cursor.at(), text.find(':').expect("a colon") + 1);
            key.word
        };
        let long = "and so on, and so on, and so on";
        let quoted = format!("\"{key}\"");
        let string = Cursor::new(&quoted).string().expect("a string");
        [
            word(&format!("{{\"{key}\":\"{long}\"}}")),
            word(&format!("{{ \"{key}\" :1}}")),
            Word::meant_by(string),
        ]
    }

    #[test]
    fn a_word_is_the_same_however_a_key_is_spelled() {
        let alphabet: String = ('a'..='z').cycle().take(70).collect();
        for length in (1..=24).chain(46..=66) {
            let plain = &alphabet[..length];
            let of = words(plain)[0];
            match length {
                ..=15 => assert_eq!(of, Word::of(plain.as_bytes()), "{plain}"),
                _ => assert!(of.is_none() && of.long_length() == length, "{plain}"),
            }
            for at in 0..length {
                let escape = format!("\\u{:04x}", plain.as_bytes()[at]);
                let escaped = format!("{}{escape}{}", &plain[..at], &plain[at + 1..]);
                assert_eq!(words(&escaped), [of; 3], "{escaped}");
                for other in ["\\n", "\\u00e4", "\\ud834\\udd1e", "\\u0000", "A"] {
                    let other = format!("{}{other}{}", &plain[..at], &plain[at + 1..]);
                    let words = words(&other);
                    assert_eq!(words, [words[0]; 3], "{other}");
                    assert_ne!(words[0], of, "{other}");
                }
            }
            assert_eq!(words(plain), [of; 3], "{plain}");
        }
        for (spelled, meant) in [
            ("\\n\\t\\r\\b\\f\\/\\\"\\\\", "\n\t\r\u{8}\u{c}/\"\\"),
            ("ä\\u00e4\\u20ac", "ää€"),
            ("\\ud834\\udd1e", "𝄞"),
            ("a\\u00e4bcdefghijklm", "aäbcdefghijklm"),
        ] {
            let of = Word::of(meant.as_bytes());
            assert!(!of.is_none(), "{meant}");
            assert_eq!(words(spelled), [of; 3], "{spelled}");
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
            let words = words(spelled);
            assert!(words[0].is_none(), "{spelled}");
            assert_eq!(words, [words[0]; 3], "{spelled}");
        }
    }

    #[test]
    fn digits_are_known_however_many_and_spelled() {
        let digits = "0123456789".repeat(7);
        for length in 1..=digits.len() {
            let plain = &digits[..length];
            assert!(words(plain).iter().all(|word| word.is_digits()), "{plain}");
            for at in 0..length {
                let (before, behind) = (&plain[..at], &plain[at + 1..]);
                let escaped = format!("{before}\\u003{}{behind}", &plain[at..=at]);
                let is_digits = |spelled: &str| words(spelled).map(Word::is_digits);
                assert_eq!(is_digits(&escaped), [true; 3], "{escaped}");
                for other in ["/", ";", "\\u0000", "\\u00b9", "x", " "] {
                    let other = format!("{before}{other}{behind}");
                    assert_eq!(is_digits(&other), [false; 3], "{other}");
                }
            }
        }
        assert!(!words("")[0].is_digits());
    }
}
