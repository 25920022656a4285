//! Recognising the next event of a stream by the last one, which it equals but for a word.
//!
//! Nearly all events of a stream differ in their text alone, and perhaps in a filler. When one has
//! been read and changed nothing but what it carried, the bytes around these strings are kept: an
//! event with the same bytes around them means the same, so it need not be read again.

use std::ops::Range;

use super::edits::{Edits, Pinned};
use crate::wire::json::plain_until;

/// Longest pattern kept, in bytes, so that an idle stream stays small.
const LONGEST: usize = 512;

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
    /// What goes out instead, when that is something else.
    write: Option<Box<[u8]>>,
}

impl Fixed {
    fn out(&self) -> &[u8] {
        self.write.as_ref().unwrap_or(&self.read)
    }
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
        pinned: &Pinned,
    ) -> Option<Self> {
        // Line ends are written as blanks, which a copy would not do.
        if text.len() > LONGEST + word.len() || text.contains(['\n', '\r']) {
            return None;
        }
        let mut made = 0;
        let mut fixed = |at: Range<usize>| {
            let (write, edits) = edits.write_part(text, at.clone(), pinned)?;
            made += edits;
            let read = text.as_bytes()[at].into();
            let write = (edits > 0).then(|| write.into());
            Some(Fixed { read, write })
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
    pub(super) fn length(&self, fit: &Fit<'_>) -> usize {
        let between = self.between.as_ref().map_or(0, |fixed| fixed.out().len());
        let fixed = self.before.out().len() + between + self.after.out().len();
        fixed + fit.text.len() + fit.filler.len()
    }

    /// Writes an event that fits.
    pub(super) fn write(&self, fit: &Fit<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.out());
        out.extend_from_slice(fit.text);
        if let Some(between) = &self.between {
            out.extend_from_slice(between.out());
            out.extend_from_slice(fit.filler);
        }
        out.extend_from_slice(self.after.out());
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
