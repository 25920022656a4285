//! What lies ahead, for a reader that knows the like of the next event and passes it unread.

use bytes::Bytes;

use super::Decoder;

/// What a decoder will read next, where nothing is half read.
pub(crate) struct Ahead<'a> {
    pub(crate) chunk: &'a Bytes,
    pub(crate) at: usize,
    /// How many bytes an event may have that comes as exactly `data: …`, LF, LF.
    pub(crate) longest: usize,
}

impl Decoder {
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
}
