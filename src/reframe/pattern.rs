//! Recognising the next event of a stream by the last one, which it equals but for a word.
//!
//! Nearly all events of a stream differ in their text alone, and perhaps in a filler. When one has
//! been read and changed nothing but what it carried, the bytes around these strings are kept: an
//! event with the same bytes around them means the same, so it need not be read again.

use std::ops::Range;

use super::edits::{Edits, Pinned};
use crate::wire::json::plain_until;

/// Longest pattern kept, in bytes, so that an idle stream stays small.
const LONGEST: usize = 400;

/// The fixed bytes around one or two strings, and what they are to become.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    before: Fixed,
    /// Between the two strings; `None` when there is one.
    between: Option<Fixed>,
    after: Fixed,
    same: bool,
}

#[derive(Clone, Debug)]
struct Fixed {
    read: Box<[u8]>,
    /// What is to change in it.
    edits: Edits,
}

/// The strings of an event that fits, as they are spelled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit<'a> {
    text: &'a [u8],
    filler: &'a [u8],
}

impl Fit<'_> {
    /// Bytes of generated text.
    pub(super) fn content(&self) -> u64 {
        self.text.len() as u64
    }
}

impl Pattern {
    /// The pattern of a text whose strings, without their quotes, lie here.
    pub(super) fn new(
        text: &str,
        word: Range<usize>,
        filler: Option<Range<usize>>,
        edits: &Edits,
    ) -> Option<Self> {
        // Line ends are written as blanks, which a copy would not do.
        if text.len() > LONGEST + word.len() || text.contains(['\n', '\r']) {
            return None;
        }
        let mut made = 0;
        let mut fixed = |at: Range<usize>| {
            let edits = edits.within(&at)?;
            made += edits.len();
            let read = text.as_bytes()[at].into();
            Some(Fixed { read, edits })
        };
        let (between, after) = match filler {
            None => (None, word.end),
            Some(filler) if filler.start > word.end => {
                (Some(fixed(word.end..filler.start)?), filler.end)
            }
            Some(_) => return None,
        };
        let before = fixed(0..word.start)?;
        let after = fixed(after..text.len())?;
        // An edit within a string is none that the next event would need.
        (made == edits.len()).then(|| Self {
            before,
            between,
            after,
            same: edits.is_empty(),
        })
    }

    /// Whether the bytes around the strings of a text, which lie here, are these.
    pub(super) fn surrounds(
        &self,
        text: &str,
        word: &Range<usize>,
        filler: Option<&Range<usize>>,
    ) -> bool {
        let text = text.as_bytes();
        let (between, after) = match filler {
            Some(filler) if filler.start > word.end => {
                (Some(&text[word.end..filler.start]), filler.end)
            }
            Some(_) => return false,
            None => (None, word.end),
        };
        text[..word.start] == *self.before.read
            && between == self.between.as_ref().map(|fixed| &*fixed.read)
            && text[after..] == *self.after.read
    }

    /// Whether what fits goes out as it came.
    pub(super) fn is_same(&self) -> bool {
        self.same
    }

    /// The strings of this text, when it fits.
    #[inline]
    pub(super) fn fit<'a>(&self, text: &'a [u8]) -> Option<Fit<'a>> {
        let (word, rest) = string(text.strip_prefix(&*self.before.read)?)?;
        let (filler, rest) = match &self.between {
            None => (&b""[..], rest),
            Some(between) => string(rest.strip_prefix(&*between.read)?)?,
        };
        (*rest == *self.after.read).then_some(Fit { text: word, filler })
    }

    /// How long an event that fits is when it is written.
    pub(super) fn length(&self, fit: &Fit<'_>, pinned: &Pinned) -> usize {
        let length = |fixed: &Fixed| fixed.edits.length(&fixed.read, pinned);
        let between = self.between.as_ref().map_or(0, length);
        let fixed = length(&self.before) + between + length(&self.after);
        fixed + fit.text.len() + fit.filler.len()
    }

    /// Writes an event that fits.
    pub(super) fn write(&self, fit: &Fit<'_>, pinned: &Pinned, out: &mut Vec<u8>) {
        self.before.edits.write(&self.before.read, pinned, out);
        out.extend_from_slice(fit.text);
        if let Some(between) = &self.between {
            between.edits.write(&between.read, pinned, out);
            out.extend_from_slice(fit.filler);
        }
        self.after.edits.write(&self.after.read, pinned, out);
    }
}

/// A plain string up to its quote, and the rest from the quote on. What has escapes, control
/// characters or is not UTF-8 is for the full reading.
#[inline]
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = plain_until(text, 0);
    let (word, rest) = text.split_at(end);
    let text = word.is_ascii() || std::str::from_utf8(word).is_ok();
    (rest.first() == Some(&b'"') && text).then_some((word, rest))
}
