//! Strings where they stand.

use std::{borrow::Cow, fmt, ops::Range, str::Chars};

use super::resolve::{ROOM, resolve};

/// A string within the text, its escapes already checked but not yet resolved.
#[derive(Clone, Copy)]
pub struct Str<'a> {
    raw: &'a [u8],
    /// Where it begins, shifted by one to make room for whether it has escapes: a flag of its own
    /// would cost a word of copying wherever a string goes.
    place: usize,
}

/// So many bytes of a meaning are held at once.
const PIECE: usize = 4 * 64;

/// Bytes that begin where words do.
#[repr(align(8))]
struct Padded([u8; 32]);

impl<'a> Str<'a> {
    #[inline(always)]
    pub(crate) fn new(raw: &'a [u8], at: usize, escaped: bool) -> Self {
        let place = at << 1 | usize::from(escaped);
        Self { raw, place }
    }

    /// All that it is made of, to be given on in registers.
    #[inline(always)]
    pub(crate) fn parts(self) -> (&'a [u8], usize) {
        (self.raw, self.place)
    }

    #[inline(always)]
    pub(crate) fn from_parts(raw: &'a [u8], place: usize) -> Self {
        Self { raw, place }
    }

    /// As it stands in the text, without its quotes.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        // Cut at ASCII quotes out of UTF-8, so it is UTF-8.
        std::str::from_utf8(self.raw).unwrap_or_default()
    }

    /// As [`raw`](Self::raw), in bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it has escapes, so that its meaning is not its spelling.
    #[must_use]
    #[inline]
    pub fn is_escaped(&self) -> bool {
        self.place & 1 == 1
    }

    /// The byte range of [`raw`](Self::raw) in the text.
    #[must_use]
    #[inline]
    pub fn range(&self) -> Range<usize> {
        let at = self.place >> 1;
        at..at + self.raw.len()
    }

    /// Where [`raw`](Self::raw) begins in the text.
    #[inline]
    pub(crate) fn start(self) -> usize {
        self.place >> 1
    }

    /// Its meaning: borrowed unless it has escapes.
    #[must_use]
    pub fn cow(&self) -> Cow<'a, str> {
        if !self.is_escaped() {
            return Cow::Borrowed(self.raw());
        }
        let mut meaning = vec![0; self.raw.len() + ROOM];
        let (_, length) = resolve(self.raw, &mut meaning);
        meaning.truncate(length);
        Cow::Owned(String::from_utf8(meaning).unwrap_or_default())
    }

    /// Its meaning, to keep.
    pub(crate) fn boxed(self) -> Box<str> {
        // Words are checked faster than bytes.
        let mut padded = Padded([0; 32]);
        if let (false, Some(start)) = (self.is_escaped(), padded.0.get_mut(..self.raw.len())) {
            start.copy_from_slice(self.raw);
            let text = std::str::from_utf8(&padded.0).unwrap_or_default();
            return text.get(..self.raw.len()).unwrap_or_default().into();
        }
        self.cow().into()
    }

    /// Enough of its beginning to have so many characters of ASCII, if it begins with them.
    pub(crate) fn beginning(self, characters: usize) -> Self {
        // None takes more than the six bytes of an escape.
        let mut end = self.raw.len().min(6 * characters);
        while end < self.raw.len() && self.raw[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        Self {
            raw: &self.raw[..end],
            ..self
        }
    }

    /// Gives the bytes that it means in pieces, each but the last of whole words of eight bytes. Each byte
    /// costs about the same, however it is spelled: that is for texts that are made of nothing but escapes.
    #[inline(always)]
    pub(crate) fn each_piece(self, mut take: impl FnMut(&[u8])) {
        if !self.is_escaped() {
            return take(self.raw);
        }
        let mut buffer = [0; PIECE];
        let (mut rest, mut length) = (self.raw, 0);
        loop {
            let (passed, more) = resolve(rest, &mut buffer[length..]);
            rest = &rest[passed..];
            length += more;
            if rest.is_empty() {
                return take(&buffer[..length]);
            }
            let whole = length / 8 * 8;
            take(&buffer[..whole]);
            buffer.copy_within(whole..length, 0);
            length -= whole;
        }
    }

    /// How many characters it means.
    pub(crate) fn count(self) -> usize {
        // One byte of each character is none that continues another.
        let begins = |byte: &u8| usize::from(byte & 0xC0 != 0x80);
        let mut count = 0;
        self.each_piece(|piece| count += piece.iter().map(begins).sum::<usize>());
        count
    }

    /// Whether all bytes that it means are such, and how many there are.
    #[inline(always)]
    pub(crate) fn all(self, such: impl Fn(u8) -> bool) -> (bool, usize) {
        let (mut all, mut count) = (true, 0);
        self.each_piece(|piece| {
            all &= piece.iter().fold(true, |all, byte| all & such(*byte));
            count += piece.len();
        });
        (all, count)
    }

    /// The bytes that it means, unless they are more than the buffer holds.
    pub(crate) fn resolve<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        // No escape is of more than six bytes for each that it means.
        if self.raw.len() > 6 * buffer.len() {
            return None;
        }
        let mut length = 0;
        self.each_piece(|piece| {
            let places = buffer.get_mut(length..length + piece.len());
            if let Some(places) = places {
                places.copy_from_slice(piece);
            }
            length += piece.len();
        });
        buffer.get(..length)
    }

    /// The characters it means.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        Unescape(self.raw().chars())
    }
}

impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.is_escaped() {
            // No byte takes more than the six of an escape, and none less than one.
            let fits = other.len()..=6 * other.len();
            fits.contains(&self.raw.len()) && self.chars().eq(other.chars())
        } else {
            self.raw == other.as_bytes()
        }
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.is_escaped() || other.is_escaped() {
            self.chars().eq(other.chars())
        } else {
            self.raw == other.raw
        }
    }
}

impl Eq for Str<'_> {}

impl fmt::Debug for Str<'_> {
    /// Only its place: texts are prompts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Str").field(&self.range()).finish()
    }
}

struct Unescape<'a>(Chars<'a>);

impl Unescape<'_> {
    fn hex(&mut self) -> u32 {
        let text = self.0.as_str();
        let Some((digits, rest)) = text.split_at_checked(4) else {
            return 0xFFFD;
        };
        self.0 = rest.chars();
        u32::from_str_radix(digits, 16).unwrap_or(0xFFFD)
    }
}

impl Iterator for Unescape<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let plain = self.0.next()?;
        if plain != '\\' {
            return Some(plain);
        }
        Some(match self.0.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut code = self.hex();
                if (0xD800..0xDC00).contains(&code) {
                    // The cursor has seen to it that the other half follows, as `\uXXXX`.
                    self.0.next();
                    self.0.next();
                    let low = self.hex();
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF);
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}
