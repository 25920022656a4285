//! The pull parser.

use std::{fmt, ops::Range};

use super::{Fault, FaultKind, Number, Str};

/// How many objects and arrays may stand within one another.
pub const MAX_DEPTH: u8 = 128;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A place in a JSON text, moved forward value by value.
///
/// It knows how deep it stands but not in what: that is the caller's part, who calls
/// [`key`](Self::key) within objects and [`element`](Self::element) within arrays, and reads or
/// skips exactly one value after each. A call in the wrong place is a [`FaultKind::Syntax`].
#[derive(Clone)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// How many more members and elements may come.
    budget: usize,
    depth: u8,
    /// Right behind `{` or `[`, where no comma is due.
    first: bool,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self::within(text.as_bytes(), 0, usize::MAX)
    }

    /// At the beginning of a text of which at most so many members and elements, at all levels
    /// together, will be read; more are a [`FaultKind::TooMany`].
    #[must_use]
    pub fn with_budget(text: &'a str, values: usize) -> Self {
        Self::within(text.as_bytes(), 0, values)
    }

    /// At a place in bytes that are known to be UTF-8.
    pub(crate) fn within(text: &'a [u8], at: usize, budget: usize) -> Self {
        Self {
            text,
            at,
            budget,
            depth: 0,
            first: false,
        }
    }

    /// The byte offset of what comes next.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many members and elements may still come.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// The type of the next value; white space before it is passed.
    ///
    /// # Errors
    /// When no value begins here.
    #[inline]
    pub fn peek(&mut self) -> Result<Type, Fault> {
        match self.space() {
            Some(b'"') => Ok(Type::String),
            Some(b'{') => Ok(Type::Object),
            Some(b'[') => Ok(Type::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Type::Number),
            Some(b't' | b'f') => Ok(Type::Bool),
            Some(b'n') => Ok(Type::Null),
            found => Err(self.unexpected(found)),
        }
    }

    /// Enters an object.
    ///
    /// # Errors
    /// When there is none, or it stands too deep.
    #[inline]
    pub fn object(&mut self) -> Result<(), Fault> {
        self.enter(b'{')
    }

    /// Enters an array.
    ///
    /// # Errors
    /// When there is none, or it stands too deep.
    #[inline]
    pub fn array(&mut self) -> Result<(), Fault> {
        self.enter(b'[')
    }

    /// The next key of the object entered last, its colon passed; `None` when it has ended.
    ///
    /// # Errors
    /// When there is neither.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Str<'a>>, Fault> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        match self.space() {
            Some(b'"') => {}
            found => return Err(self.unexpected(found)),
        }
        let key = self.quoted()?;
        // Nearly always the colon stands right there.
        if self.text.get(self.at) != Some(&b':') {
            match self.space() {
                Some(b':') => {}
                found => return Err(self.unexpected(found)),
            }
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array entered last has one more element; if not, it has been left.
    ///
    /// # Errors
    /// When neither an element nor the end is due.
    #[inline]
    pub fn element(&mut self) -> Result<bool, Fault> {
        self.more(b']')
    }

    /// A string.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, Fault> {
        match self.space() {
            Some(b'"') => self.quoted(),
            found => Err(self.unexpected(found)),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// When there is none, it is malformed, or no double can hold it.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        self.space();
        let start = self.at;
        self.digits_and_all()?;
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        Ok(Number { text })
    }

    /// A Boolean.
    ///
    /// # Errors
    /// When there is none.
    pub fn bool(&mut self) -> Result<bool, Fault> {
        if self.space() == Some(b't') {
            self.word(b"true").map(|()| true)
        } else {
            self.word(b"false").map(|()| false)
        }
    }

    /// `null`.
    ///
    /// # Errors
    /// When there is something else.
    pub fn null(&mut self) -> Result<(), Fault> {
        self.space();
        self.word(b"null")
    }

    /// Passes a whole value, checked as if it were read; its byte range.
    ///
    /// # Errors
    /// When it is malformed anywhere, or too deep.
    pub fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let kind = self.peek()?;
        let start = self.at;
        match kind {
            Type::String => drop(self.quoted()?),
            Type::Array | Type::Object => self.skip_nested(kind)?,
            Type::Number => self.digits_and_all()?,
            Type::Bool => drop(self.bool()?),
            Type::Null => self.null()?,
        }
        Ok(start..self.at)
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.space() {
            None => Ok(()),
            Some(_) => Err(self.fault(FaultKind::Trailing)),
        }
    }

    /// The loop over all levels: one bit for each, set for an object.
    fn skip_nested(&mut self, first: Type) -> Result<(), Fault> {
        let mut objects = 0u128;
        let mut levels = 0u32;
        let mut kind = first;
        loop {
            match kind {
                Type::Object => {
                    self.object()?;
                    objects = objects << 1 | 1;
                    levels += 1;
                }
                Type::Array => {
                    self.array()?;
                    objects <<= 1;
                    levels += 1;
                }
                Type::String => drop(self.quoted()?),
                Type::Number => self.digits_and_all()?,
                Type::Bool => drop(self.bool()?),
                Type::Null => self.null()?,
            }
            loop {
                let more = if objects & 1 == 1 {
                    self.key()?.is_some()
                } else {
                    self.element()?
                };
                if more {
                    break;
                }
                objects >>= 1;
                levels -= 1;
                if levels == 0 {
                    return Ok(());
                }
            }
            kind = self.peek()?;
        }
    }

    #[inline]
    fn enter(&mut self, open: u8) -> Result<(), Fault> {
        let found = self.space();
        if found != Some(open) {
            return Err(self.unexpected(found));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.fault(FaultKind::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        self.first = true;
        Ok(())
    }

    /// Passes the comma that is due, or leaves.
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool, Fault> {
        let found = self.space();
        let first = std::mem::take(&mut self.first);
        if found == Some(close) {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !first {
            if found != Some(b',') {
                return Err(self.unexpected(found));
            }
            self.at += 1;
        }
        if self.budget == 0 {
            return Err(self.fault(FaultKind::TooMany));
        }
        self.budget -= 1;
        Ok(true)
    }

    /// Passes white space; the byte behind it.
    #[inline]
    fn space(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => self.more_space(),
            found => found.copied(),
        }
    }

    fn more_space(&mut self) -> Option<u8> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                found => return found.copied(),
            }
            // Long runs, as of an indented or a padded text, go by blocks.
            while let Some(block) = self.text[self.at..].first_chunk::<16>() {
                let blank = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
                if !block.iter().fold(true, |all, byte| all & blank(*byte)) {
                    break;
                }
                self.at += block.len();
            }
        }
    }

    /// The string whose opening quote is next.
    #[inline]
    fn quoted(&mut self) -> Result<Str<'a>, Fault> {
        let start = self.at + 1;
        self.at = plain_until(self.text, start);
        if self.text.get(self.at) == Some(&b'"') {
            let raw = &self.text[start..self.at];
            self.at += 1;
            return Ok(Str {
                raw,
                at: start,
                escaped: false,
            });
        }
        self.rest_of_string(start)
    }

    /// A string with something that is neither plain nor its end at the cursor.
    fn rest_of_string(&mut self, start: usize) -> Result<Str<'a>, Fault> {
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Str {
                        raw,
                        at: start,
                        escaped: true,
                    });
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fault(FaultKind::Control)),
                None => return Err(self.fault(FaultKind::End)),
            }
            // Escapes come in runs and close together: look before starting the wide search.
            match self.text.get(self.at) {
                Some(b'"' | b'\\') => {}
                _ => self.at = plain_until(self.text, self.at),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let high = self.hex(self.at + 2)?;
                match high {
                    0xD800..=0xDBFF => {
                        if self.text.get(self.at + 6..self.at + 8) != Some(b"\\u") {
                            return Err(self.fault(FaultKind::Surrogate));
                        }
                        if !(0xDC00..=0xDFFF).contains(&self.hex(self.at + 8)?) {
                            return Err(self.fault(FaultKind::Surrogate));
                        }
                        self.at += 12;
                    }
                    0xDC00..=0xDFFF => return Err(self.fault(FaultKind::Surrogate)),
                    _ => self.at += 6,
                }
            }
            Some(_) => return Err(self.fault(FaultKind::Escape)),
            None => return Err(self.end_of_text()),
        }
        Ok(())
    }

    fn hex(&self, at: usize) -> Result<u16, Fault> {
        let Some(digits) = self.text.get(at..at + 4) else {
            return Err(self.end_of_text());
        };
        digits.iter().try_fold(0u16, |value, digit| {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return Err(self.fault(FaultKind::Escape)),
            };
            Ok(value << 4 | u16::from(digit))
        })
    }

    /// Passes a number.
    #[inline]
    fn digits_and_all(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let whole = self.at;
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            found => {
                let found = found.copied();
                return Err(self.unexpected(found));
            }
        }
        let length = self.at - whole;
        let mut exponent = 0i64;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            let sign = self.text.get(self.at).copied();
            if let Some(b'+' | b'-') = sign {
                self.at += 1;
            }
            let from = self.at;
            self.some_digits()?;
            if sign != Some(b'-') {
                exponent = self.text[from..self.at].iter().fold(0, |sum, digit| {
                    i64::saturating_add(i64::saturating_mul(sum, 10), i64::from(digit - b'0'))
                });
            }
        }
        // Below 10³⁰⁸ nothing overflows; the rest is rare enough to be worked out.
        if exponent.saturating_add(length as i64) > 308 {
            let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
            if !text.parse().is_ok_and(f64::is_finite) {
                self.at = start;
                return Err(self.fault(FaultKind::Range));
            }
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        self.digits();
        if self.at == from {
            let found = self.text.get(self.at).copied();
            return Err(self.unexpected(found));
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
        self.at += same;
        let found = self.text.get(self.at).copied();
        Err(self.unexpected(found))
    }

    #[cold]
    fn unexpected(&self, found: Option<u8>) -> Fault {
        match found {
            Some(_) => self.fault(FaultKind::Syntax),
            None => self.end_of_text(),
        }
    }

    #[cold]
    fn end_of_text(&self) -> Fault {
        Fault {
            at: self.text.len(),
            kind: FaultKind::End,
        }
    }

    #[cold]
    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { at: self.at, kind }
    }
}

impl fmt::Debug for Cursor<'_> {
    /// Only its place: texts are prompts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("at", &self.at)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// Where the first quote, backslash or control character stands from `at` on, else the end.
#[inline]
pub(crate) fn plain_until(text: &[u8], mut at: usize) -> usize {
    // Short strings, which most are, by words; whatever is longer, by blocks that the compiler turns
    // into vector instructions.
    for _ in 0..4 {
        let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            return plain_tail(text, at);
        };
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_blocks(text, at)
}

fn plain_blocks(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text[at..].first_chunk::<64>() {
        let mut found = 0;
        for &byte in block {
            found |= u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        }
        if found != 0 {
            break;
        }
        at += block.len();
    }
    while let Some(word) = text[at..].first_chunk::<8>() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_tail(text, at)
}

fn plain_tail(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// The high bit of each byte that is a quote, a backslash or a control character. Bytes behind the
/// first such one may be marked wrongly, by the borrow: only the lowest mark counts.
#[inline]
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * 0x22);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = word ^ (ONES * 0x5C);
    let slash = slash.wrapping_sub(ONES) & !slash;
    (control | quote | slash) & (ONES * 0x80)
}
