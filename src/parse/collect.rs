//! Joining the pieces of a body within a bound of memory.

use bytes::Bytes;

/// What is collected before it is known how large the body is going to be, in bytes.
const SMALL: usize = 64 << 10;

/// More came than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The pieces so far.
///
/// Beside the pieces that the caller holds it never has more than the limit and 64 KiB: it grows
/// once, from at most 64 KiB to the whole size that was announced, or to the limit when none was. A
/// buffer that doubled would for a moment need three times what it holds. Pages that nothing is
/// written to cost nothing where memory is given out when touched.
#[derive(Debug)]
pub(super) struct Collector {
    /// One piece is the whole body, most often: it is kept as it is.
    first: Bytes,
    joined: Vec<u8>,
    limit: usize,
    /// How much room the whole body will take.
    room: usize,
}

impl Collector {
    /// Takes at most `limit` bytes, of which so many are announced.
    pub(super) fn new(limit: usize, announced: Option<u64>) -> Self {
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
        Self {
            first: Bytes::new(),
            joined: Vec::new(),
            limit,
            room: announced.map_or(limit, |bytes| bytes.min(limit)),
        }
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    /// Whether so many more bytes may come.
    fn has_room(&self, more: usize) -> bool {
        self.limit - self.len() >= more
    }

    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), TooLarge> {
        if !self.has_room(piece.len()) {
            return Err(TooLarge);
        }
        if piece.is_empty() {
            return Ok(());
        }
        if self.len() == 0 {
            self.first = piece;
            return Ok(());
        }
        self.extend(&piece)
    }

    /// The same for a piece that has to be copied in any case.
    pub(super) fn extend(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        if !self.has_room(piece.len()) {
            return Err(TooLarge);
        }
        let first = std::mem::take(&mut self.first);
        self.reserve(first.len() + piece.len());
        self.joined.extend_from_slice(&first);
        self.joined.extend_from_slice(piece);
        Ok(())
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.joined.len() + more;
        if needed <= self.joined.capacity() {
            return;
        }
        let whole = match self.room {
            room if needed <= SMALL => room.min(SMALL),
            room if needed <= room => room,
            // More than announced, which a transport does not let happen.
            _ => self.limit,
        };
        self.joined
            .reserve_exact(whole.max(needed) - self.joined.len());
    }

    pub(super) fn take(&mut self) -> Bytes {
        if self.joined.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            Bytes::from(std::mem::take(&mut self.joined))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(limit: usize, announced: Option<u64>, pieces: &[&'static [u8]]) -> Option<Bytes> {
        let mut collector = Collector::new(limit, announced);
        for piece in pieces {
            collector.push(Bytes::from_static(piece)).ok()?;
        }
        Some(collector.take())
    }

    #[test]
    fn pieces_are_joined_up_to_the_limit() {
        for announced in [None, Some(0), Some(4), Some(u64::MAX)] {
            let collect = |pieces| collect(4, announced, pieces);
            assert_eq!(collect(&[]), Some(Bytes::new()));
            assert_eq!(
                collect(&[b"", b"ab", b"", b"c", b"d", b""]),
                Some("abcd".into())
            );
            assert_eq!(collect(&[b"abcd", b""]), Some("abcd".into()));
            assert_eq!(collect(&[b"abcde"]), None);
            assert_eq!(collect(&[b"abcd", b"e"]), None);
        }
        assert_eq!(collect(0, None, &[b""]), Some(Bytes::new()));
        assert_eq!(collect(0, None, &[b"a"]), None);
    }

    #[test]
    fn one_piece_is_kept_as_it_is() {
        let piece: &'static [u8] = b"abc";
        let whole = collect(9, None, &[b"", piece, b""]).expect("small");
        assert_eq!(whole.as_ptr(), piece.as_ptr());
    }
}
