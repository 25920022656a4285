//! Recognising the next event of a stream by the last one, which it equals but for a word.
//!
//! Nearly all events of a stream differ in their text alone, and perhaps in a filler. When one has
//! been read and changed nothing but what it carried, the bytes around these strings are kept: an
//! event with the same bytes around them means the same, so it need not be read again.

use std::ops::Range;

use super::edits::{Edits, Pinned};
use crate::wire::json::sound_end;

/// Longest pattern kept, in bytes, so that an idle stream stays small.
const LONGEST: usize = 400;

/// How every event begins here.
const NAME: &[u8] = b"data: ";
/// How every event ends here.
const END: &[u8] = b"\n\n";

/// The fixed bytes around one or two strings, of the whole event, and what they are to become.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    before: Fixed,
    /// Between the two strings; `None` when there is one.
    between: Option<Fixed>,
    after: Fixed,
    /// How many bytes all of it is when it is written.
    written: u32,
    same: bool,
}

#[derive(Clone, Debug)]
struct Fixed {
    read: Box<[u8]>,
    /// What is to change in it.
    edits: Edits,
}

impl Fixed {
    #[inline]
    fn write(&self, pinned: &Pinned, out: &mut Vec<u8>) {
        if self.edits.is_empty() {
            out.extend_from_slice(&self.read);
        } else {
            self.edits.write(&self.read, pinned, out);
        }
    }
}

/// The strings of an event that fits, as they are spelled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit<'a> {
    text: &'a [u8],
    filler: &'a [u8],
    /// How many bytes it takes.
    read: usize,
}

/// Events side by side that fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where they end.
    pub(super) end: usize,
    pub(super) events: u64,
    /// Bytes of generated text.
    pub(super) content: u64,
}

impl Run {
    /// None yet, from here on.
    #[inline]
    pub(super) fn at(from: usize) -> Self {
        Self {
            end: from,
            events: 0,
            content: 0,
        }
    }

    /// One more.
    #[inline]
    pub(super) fn add(&mut self, fit: &Fit<'_>) {
        self.end += fit.read;
        self.events += 1;
        self.content += fit.text.len() as u64;
    }
}

impl Fit<'_> {
    /// How many bytes were read.
    #[inline]
    pub(super) fn read(&self) -> usize {
        self.read
    }
}

impl Pattern {
    /// The pattern of a text whose strings, without their quotes, lie here. The edits must be in
    /// order, and what they put in is what it will be for good.
    pub(super) fn new(
        text: &str,
        word: Range<usize>,
        filler: Option<Range<usize>>,
        edits: &Edits,
        pinned: &Pinned,
    ) -> Option<Self> {
        // Line ends are written as blanks, which a copy would not do.
        let line_end = || memchr::memchr2(b'\n', b'\r', text.as_bytes());
        if text.len() > LONGEST + word.len() || line_end().is_some() {
            return None;
        }
        let (mut made, mut written) = (0, 0);
        let mut fixed = |at: Range<usize>| {
            let (first, last) = (at.start == 0, at.end == text.len());
            let frame = [if first { NAME } else { b"" }, if last { END } else { b"" }];
            let edits = edits.within(&at, frame[0].len())?;
            let read: Box<[u8]> = [frame[0], &text.as_bytes()[at], frame[1]].concat().into();
            made += edits.len();
            written += edits.length(&read, pinned);
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
            written: u32::try_from(written).unwrap_or(u32::MAX),
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
        let (first, last) = self.unframed();
        text[..word.start] == *first
            && between == self.between.as_ref().map(|fixed| &*fixed.read)
            && text[after..] == *last
    }

    /// Whether what fits goes out as it came.
    pub(super) fn is_same(&self) -> bool {
        self.same
    }

    /// The event that comes next, when it fits. It is one `data` line and a blank one that end in LF,
    /// for neither the pattern nor a string has a line end.
    #[inline]
    pub(super) fn fit<'a>(&self, text: &'a [u8]) -> Option<Fit<'a>> {
        self.fit_within(&self.before.read, &self.after.read, text)
    }

    /// All that fits from a place on, of events no longer than this.
    #[inline]
    pub(super) fn run(&self, text: &[u8], from: usize, longest: usize) -> Run {
        let mut run = Run::at(from);
        while run.end < text.len() {
            match self.fit(&text[run.end..]) {
                Some(fit) if fit.read <= longest => run.add(&fit),
                _ => break,
            }
        }
        run
    }

    /// The data of an event that was framed in another way, when they fit.
    pub(super) fn fit_data<'a>(&self, data: &'a [u8]) -> Option<Fit<'a>> {
        let (first, last) = self.unframed();
        let fit = self.fit_within(first, last, data)?;
        (fit.read == data.len()).then_some(fit)
    }

    /// A word that is malformed or not UTF-8 is for the full reading, which says so.
    #[inline(always)]
    fn fit_within<'a>(&self, first: &[u8], last: &[u8], text: &'a [u8]) -> Option<Fit<'a>> {
        let behind = |at: usize, fixed: &[u8]| {
            let starts = text.get(at..)?.starts_with(fixed);
            starts.then_some(at + fixed.len())
        };
        let word = behind(0, first)?;
        let mut end = sound_end(text, word)?;
        let mut fit = Fit {
            text: &text[word..end],
            filler: b"",
            read: 0,
        };
        if let Some(between) = &self.between {
            let filler = behind(end, &between.read)?;
            end = sound_end(text, filler)?;
            fit.filler = &text[filler..end];
        }
        fit.read = behind(end, last)?;
        Some(fit)
    }

    /// The first and the last part without the event's frame.
    fn unframed(&self) -> (&[u8], &[u8]) {
        let (first, last) = (&self.before.read, &self.after.read);
        (&first[NAME.len()..], &last[..last.len() - END.len()])
    }

    /// How long an event that fits is when it is written.
    #[inline]
    pub(super) fn length(&self, fit: &Fit<'_>) -> usize {
        self.written as usize + fit.text.len() + fit.filler.len()
    }

    /// Writes an event that fits.
    #[inline]
    pub(super) fn write(&self, fit: &Fit<'_>, pinned: &Pinned, out: &mut Vec<u8>) {
        self.before.write(pinned, out);
        out.extend_from_slice(fit.text);
        if let Some(between) = &self.between {
            between.write(pinned, out);
            out.extend_from_slice(fit.filler);
        }
        self.after.write(pinned, out);
    }
}
