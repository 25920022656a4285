mod fields;

use std::{mem, ops::Range};

use bytes::Bytes;
use memchr::memchr2;

use self::fields::{Data, Fields};
use super::{
    Input,
    event::{Event, Span},
    limits::{Error, Limits},
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
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
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

/// What a decoder will read next, where nothing is half read.
pub(crate) struct Ahead<'a> {
    pub(crate) chunk: &'a Bytes,
    pub(crate) at: usize,
    /// How many bytes an event may have that comes as exactly `data: …`, LF, LF.
    pub(crate) longest: usize,
}

/// What stands at the beginning of an event.
enum Begins {
    /// All of it, from `data: ` to its blank line, here in the chunk.
    Whole(Range<usize>),
    /// What `carry` lacks of such an event: its one line's rest and its blank line.
    Rest(Range<usize>),
    /// The end of the chunk.
    Nothing,
    /// Something else; the offset of the first line's end where that has been looked for.
    Lines(Option<usize>),
}

/// Which buffer an event lies in.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Chunk(Range<usize>),
    Carry,
    /// The data are in the joined lines, the event in the chunk or, when that is empty, the carry.
    Joined(Range<usize>),
}

/// Where the first line ends.
#[inline]
fn line_end(text: &[u8]) -> Option<usize> {
    let end = memchr2(b'\n', b'\r', text);
    #[cfg(test)]
    tests::SCANNED.set(tests::SCANNED.get() + end.map_or(text.len(), |end| end + 1));
    end
}

impl Decoder {
    /// A decoder with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::new())
    }

    /// A decoder with other limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
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

    /// How long an event may be that comes as exactly `data: …`, LF, LF; `None` unless one begins
    /// here, with nothing half read before it.
    #[inline]
    fn longest(&mut self) -> Option<usize> {
        if self.given {
            self.forget();
        }
        let between = self.start == self.at && self.line == 0 && self.carry.is_empty();
        if !between || self.after_cr || self.first {
            return None;
        }
        let line = (self.limits.line as usize).saturating_add(2);
        let event = (self.limits.event as usize).saturating_add(1);
        Some(line.min(event))
    }

    /// What lies ahead in the chunk, where an event begins with it: for a reader that knows its
    /// like, and passes it with [`pass`](Self::pass).
    #[inline]
    pub(crate) fn ahead(&mut self) -> Option<Ahead<'_>> {
        let longest = self.longest()?;
        Some(Ahead {
            chunk: &self.input.chunk,
            at: self.at,
            longest,
        })
    }

    /// The same for a chunk of so many bytes that is to be [pushed](Self::push), or
    /// [passed](Self::pass_chunk) as a whole.
    #[inline]
    pub(crate) fn before(&mut self, chunk: usize) -> Option<usize> {
        let drained = self.at == self.input.chunk.len() && !self.over;
        if !drained || self.input.exceeded || self.input.left < chunk as u64 {
            return None;
        }
        self.longest()
    }

    /// Passes a chunk of whole events, of so many bytes, that it was not given.
    #[inline]
    pub(crate) fn pass_chunk(&mut self, chunk: usize) {
        self.input.left = self.input.left.saturating_sub(chunk as u64);
    }

    /// Passes events that lie ahead and are whole, up to this place in the chunk.
    #[inline]
    pub(crate) fn pass(&mut self, to: usize) {
        self.at = to.min(self.input.chunk.len());
        self.start = self.at;
    }

    /// Reads on to the end of the next event.
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Result<Found, Error>> {
        match self.begins() {
            Begins::Whole(range) => Some(Ok(Found {
                data: plain_data(range.len()),
                place: Place::Chunk(range),
                name: Span::default(),
                plain: true,
            })),
            Begins::Rest(range) => {
                // The event ends here, so no room is to be made beyond.
                self.carry.reserve_exact(range.len());
                self.carry.extend_from_slice(&self.input.chunk[range]);
                self.given = true;
                Some(Ok(Found {
                    data: plain_data(self.carry.len()),
                    place: Place::Carry,
                    name: Span::default(),
                    plain: true,
                }))
            }
            Begins::Nothing => None,
            Begins::Lines(known) => self.lines(known),
        }
    }

    /// Looks at what comes next. Nearly every event is one `data` line, behind another such: that
    /// is found as a whole, and none of the state of a half-read event touched but the carry.
    #[inline]
    fn begins(&mut self) -> Begins {
        if self.given {
            self.forget();
        }
        let from = self.at;
        if self.line != 0 || self.after_cr || self.first {
            return Begins::Lines(None);
        }
        let rest = &self.input.chunk[from..];
        if !self.carry.is_empty() {
            return self.begun();
        }
        let Some(data) = rest.strip_prefix(NAME) else {
            if rest.is_empty() && self.start == from && !self.input.exceeded {
                return Begins::Nothing;
            }
            return Begins::Lines(None);
        };
        let Some(end) = line_end(data) else {
            return Begins::Lines(Some(rest.len()));
        };
        if data[end..].starts_with(b"\n\n")
            && end + 6 <= self.limits.line as usize
            && end + 7 <= self.limits.event as usize
        {
            self.at = from + end + 8;
            self.start = self.at;
            return Begins::Whole(from..self.at);
        }
        Begins::Lines(Some(end + 6))
    }

    /// Looks at what comes next of a first line that was begun in an earlier chunk.
    fn begun(&mut self) -> Begins {
        if !self.carry.starts_with(NAME) {
            return Begins::Lines(None);
        }
        let from = self.at;
        let rest = &self.input.chunk[from..];
        let Some(end) = line_end(rest) else {
            return Begins::Lines(Some(rest.len()));
        };
        let line = self.carry.len() + end;
        if rest[end..].starts_with(b"\n\n")
            && line <= self.limits.line as usize
            && line < self.limits.event as usize
        {
            self.at = from + end + 2;
            self.start = self.at;
            return Begins::Rest(from..self.at);
        }
        Begins::Lines(Some(end))
    }

    /// Reads line by line. Where the first one ends may be known: at the end of the chunk, when it
    /// does not end there.
    fn lines(&mut self, mut known: Option<usize>) -> Option<Result<Found, Error>> {
        loop {
            if self.after_cr {
                match self.input.chunk.get(self.at) {
                    None => return self.pause(),
                    Some(b'\n') => self.skip_lf(),
                    Some(_) => {}
                }
                self.after_cr = false;
            }
            let rest = &self.input.chunk[self.at..];
            // The blank line after a line is so common that it is worth not searching for it.
            let end = match (known.take(), rest.first()) {
                (Some(end), _) if end == rest.len() => return self.pause(),
                (Some(end), _) => end,
                (None, Some(b'\n')) => 0,
                (None, _) => match line_end(rest) {
                    Some(end) => end,
                    None => return self.pause(),
                },
            };
            if rest[end] == b'\r' {
                self.after_cr = true;
                self.lf = false;
            }
            let end = self.at + end;
            self.at = end + 1;
            let mut line = self.line..self.carry.len() + end - self.start;
            if line.len() > self.limits.line as usize {
                return self.fail(Error::LineTooLong(self.limits.line));
            }
            if !self.carry.is_empty() {
                self.carry
                    .extend_from_slice(&self.input.chunk[self.start..self.at]);
                self.start = self.at;
            }
            if self.first {
                self.first = false;
                if self.event().0[line.clone()].starts_with(b"\xef\xbb\xbf") {
                    line.start += 3;
                }
            }
            if line.is_empty() {
                match self.dispatch() {
                    Some(found) => return Some(Ok(found)),
                    None => continue,
                }
            }
            self.line = line.end + 1;
            let (event, fields) = self.event();
            fields.line(event, line);
            if fields.is_empty() {
                // Comments and fields that leave nothing need not be kept for the event.
                self.begin();
            } else if self.line > self.limits.event as usize {
                return self.fail(Error::EventTooLarge(self.limits.event));
            }
        }
    }

    /// The bytes of the event being read, as far as its lines are whole, and what they said.
    #[inline]
    fn event(&mut self) -> (&[u8], &mut Fields) {
        let event = if self.carry.is_empty() {
            &self.input.chunk[self.start..]
        } else {
            &self.carry
        };
        (event, &mut self.fields)
    }

    /// The LF of a CRLF, which ends no line of its own.
    fn skip_lf(&mut self) {
        self.at += 1;
        if self.line == 0 {
            self.start = self.at;
        } else {
            self.line += 1;
        }
    }

    /// An event begins here.
    #[inline]
    fn begin(&mut self) {
        self.start = self.at;
        self.line = 0;
        self.lf = true;
        self.fields.end();
        if !self.carry.is_empty() {
            self.carry.clear();
        }
    }

    /// Clears the buffers after an event that lay in them.
    #[cold]
    fn forget(&mut self) {
        self.given = false;
        self.carry.clear();
        if self.carry.capacity() > KEPT {
            self.carry = Vec::new();
        }
        self.fields.forget();
    }

    /// The chunk is read; what it holds of an unfinished event is kept.
    fn pause(&mut self) -> Option<Result<Found, Error>> {
        let line = self.carry.len() + self.input.chunk.len() - self.start - self.line;
        if line > self.limits.line as usize {
            return self.fail(Error::LineTooLong(self.limits.line));
        }
        let rest = &self.input.chunk[self.start..];
        if !rest.is_empty() {
            if self.carry.capacity() == 0 {
                // Nearly every event fits, so that this is the first and the last time.
                self.carry.reserve_exact(rest.len().max(KEPT));
            }
            self.carry.extend_from_slice(rest);
        }
        // The chunk stays for events found in it, until it is released or replaced.
        self.start = self.input.chunk.len();
        self.at = self.start;
        if self.input.exceeded {
            return self.fail(Error::StreamTooLong(self.limits.stream));
        }
        None
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Option<Result<Found, Error>> {
        self.over = true;
        self.input.exceeded = false;
        self.after_cr = false;
        self.at = self.input.chunk.len();
        self.begin();
        self.forget();
        Some(Err(error))
    }

    /// A blank line: the event, when it has data.
    #[inline]
    fn dispatch(&mut self) -> Option<Found> {
        let (data, name) = self.fields.end();
        let end = self.carry.len() + self.at - self.start;
        let carried = !self.carry.is_empty();
        let range = self.start..self.at;
        let (data, place, plain) = match data {
            Data::None => {
                self.begin();
                return None;
            }
            // Only `data: ` can take the first six bytes when no more than a line end and the
            // blank line follow.
            Data::One(data) => {
                let plain = self.lf && data.start == 6 && data.end as usize + 2 == end;
                let place = if carried {
                    Place::Carry
                } else {
                    Place::Chunk(range)
                };
                (data, place, plain)
            }
            Data::Joined => {
                let data = Span {
                    start: 0,
                    end: place(self.fields.joined.len()),
                };
                let range = if carried { 0..0 } else { range };
                (data, Place::Joined(range), false)
            }
        };
        self.start = self.at;
        self.line = 0;
        self.lf = true;
        self.given = !matches!(place, Place::Chunk(_));
        Some(Found {
            place,
            data,
            name,
            plain,
        })
    }
}

/// Where the data lie in an event of so many bytes that came as exactly `data: …`, LF, LF.
#[inline]
fn plain_data(event: usize) -> Span {
    Span {
        start: place(NAME.len()),
        end: place(event - 2),
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
