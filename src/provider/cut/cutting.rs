//! A text that comes in pieces.

use bytes::Bytes;

use super::Spellings;

/// Cuts the key out of a text in pieces, wherever they are cut: what may be the beginning of the key waits
/// for the next piece, unless a line ends there.
pub(in crate::provider) struct Cutting {
    key: Spellings,
    held: Bytes,
    /// Which of the key's bytes is looked for before the key. Events of one stream are much alike:
    /// once there is a byte that they do not have, a look for it is all that most of them need.
    probe: usize,
}

impl Cutting {
    pub(in crate::provider) const fn new(key: Spellings) -> Self {
        Self {
            key,
            held: Bytes::new(),
            probe: 0,
        }
    }

    /// Whether a piece goes out as it is and nothing waits, as is so of nearly all: whole lines without
    /// the key.
    #[inline]
    pub(in crate::provider) fn passes(&mut self, piece: &[u8]) -> bool {
        let lines = self.held.is_empty() && piece.ends_with(b"\n");
        lines && (self.lacks(piece) || !self.key.is_in(piece))
    }

    /// Whether a piece has not even one byte that the key has in every spelling.
    #[inline]
    fn lacks(&mut self, piece: &[u8]) -> bool {
        let Some(probe) = self.key.0.probes.get(self.probe) else {
            return false;
        };
        let lacks = memchr::memchr(probe.byte, piece).is_none();
        self.probe += usize::from(!lacks);
        lacks
    }

    /// What may go out now that this piece has come.
    pub(in crate::provider) fn push(&mut self, piece: Bytes) -> Bytes {
        let mut text = if self.held.is_empty() {
            piece
        } else {
            [&self.held[..], &piece].concat().into()
        };
        if text.ends_with(b"\n") {
            self.held = Bytes::new();
            return self.key.cut(text);
        }
        if self.key.is_in(&text) {
            let (text, held) = self.key.cut_open(&text);
            self.held = held;
            return text;
        }
        self.held = text.split_off(self.key.begun(&text));
        text
    }

    /// What waited for a piece that does not come.
    pub(in crate::provider) fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.held);
        (!rest.is_empty()).then(|| self.key.cut(rest))
    }

    pub(in crate::provider) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
