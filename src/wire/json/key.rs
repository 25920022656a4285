//! Keys, with what they say in one word.

use super::{Cursor, Str, digits, escape, scan};

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
        let mut bytes = [0; 16 + escape::ROOM];
        let (passed, length) = escape::resolve(string.bytes(), &mut bytes);
        let is_whole = passed == string.bytes().len();
        match bytes.first_chunk() {
            Some(bytes) if is_whole && length <= 15 && !bytes[..length].contains(&0) => {
                let word = u128::from_le_bytes(*bytes) & ((1 << (8 * length)) - 1);
                Self {
                    low: word as u64,
                    high: (word >> 64) as u64,
                }
            }
            _ => Self::NONE,
        }
    }

    /// Whether there is one, and it is made of decimal digits.
    #[inline(always)]
    pub(crate) const fn is_digits(self) -> bool {
        are_digits(self.low) && (self.high == 0 || are_digits(self.high)) && !self.is_none()
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        // A string has no NUL, and so no word begins with one.
        self.low == 0
    }
}

/// Whether bytes, behind which their word is zero, are decimal digits.
#[inline(always)]
const fn are_digits(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    // Where there is none, it is as if there were a zero.
    let used = 64 - word.leading_zeros() / 8 * 8;
    let bits = match 1u64.checked_shl(used) {
        Some(end) => end - 1,
        None => u64::MAX,
    };
    let word = word ^ (ONES * 0x30) & bits;
    // The high bit of each byte above nine, carries aside.
    (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80) == 0
}

impl<'a> Cursor<'a> {
    /// The next key of the object that is being read, its colon passed, if it is not the first one and of
    /// nothing but decimal digits. Blanks are passed wherever they may stand.
    #[inline(always)]
    pub(crate) fn later_digits_key(&mut self) -> Option<Key<'a>> {
        const ONES: u64 = u64::MAX / 0xFF;
        let text = self.text;
        let quote = behind_comma(text, self.at, scan::near_space)?;
        let block = text.get(quote..)?.first_chunk::<17>()?;
        let [b'"', within @ ..] = block else {
            return None;
        };
        let half = |at: usize| within[at..].first_chunk().copied().map(u64::from_le_bytes);
        // The high bit of the first byte that is no digit, and of some behind it.
        let others = |word: u64| {
            let word = word ^ (ONES * 0x30);
            (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80)
        };
        let before = |marks: u64| (marks & marks.wrapping_neg()).wrapping_sub(1) >> 7;
        let (low, high) = (half(0)?, half(8)?);
        let (low_others, high_others) = (others(low), others(high));
        let (length, word) = if low_others as u32 == 0 && within[4] == b'"' {
            // The shortest of which there are thousands. What comes behind need not wait for the length.
            let low = low & u64::from(u32::MAX);
            (4, Word { low, high: 0 })
        } else if low_others != 0 {
            let low = low & before(low_others);
            (
                (low_others.trailing_zeros() / 8) as usize,
                Word { low, high: 0 },
            )
        } else if high_others != 0 {
            let high = high & before(high_others);
            let length = 8 + (high_others.trailing_zeros() / 8) as usize;
            (length, Word { low, high })
        } else {
            (digits::digits(text, quote + 17) - quote - 1, Word::NONE)
        };
        let start = quote + 1;
        let end = start + length;
        if length == 0 || text.get(end) != Some(&b'"') {
            let (end, word) = escaped_word(text, quote, self.clean)?;
            let string = Str::new(&text[start..end - 1], start, true);
            let is_long = || word.is_none() && string.all(|byte| byte.is_ascii_digit()).0;
            if !word.is_digits() && !is_long() {
                return None;
            }
            self.value_behind_key(end)?;
            return Some(Key { string, word });
        }
        self.value_behind_key(end + 1)?;
        let string = Str::new(&text[start..end], start, false);
        Some(Key { string, word })
    }

    /// Passes the colon behind a key that ends at a place, if one comes next, and takes the member.
    #[inline(always)]
    fn value_behind_key(&mut self, at: usize) -> Option<()> {
        let colon = scan::near_space(self.text, at);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        self.budget = self.budget.checked_sub(1)?;
        self.at = scan::near_space(self.text, colon + 1);
        Some(())
    }

    /// Passes blanks before a value where there mostly is one.
    #[inline(always)]
    pub(crate) fn pass_near_space(&mut self) {
        self.at = scan::near_space(self.text, self.at);
    }

    /// A word that is the next element of the array that is being read, but not the first one, and its
    /// place. Blanks are passed wherever they may stand.
    #[inline(always)]
    pub(crate) fn later_word(&mut self) -> Option<(usize, Word)> {
        let quote = behind_comma(self.text, self.at, behind_few_blanks)?;
        let budget = self.budget.checked_sub(1)?;
        let block = self.text.get(quote..)?.first_chunk::<17>()?;
        let (end, word) = match (block, scan::short(block)) {
            ([b'"', ..], Some((length, word))) => (quote + length + 2, word),
            _ => escaped_word(self.text, quote, self.clean)?,
        };
        self.budget = budget;
        self.at = end;
        Some((quote, word))
    }

    /// The word that a string has, and its place, if it begins right here and has an escape.
    #[inline(always)]
    pub(crate) fn escaped_word_here(&mut self) -> Option<(usize, Word)> {
        let quote = self.at;
        let (end, word) = escaped_word(self.text, quote, self.clean)?;
        self.at = end;
        Some((quote, word))
    }
}

#[inline(always)]
fn escaped_word(text: &[u8], quote: usize, clean: bool) -> Option<(usize, Word)> {
    let mut word = Word::NONE;
    match escape::escaped_word(text, quote, clean, &mut word) {
        0 => None,
        end => Some((end, word)),
    }
}

/// The place of what follows the comma that comes next.
#[inline(always)]
fn behind_comma(
    text: &[u8],
    at: usize,
    behind_blanks: impl Fn(&[u8], usize) -> usize,
) -> Option<usize> {
    let comma = behind_blanks(text, at);
    (text.get(comma) == Some(&b',')).then(|| behind_blanks(text, comma + 1))
}

/// Passes blanks where there mostly are two at most.
#[inline(always)]
fn behind_few_blanks(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some([b' ', b' ', b'!'..=0xFF, ..]) => at + 2,
        _ => scan::near_space(text, at),
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
