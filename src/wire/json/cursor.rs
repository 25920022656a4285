//! The pull parser.

use std::{fmt, ops::Range};

use super::{
    Fault, FaultKind, Number, Str, Word, digits,
    fault::{Stop, stop, unexpected},
    scan, short,
};

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
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    /// How many more members and elements may come.
    pub(super) budget: usize,
    /// How many more bytes may be resolved of keys and of other strings that are spelled by escapes.
    pub(super) escaped: u32,
    /// How many more huge numbers may come.
    pub(super) huge: u32,
    pub(super) depth: u8,
    /// Right behind `{` or `[`, where no comma is due.
    pub(super) first: bool,
    /// Known to have no control character anywhere, so that strings need not be searched for one.
    pub(super) clean: bool,
    /// How many of the next values that nobody reads are taken for dense, as the last that was turned out to be.
    pub(super) dense: u8,
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
            escaped: u32::MAX,
            huge: u32::MAX,
            depth: 0,
            first: false,
            clean: false,
            dense: 0,
        }
    }

    /// The same over a text that is known to have no control character.
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
        self
    }

    /// The same where no more than so many bytes are resolved of keys, and of what is asked for by
    /// [`spend_escaped`](Self::spend_escaped), that are spelled by escapes.
    pub(crate) fn with_escaped(mut self, bytes: usize) -> Self {
        self.escaped = bytes.try_into().unwrap_or(u32::MAX);
        self
    }

    /// The same where no more than so many numbers may be huge: more are a [`FaultKind::TooManyHuge`].
    pub(crate) fn with_huge(mut self, numbers: usize) -> Self {
        self.huge = numbers.try_into().unwrap_or(u32::MAX);
        self
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
        self.at = scan::space(self.text, self.at);
        match self.text.get(self.at) {
            Some(b'"') => Ok(Type::String),
            Some(b'{') => Ok(Type::Object),
            Some(b'[') => Ok(Type::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Type::Number),
            Some(b't' | b'f') => Ok(Type::Bool),
            Some(b'n') => Ok(Type::Null),
            _ => Err(unexpected(self.text, self.at).into()),
        }
    }

    /// Whether an object, an array or a string of this type begins right here.
    #[inline(always)]
    pub(crate) fn is_here(&self, kind: Type) -> bool {
        let first = match kind {
            Type::Object => b'{',
            Type::Array => b'[',
            Type::String => b'"',
            _ => return false,
        };
        self.text.get(self.at) == Some(&first)
    }

    /// Whether an object comes next; white space before it is passed.
    #[inline(always)]
    pub(crate) fn is_object(&mut self) -> bool {
        self.at = scan::space(self.text, self.at);
        self.text.get(self.at) == Some(&b'{')
    }

    /// The place of the next value; white space before it is passed.
    #[inline(always)]
    pub(crate) fn value_at(&mut self) -> usize {
        self.at = scan::space(self.text, self.at);
        self.at
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

    /// A string.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, Fault> {
        Ok(self.next_string()?)
    }

    /// [`string`](Self::string), for where one is wanted in the midst of a loop.
    #[inline(always)]
    pub(crate) fn next_string(&mut self) -> Result<Str<'a>, Stop> {
        let (string, end) = quoted(self.text, scan::space(self.text, self.at), self.clean)?;
        self.at = end;
        Ok(string)
    }

    /// A string, if one begins right here.
    #[inline(always)]
    pub(crate) fn string_here(&mut self) -> Result<Option<Str<'a>>, Stop> {
        if self.text.get(self.at) != Some(&b'"') {
            return Ok(None);
        }
        let (string, end) = quoted(self.text, self.at, self.clean)?;
        self.at = end;
        Ok(Some(string))
    }

    /// A string, if it begins right here and is short and plain: where, and what it says.
    #[inline(always)]
    pub(crate) fn word_here(&mut self) -> Option<(usize, Word)> {
        let at = self.at;
        let block = self.text.get(at..)?.first_chunk::<17>()?;
        if block[0] != b'"' {
            return None;
        }
        let (length, word) = scan::short(block)?;
        self.at = at + length + 2;
        Some((at, word))
    }

    /// Passes what is spelled just so, if it begins right here.
    #[inline(always)]
    pub(crate) fn pass_here<const SIZE: usize>(&mut self, spelled: &[u8; SIZE]) -> bool {
        let here = self.text.get(self.at..).and_then(<[u8]>::first_chunk);
        let is_here = here == Some(spelled);
        self.at += if is_here { SIZE } else { 0 };
        is_here
    }

    /// Back to where a value stands that was passed just now, to read it again.
    #[inline(always)]
    pub(crate) fn back_to(&mut self, at: usize) {
        debug_assert!(at <= self.at);
        self.at = at;
    }

    /// A Boolean, if it begins right here.
    #[inline(always)]
    pub(crate) fn bool_here(&mut self) -> Option<bool> {
        let (value, length) = match self.text.get(self.at..)? {
            [b't', b'r', b'u', b'e', ..] => (true, 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (false, 5),
            _ => return None,
        };
        self.at += length;
        Some(value)
    }

    /// A whole number, if it begins right here and has few digits.
    #[inline(always)]
    pub(crate) fn integer_here(&mut self) -> Option<i64> {
        let (value, end) = short::integer(self.text, self.at)?;
        self.at = end;
        Some(value)
    }

    /// A number, if it begins right here, has one digit before its point, few behind it, and neither
    /// sign nor exponent.
    #[inline(always)]
    pub(crate) fn decimal_here(&mut self) -> Option<f64> {
        let (value, end) = short::decimal(self.text, self.at)?;
        self.at = end;
        Some(value)
    }

    /// A number.
    ///
    /// # Errors
    /// When there is none, it is malformed, or no double can hold it.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = scan::space(self.text, self.at);
        self.at = digits::number(self.text, start, &mut self.huge)?;
        Ok(Number {
            raw: &self.text[start..self.at],
        })
    }

    /// A Boolean.
    ///
    /// # Errors
    /// When there is none.
    pub fn bool(&mut self) -> Result<bool, Fault> {
        let at = scan::space(self.text, self.at);
        let value = self.text.get(at) == Some(&b't');
        self.at = if value {
            scan::word(self.text, at, b"true")?
        } else {
            scan::word(self.text, at, b"false")?
        };
        Ok(value)
    }

    /// `null`.
    ///
    /// # Errors
    /// When there is something else.
    pub fn null(&mut self) -> Result<(), Fault> {
        let at = scan::space(self.text, self.at);
        self.at = scan::word(self.text, at, b"null")?;
        Ok(())
    }

    /// Passes a whole value, checked as if it were read; its byte range.
    ///
    /// # Errors
    /// When it is malformed anywhere, or too deep.
    pub fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let start = scan::space(self.text, self.at);
        self.at = self.pass_at(start)?;
        Ok(start..self.at)
    }

    /// [`skip`](Self::skip), for where one is wanted in the midst of a loop.
    #[inline(always)]
    pub(crate) fn next_value(&mut self) -> Result<Range<usize>, Stop> {
        let start = scan::space(self.text, self.at);
        self.at = self.pass_at(start)?;
        Ok(start..self.at)
    }

    /// A number of at most eighteen digits and nothing else, as counts are written; at anything else
    /// it is `None` and nothing is passed.
    #[inline]
    pub(crate) fn plain_integer(&mut self) -> Option<u64> {
        let start = scan::space(self.text, self.at);
        let rest = self.text.get(start..)?;
        let mut value = 0;
        for (length, byte) in rest.iter().enumerate().take(19) {
            match byte {
                b'0'..=b'9' if length == 1 && value == 0 => return None,
                b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
                b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' if length > 0 => {
                    self.at = start + length;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.at = scan::space(self.text, self.at);
        match self.text.get(self.at) {
            None => Ok(()),
            Some(_) => Err(stop(self.at, FaultKind::Trailing).into()),
        }
    }

    #[inline]
    fn enter(&mut self, open: u8) -> Result<(), Fault> {
        self.at = scan::space(self.text, self.at);
        if self.text.get(self.at) != Some(&open) {
            return Err(unexpected(self.text, self.at).into());
        }
        Ok(self.enter_here()?)
    }

    /// Enters the object or array that [`peek`](Self::peek) has found.
    #[inline(always)]
    pub(crate) fn enter_here(&mut self) -> Result<(), Stop> {
        debug_assert!(matches!(self.text.get(self.at), Some(b'{' | b'[')));
        if self.depth == MAX_DEPTH {
            return Err(stop(self.at, FaultKind::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        self.first = true;
        Ok(())
    }

    /// Leaves the object entered last, if it ends right here.
    #[inline(always)]
    pub(crate) fn is_left(&mut self) -> bool {
        let left = self.text.get(self.at) == Some(&b'}');
        if left {
            self.leave(self.at);
        }
        left
    }

    /// The same behind blanks.
    #[inline(always)]
    pub(crate) fn is_left_behind_blanks(&mut self) -> bool {
        self.at = scan::near_space(self.text, self.at);
        self.is_left()
    }

    /// To be asked before a string is resolved: of those that are spelled by escapes there may be only so much.
    #[inline(always)]
    pub(crate) fn spend_escaped(&mut self, string: Str<'_>) -> Result<(), Stop> {
        match string.is_escaped() {
            true => self.spend_escaped_bytes(string.start(), string.bytes().len()),
            false => Ok(()),
        }
    }

    #[inline(never)]
    fn spend_escaped_bytes(&mut self, start: usize, bytes: usize) -> Result<(), Stop> {
        let left = (self.escaped as usize).checked_sub(bytes);
        let left = left.ok_or_else(|| stop(start - 1, FaultKind::TooManyEscapes))?;
        self.escaped = left as u32;
        Ok(())
    }

    /// Passes a closing bracket.
    #[inline(always)]
    pub(super) fn leave(&mut self, at: usize) {
        self.at = at + 1;
        self.depth = self.depth.saturating_sub(1);
    }
}

/// The string whose opening quote is due at a place, and the place behind it.
#[inline(always)]
pub(super) fn quoted(text: &[u8], at: usize, clean: bool) -> Result<(Str<'_>, usize), Stop> {
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at));
    }
    let start = at + 1;
    let plain = if clean {
        scan::plain::<true>(text, start)
    } else {
        scan::plain::<false>(text, start)
    };
    if text.get(plain) == Some(&b'"') {
        return Ok((Str::new(&text[start..plain], start, false), plain + 1));
    }
    let end = if clean {
        scan::rest_of_string::<true>(text, plain)?
    } else {
        scan::rest_of_string::<false>(text, plain)?
    };
    Ok((Str::new(&text[start..end], start, true), end + 1))
}

#[inline]
pub(super) fn spend(budget: usize, at: usize) -> Result<usize, Stop> {
    budget
        .checked_sub(1)
        .ok_or_else(|| stop(at, FaultKind::TooMany))
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
