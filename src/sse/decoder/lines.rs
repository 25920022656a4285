//! Reading: the next event, found as a whole or line by line.

use std::ops::Range;

use memchr::memchr2;

use super::{
    Decoder, Found, KEPT, NAME, Place,
    fields::{Data, Fields},
    place,
};
use crate::sse::{event::Span, limits::Error};

/// What stands at the beginning of an event.
pub(super) enum Begins {
    /// All of it, from `data: ` to its blank line, here in the chunk.
    Whole(Range<usize>),
    /// What `carry` lacks of such an event: its one line's rest and its blank line.
    Rest(Range<usize>),
    /// The end of the chunk.
    Nothing,
    /// Something else; the offset of the first line's end where that has been looked for.
    Lines(Option<usize>),
}

/// Where the first line ends.
#[inline]
fn line_end(text: &[u8]) -> Option<usize> {
    let end = memchr2(b'\n', b'\r', text);
    #[cfg(test)]
    super::tests::SCANNED.set(super::tests::SCANNED.get() + end.map_or(text.len(), |end| end + 1));
    end
}

impl Decoder {
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
    pub(super) fn begins(&mut self) -> Begins {
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
    pub(super) fn lines(&mut self, mut known: Option<usize>) -> Option<Result<Found, Error>> {
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
    pub(super) fn forget(&mut self) {
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
pub(super) fn plain_data(event: usize) -> Span {
    Span {
        start: place(NAME.len()),
        end: place(event - 2),
    }
}
