mod ahead;
mod fields;
mod lines;

use std::{mem, ops::Range};

use bytes::Bytes;

pub(crate) use self::ahead::Ahead;
use self::{
    fields::Fields,
    lines::{Begins, plain_data},
};
use super::{
    Input,
    event::{Event, Span},
    limits::{Error, MaxSizes},
};

/// How nearly every event begins.
const NAME: &[u8] = b"data: ";
/// Room that a decoder keeps between events for the next one that spans chunks, in bytes.
const KEPT: usize = 400;

/// What becomes of an event whose blank line never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// It is dropped, as the standard says.
    #[default]
    Discard,
    /// It is given out as if its last line and its blank line had ended. Some servers leave the
    /// last of them out; whether the data are whole is the reader's to decide.
    Flush,
}

/// Reads server-sent events as the WHATWG standard says (HTML §9.2.6).
///
/// A byte order mark at the start is skipped; lines end in LF, CR or CRLF; comments, unknown fields
/// and events without data give nothing. Each byte is looked at once.
#[derive(Clone)]
pub struct Decoder {
    limits: MaxSizes,
    at_end: AtEnd,
    input: Input,
    /// Where the part of the chunk begins that belongs to the event being read and is not in
    /// `carry`. So `carry.len() + at - start` is the place of `chunk[at]` within its event.
    start: usize,
    /// How far the chunk has been scanned.
    at: usize,
    /// The beginning of an event that spans chunks.
    carry: Vec<u8>,
    /// Where the current line begins within its event.
    line: usize,
    fields: Fields,
    /// Whether every line of the event so far ended in LF.
    lf: bool,
    /// The first line has not ended, before which a byte order mark may stand.
    first: bool,
    /// The last byte was a CR, to which an LF may belong.
    after_cr: bool,
    /// The event last given lies in `carry` or `joined`, which are to be cleared.
    given: bool,
    over: bool,
}

/// An event where it lies, for readers that need no owned one.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The whole event from its first byte to its blank line, within the chunk or the carry.
    pub(crate) place: Place,
    /// The data, within the event, or within the joined lines.
    pub(crate) data: Span,
    /// The name, within the event.
    pub(crate) name: Span,
    /// Whether it came as exactly `data: …`, LF, LF.
    pub(crate) plain: bool,
}

/// Which buffer an event lies in.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Chunk(Range<usize>),
    Carry,
    /// The data are in the joined lines, the event in the chunk or, when that is empty, the carry.
    Joined(Range<usize>),
}

impl Decoder {
    /// A decoder with the default [`MaxSizes`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(MaxSizes::new())
    }

    /// A decoder with other limits.
    #[must_use]
    pub fn with_limits(limits: MaxSizes) -> Self {
        Self {
            limits,
            at_end: AtEnd::Discard,
            input: Input::new(limits),
            start: 0,
            at: 0,
            carry: Vec::new(),
            line: 0,
            fields: Fields::default(),
            lf: true,
            first: true,
            after_cr: false,
            given: false,
            over: false,
        }
    }

    /// What becomes of an unfinished event at the end. Default: it is dropped.
    #[must_use]
    pub fn at_end(mut self, at_end: AtEnd) -> Self {
        self.at_end = at_end;
        self
    }

    /// Gives it the next bytes of the input. Best when the last ones have been drained: what is
    /// left of them is copied.
    pub fn push(&mut self, chunk: Bytes) {
        if self.over || self.input.exceeded {
            return;
        }
        let chunk = self.input.admit(chunk);
        if self.start < self.input.chunk.len() {
            let rest = &self.input.chunk[self.start..];
            self.at -= self.start;
            self.input.chunk = [rest, &chunk[..]].concat().into();
        } else {
            self.input.chunk = chunk;
            self.at = 0;
        }
        self.start = 0;
    }

    /// The next event that is whole; `None` when more input is needed.
    ///
    /// # Errors
    /// A limit was passed. Nothing follows an error.
    #[expect(
        clippy::should_implement_trait,
        reason = "more may follow a `None`, after the next push"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Result<Event, Error>> {
        let (raw, data, name) = match self.begins() {
            Begins::Whole(range) => {
                let data = plain_data(range.len());
                (self.take(range), data, Span::default())
            }
            Begins::Rest(range) => {
                // Just as large as it must be, so that it becomes the event as it is.
                let mut raw = Vec::with_capacity(self.carry.len() + range.len());
                raw.extend_from_slice(&self.carry);
                raw.extend_from_slice(&self.input.chunk[range]);
                // Nothing was given since, so only this lies in the buffers.
                self.carry.clear();
                if self.carry.capacity() > KEPT {
                    self.carry = Vec::new();
                }
                let data = plain_data(raw.len());
                (raw.into(), data, Span::default())
            }
            Begins::Nothing => return None,
            Begins::Lines(known) => match self.lines(known) {
                None => {
                    self.release();
                    return None;
                }
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(found)) => match found.place {
                    Place::Chunk(range) => (self.take(range), found.data, found.name),
                    Place::Carry => (Bytes::copy_from_slice(&self.carry), found.data, found.name),
                    Place::Joined(_) => self.take_joined(&found),
                },
            },
        };
        Some(Ok(Event {
            raw,
            data,
            name,
            retry: self.fields.retry,
            id: self.fields.id.clone(),
        }))
    }

    /// Says that the input has ended. What is still to come, one event a call: with
    /// [`AtEnd::Flush`] also the one that was never finished.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn finish(&mut self) -> Option<Result<Event, Error>> {
        if let Some(event) = self.next() {
            return Some(event);
        }
        if !self.close() {
            return None;
        }
        let last = self.next();
        self.over = true;
        last
    }

    /// Ends the input; whether an unfinished event is to be looked for with one more `advance`.
    pub(crate) fn close(&mut self) -> bool {
        if self.at_end == AtEnd::Discard || self.over {
            self.over = true;
            return false;
        }
        self.input.left = u64::MAX;
        self.push(Bytes::from_static(b"\n\n"));
        // Nothing but the end of the line and the blank line is made up, and at most once.
        self.at_end = AtEnd::Discard;
        true
    }

    /// Lets go of a chunk that has been read.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.start == self.input.chunk.len() && self.start > 0 {
            self.input.chunk = Bytes::new();
            self.start = 0;
            self.at = 0;
        }
    }

    /// The part of the chunk, without touching its count when nothing else is left in it.
    #[inline]
    pub(crate) fn take(&mut self, range: Range<usize>) -> Bytes {
        if range.end == self.input.chunk.len() {
            let mut whole = mem::take(&mut self.input.chunk);
            self.start = 0;
            self.at = 0;
            bytes::Buf::advance(&mut whole, range.start);
            return whole;
        }
        self.input.chunk.slice(range)
    }

    #[cold]
    fn take_joined(&mut self, found: &Found) -> (Bytes, Span, Span) {
        let mut raw = mem::take(&mut self.fields.joined);
        let data = found.data;
        let start = place(raw.len());
        raw.extend_from_slice(self.name(found));
        let end = place(raw.len());
        (raw.into(), data, Span { start, end })
    }

    /// The bytes of an event found, until the next call of [`advance`](Self::advance).
    #[inline]
    pub(crate) fn raw(&self, found: &Found) -> &[u8] {
        match &found.place {
            Place::Chunk(range) => &self.input.chunk[range.clone()],
            Place::Joined(range) if !range.is_empty() => &self.input.chunk[range.clone()],
            Place::Carry | Place::Joined(_) => &self.carry,
        }
    }

    /// The data of an event found.
    #[inline]
    pub(crate) fn data(&self, found: &Found) -> &[u8] {
        match &found.place {
            Place::Joined(_) => &self.fields.joined,
            _ => &self.raw(found)[found.data.range()],
        }
    }

    /// The name of an event found.
    #[inline]
    pub(crate) fn name(&self, found: &Found) -> &[u8] {
        &self.raw(found)[found.name.range()]
    }

    /// Whether nothing is left of the chunk.
    pub(crate) fn is_drained(&self) -> bool {
        self.at == self.input.chunk.len()
    }

    /// The chunk that events in [`Place::Chunk`] lie in.
    pub(crate) fn chunk(&self) -> &Bytes {
        &self.input.chunk
    }
}

/// A place within an event. Lines and events are limited to what 32 bits hold.
#[inline]
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
