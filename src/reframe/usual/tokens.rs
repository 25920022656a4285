use std::ops::Range;

use super::super::pattern::string_end;
use crate::wire::{
    Counting, Usage,
    json::{Cursor, sound_end},
};

/// Brackets that a usage may open: what nests deeper is for the full reading to judge.
const BRACKETS: usize = 32;

/// A text that is read token by token, with blanks between them where there are any.
///
/// One that is not `UTF_8` yet is seen to be as it is read: up to where a token has been passed.
pub(super) struct Tokens<'t, const UTF_8: bool> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
}

impl<'t> Tokens<'t, true> {
    /// From the beginning of a text.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }
}

impl<'t> Tokens<'t, false> {
    /// From the beginning of what may be no text.
    pub(super) fn unchecked(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<const UTF_8: bool> Tokens<'_, UTF_8> {
    /// Where the next token begins.
    #[inline(always)]
    pub(super) fn value_at(&mut self) -> usize {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.at
    }

    /// Passes this, if it comes next.
    #[inline(always)]
    pub(super) fn pass(&mut self, token: &[u8]) -> Option<()> {
        let at = self.value_at();
        if !self.text.get(at..)?.starts_with(token) {
            return None;
        }
        self.at = at + token.len();
        Some(())
    }

    /// Passes all of these, mostly side by side as they stand in the first.
    #[inline(always)]
    pub(super) fn pass_all<const SIZE: usize>(
        &mut self,
        joined: &[u8],
        tokens: [&[u8]; SIZE],
    ) -> Option<()> {
        if self.text.get(self.at..)?.starts_with(joined) {
            self.at += joined.len();
            return Some(());
        }
        tokens.into_iter().try_for_each(|token| self.pass(token))
    }

    /// Passes a string; where, with its quotes.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Range<usize>> {
        self.pass(b"\"")?;
        let at = self.at;
        let end = if UTF_8 { string_end } else { sound_end };
        self.at = end(self.text, at)? + 1;
        Some(at - 1..self.at)
    }

    /// Passes a string that is not empty.
    #[inline]
    pub(super) fn name(&mut self) -> Option<Range<usize>> {
        self.string().filter(|name| name.len() > 2)
    }

    /// Passes a string or `null`; where the string is, if it is one.
    #[inline]
    pub(super) fn text_or_null(&mut self) -> Option<Option<Range<usize>>> {
        if self.pass(b"null").is_some() {
            return Some(None);
        }
        self.string().map(Some)
    }

    /// Passes digits; where.
    pub(super) fn digits(&mut self) -> Range<usize> {
        let at = self.value_at();
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        at..self.at
    }

    /// Passes the value of a `usage`: where, and what it says.
    pub(super) fn usage(&mut self, counting: Counting) -> Option<(Range<usize>, Option<Usage>)> {
        let at = self.value_at();
        let mut cursor = Cursor::within(self.text, at, usize::MAX);
        let usage = Usage::read(&mut cursor, counting).ok()?;
        self.at = cursor.at();
        let passed = &self.text[at..self.at];
        if !UTF_8 && !passed.is_ascii() && std::str::from_utf8(passed).is_err() {
            return None;
        }
        let open = |byte: &&u8| matches!(**byte, b'{' | b'[');
        let opened = passed.iter().filter(open).count();
        (opened <= BRACKETS).then_some((at..self.at, usage))
    }

    /// Passes blanks; whether nothing is left.
    pub(super) fn is_end(&mut self) -> bool {
        self.value_at() == self.text.len()
    }
}
