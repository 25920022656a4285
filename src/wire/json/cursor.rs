//! The pull parser.

use std::{fmt, ops::Range};

use super::{
    Fault, FaultKind, Number, Str,
    scan::{self, Stop, stop, unexpected},
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
    text: &'a [u8],
    at: usize,
    /// How many more members and elements may come.
    budget: usize,
    depth: u8,
    /// Right behind `{` or `[`, where no comma is due.
    first: bool,
    /// Known to have no control character anywhere, so that strings need not be searched for one.
    clean: bool,
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
            clean: false,
        }
    }

    /// The same over a text that is known to have no control character.
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
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
        Ok(self.next_key()?)
    }

    /// [`key`](Self::key), for loops that want it in their midst.
    #[inline(always)]
    pub(crate) fn next_key(&mut self) -> Result<Option<Str<'a>>, Stop> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        self.key_at(scan::space(self.text, self.at)).map(Some)
    }

    /// The key whose opening quote is due at a place, and its colon.
    #[inline(always)]
    fn key_at(&mut self, at: usize) -> Result<Str<'a>, Stop> {
        let text = self.text;
        let (key, end) = quoted(text, at, self.clean)?;
        let at = scan::space(text, end);
        if text.get(at) != Some(&b':') {
            return Err(unexpected(text, at));
        }
        self.at = at + 1;
        Ok(key)
    }

    /// Whether the array entered last has one more element; if not, it has been left.
    ///
    /// # Errors
    /// When neither an element nor the end is due.
    #[inline]
    pub fn element(&mut self) -> Result<bool, Fault> {
        Ok(self.more(b']')?)
    }

    /// [`element`](Self::element), for loops that want it in their midst.
    #[inline(always)]
    pub(crate) fn next_element(&mut self) -> Result<bool, Stop> {
        self.more(b']')
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

    /// A number.
    ///
    /// # Errors
    /// When there is none, it is malformed, or no double can hold it.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = scan::space(self.text, self.at);
        self.at = scan::number(self.text, start)?;
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
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.at = scan::word(self.text, at, word)?;
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

    /// [`skip`](Self::skip) without the range.
    #[inline(always)]
    pub(crate) fn pass(&mut self) -> Result<(), Stop> {
        let start = scan::space(self.text, self.at);
        self.at = match self.text.get(start) {
            // What is short is not worth a call.
            Some(b'1'..=b'9') => scan::number(self.text, start)?,
            _ => self.pass_at(start)?,
        };
        Ok(())
    }

    /// Passes the value of a member and gives the next key, as [`pass`](Self::pass) and
    /// [`next_key`](Self::next_key) do, in one go for long runs of members.
    #[inline(always)]
    pub(crate) fn pass_to_key(&mut self) -> Result<Option<Str<'a>>, Stop> {
        let text = self.text;
        let mut at = scan::space(text, self.at);
        at = match text.get(at) {
            Some(b'1'..=b'9') => scan::number(text, at)?,
            _ => self.pass_at(at)?,
        };
        at = scan::space(text, at);
        match text.get(at) {
            Some(b',') => {}
            Some(b'}') => {
                self.at = at + 1;
                self.depth = self.depth.saturating_sub(1);
                return Ok(None);
            }
            _ => return Err(unexpected(text, at)),
        }
        self.budget = spend(self.budget, at + 1)?;
        self.key_at(scan::space(text, at + 1)).map(Some)
    }

    #[inline(never)]
    fn pass_at(&mut self, start: usize) -> Result<usize, Stop> {
        if self.clean {
            self.pass_value::<true>(start)
        } else {
            self.pass_value::<false>(start)
        }
    }

    #[inline(always)]
    fn pass_value<const CLEAN: bool>(&mut self, start: usize) -> Result<usize, Stop> {
        match self.text.get(start) {
            Some(b'{' | b'[') => self.pass_nested::<CLEAN>(start),
            Some(b'"') => Ok(scan::string::<CLEAN>(self.text, start + 1)? + 1),
            Some(b'-' | b'0'..=b'9') => scan::number(self.text, start),
            Some(b't') => scan::word(self.text, start, b"true"),
            Some(b'f') => scan::word(self.text, start, b"false"),
            Some(b'n') => scan::word(self.text, start, b"null"),
            _ => Err(unexpected(self.text, start)),
        }
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

    /// Passes the object or array at a place; where it ends. One loop over all levels, one bit for
    /// each, set for an object.
    fn pass_nested<const CLEAN: bool>(&mut self, start: usize) -> Result<usize, Stop> {
        let text = self.text;
        let room = MAX_DEPTH - self.depth;
        let mut budget = self.budget;
        let mut at = start;
        let mut objects = 0u128;
        let mut levels = 0u8;
        'value: loop {
            // A value begins here.
            match text.get(at) {
                Some(b'"') => at = scan::string::<CLEAN>(text, at + 1)? + 1,
                Some(&open @ (b'{' | b'[')) => {
                    if levels == room {
                        return Err(stop(at, FaultKind::TooDeep));
                    }
                    at = scan::space(text, at + 1);
                    // In ASCII the closing bracket is two behind the opening one.
                    if text.get(at) != Some(&(open + 2)) {
                        let object = open == b'{';
                        levels += 1;
                        objects = objects << 1 | u128::from(object);
                        budget = spend(budget, at)?;
                        if object {
                            at = key::<CLEAN>(text, at)?;
                        }
                        continue 'value;
                    }
                    at += 1;
                }
                Some(b'-' | b'0'..=b'9') => at = scan::number(text, at)?,
                Some(b't') => at = scan::word(text, at, b"true")?,
                Some(b'f') => at = scan::word(text, at, b"false")?,
                Some(b'n') => at = scan::word(text, at, b"null")?,
                _ => return Err(unexpected(text, at)),
            }
            // A value has ended here.
            while levels > 0 {
                at = scan::space(text, at);
                let object = objects & 1 == 1;
                match text.get(at) {
                    Some(b',') => {
                        budget = spend(budget, at + 1)?;
                        at = scan::space(text, at + 1);
                        if object {
                            at = key::<CLEAN>(text, at)?;
                        }
                        continue 'value;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    _ => return Err(unexpected(text, at)),
                }
                at += 1;
                objects >>= 1;
                levels -= 1;
            }
            self.budget = budget;
            return Ok(at);
        }
    }

    #[inline]
    fn enter(&mut self, open: u8) -> Result<(), Fault> {
        self.at = scan::space(self.text, self.at);
        if self.text.get(self.at) != Some(&open) {
            return Err(unexpected(self.text, self.at).into());
        }
        if self.depth == MAX_DEPTH {
            return Err(stop(self.at, FaultKind::TooDeep).into());
        }
        self.depth += 1;
        self.at += 1;
        self.first = true;
        Ok(())
    }

    /// Passes the comma that is due, or leaves.
    #[inline(always)]
    fn more(&mut self, close: u8) -> Result<bool, Stop> {
        self.at = scan::space(self.text, self.at);
        let found = self.text.get(self.at).copied();
        let first = std::mem::take(&mut self.first);
        if found == Some(close) {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !first {
            if found != Some(b',') {
                return Err(unexpected(self.text, self.at));
            }
            self.at += 1;
        }
        self.budget = spend(self.budget, self.at)?;
        Ok(true)
    }
}

/// The string whose opening quote is due at a place, and the place behind it.
#[inline(always)]
fn quoted(text: &[u8], at: usize, clean: bool) -> Result<(Str<'_>, usize), Stop> {
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at));
    }
    let start = at + 1;
    let mut end = if clean {
        scan::plain::<true>(text, start)
    } else {
        scan::plain::<false>(text, start)
    };
    let escaped = text.get(end) != Some(&b'"');
    if escaped {
        end = if clean {
            scan::rest_of_string::<true>(text, end)?
        } else {
            scan::rest_of_string::<false>(text, end)?
        };
    }
    Ok((Str::new(&text[start..end], start, escaped), end + 1))
}

#[inline]
fn spend(budget: usize, at: usize) -> Result<usize, Stop> {
    budget
        .checked_sub(1)
        .ok_or_else(|| stop(at, FaultKind::TooMany))
}

/// Passes the key at a place and its colon; where its value begins.
#[inline]
fn key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at));
    }
    let end = scan::string::<CLEAN>(text, at + 1)?;
    let at = scan::space(text, end + 1);
    if text.get(at) != Some(&b':') {
        return Err(unexpected(text, at));
    }
    Ok(scan::space(text, at + 1))
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
