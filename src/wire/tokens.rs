//! JSON of a form that is known beforehand, read token by token.

use std::ops::Range;

use super::{
    Counting, Usage,
    json::{Cursor, plain_until, sound_end},
};

/// Brackets that a usage may open: what nests deeper is for the full reading to judge.
const BRACKETS: usize = 32;

/// A text that is read token by token, with blanks between them where there are any.
///
/// One that is not `UTF_8` yet is seen to be as it is read: up to where a token has been passed.
pub(crate) struct Tokens<'t, const UTF_8: bool> {
    pub(crate) text: &'t [u8],
    pub(crate) at: usize,
}

impl<'t> Tokens<'t, true> {
    /// From the beginning of a text.
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }
}

impl<'t> Tokens<'t, false> {
    /// From the beginning of what may be no text.
    pub(crate) fn unchecked(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<const UTF_8: bool> Tokens<'_, UTF_8> {
    /// Where the next token begins.
    #[inline(always)]
    pub(crate) fn value_at(&mut self) -> usize {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.at
    }

    /// Passes this, if it comes next.
    #[inline(always)]
    pub(crate) fn pass(&mut self, token: &[u8]) -> Option<()> {
        let at = self.value_at();
        if !self.text.get(at..)?.starts_with(token) {
            return None;
        }
        self.at = at + token.len();
        Some(())
    }

    /// Passes all of these, mostly side by side as they stand in the first.
    #[inline(always)]
    pub(crate) fn pass_all<const SIZE: usize>(
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
    pub(crate) fn string(&mut self) -> Option<Range<usize>> {
        self.pass(b"\"")?;
        let at = self.at;
        let end = if UTF_8 { string_end } else { sound_end };
        self.at = end(self.text, at)? + 1;
        Some(at - 1..self.at)
    }

    /// Passes a string that is not empty.
    #[inline]
    pub(crate) fn name(&mut self) -> Option<Range<usize>> {
        self.string().filter(|name| name.len() > 2)
    }

    /// Passes a string or `null`; where the string is, if it is one.
    #[inline]
    pub(crate) fn text_or_null(&mut self) -> Option<Option<Range<usize>>> {
        if self.pass(b"null").is_some() {
            return Some(None);
        }
        self.string().map(Some)
    }

    /// Passes a time; where.
    #[inline(always)]
    pub(crate) fn time(&mut self) -> Option<Range<usize>> {
        let at = self.value_at();
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        is_time(&self.text[at..self.at]).then_some(at..self.at)
    }

    /// Passes what a chunk of a stream mostly begins with: where its id, its time and its model stand, the strings with
    /// their quotes. They may be empty.
    #[inline(always)]
    pub(crate) fn head_of_chunk(&mut self) -> Option<[Range<usize>; 3]> {
        self.pass_all(br#"{"id":"#, [b"{", br#""id":"#])?;
        let id = self.string()?;
        self.pass_all(
            br#","object":"chat.completion.chunk","created":"#,
            [
                b",",
                br#""object":"#,
                br#""chat.completion.chunk""#,
                b",",
                br#""created":"#,
            ],
        )?;
        let created = self.time()?;
        self.pass_all(br#","model":"#, [b",", br#""model":"#])?;
        let model = self.string()?;
        Some([id, created, model])
    }

    /// Passes the value of a `usage`: where, and what it says.
    pub(crate) fn usage(&mut self, counting: Counting) -> Option<(Range<usize>, Option<Usage>)> {
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
    pub(crate) fn is_end(&mut self) -> bool {
        self.value_at() == self.text.len()
    }
}

/// Whether it is a number of seconds as OpenAI writes one.
pub(crate) fn is_time(spelled: &[u8]) -> bool {
    matches!(spelled, [b'1'..=b'9', ..])
        && spelled.len() <= 19
        && spelled.iter().all(u8::is_ascii_digit)
}

/// Where the string ends that begins here, behind its quote, in a text that is UTF-8.
#[inline(always)]
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let end = plain_until(text, at);
    match text.get(end)? {
        b'"' => Some(end),
        b'\\' => escaped(text, at),
        _ => None,
    }
}

/// The same of one with escapes.
#[inline(never)]
fn escaped(text: &[u8], at: usize) -> Option<usize> {
    let mut cursor = Cursor::within(text, at.checked_sub(1)?, usize::MAX);
    let string = cursor.string_here().ok()??;
    Some(string.range().end)
}

/// What tests put anywhere into a text to see what becomes of it.
#[cfg(test)]
pub(crate) const PIECES: [&str; 31] = [
    "",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "0",
    "1",
    " ",
    "\n",
    "\t",
    "\u{1}",
    "a",
    "\\n",
    "\\ud800",
    "\\u0041",
    "ü",
    "\"id\":\"x\",",
    "\"usage\":{},",
    "\"content\":\"b\",",
    "\"error\":1,",
    "\"index\":2,",
    "\"role\":\"user\",",
    "\"finish_reason\":null,",
    "\"refusal\":\"\",",
    "\"choices\":[],",
    "\"message\":\"x\",",
];
