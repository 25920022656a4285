//! The bytes of a window of text sorted by what they are: a bit for each, the lowest for the first.

use std::hint::black_box;

/// So many bytes are looked at together.
pub(super) const WINDOW: usize = 64;
const BLOCK: usize = 16;

/// A window of text whose bytes stand as those of a square of eight by eight with its rows for its columns:
/// what is so of each byte of a row becomes one bit of each byte of a word.
pub(super) struct Bits([u8; WINDOW]);

impl Bits {
    #[inline(always)]
    pub(super) fn new(window: &[u8; WINDOW]) -> Option<Self> {
        // The hints keep the compiler from making one shuffle of the three, which would be dearer, and from
        // reading more at once than was written; nothing depends on them.
        let once = interleaved(window)?;
        let twice = interleaved(black_box(&once[..]))?;
        interleaved(black_box(&twice[..])).map(Self)
    }

    /// A bit for each byte of which something is so.
    #[inline(always)]
    pub(super) fn of(&self, is: impl Fn(u8) -> bool) -> u64 {
        let (bytes, mut marks) = (&self.0, [0; WINDOW]);
        for at in 0..WINDOW {
            marks[at] = if is(bytes[at]) { 1 << (at / 8) } else { 0 };
        }
        let mut all = [0; BLOCK];
        for at in 0..BLOCK {
            all[at] = marks[at] | marks[at + 16] | marks[at + 32] | marks[at + 48];
        }
        let (low, high) = super::scan::halves(all);
        low | high
    }
}

/// The first half of all bytes and the second, in turns.
#[inline(always)]
fn interleaved(bytes: &[u8]) -> Option<[u8; WINDOW]> {
    let (a, bytes) = bytes.split_first_chunk()?;
    let (b, bytes) = bytes.split_first_chunk()?;
    let (c, bytes) = bytes.split_first_chunk()?;
    let (d, _) = bytes.split_first_chunk()?;
    let mut both = [0; WINDOW];
    let (first, second) = both.split_at_mut(2 * BLOCK);
    interleave(a, c, first.first_chunk_mut()?);
    interleave(b, d, second.first_chunk_mut()?);
    Some(both)
}

#[inline(always)]
fn interleave(a: &[u8; BLOCK], b: &[u8; BLOCK], both: &mut [u8; 2 * BLOCK]) {
    for at in 0..BLOCK / 2 {
        (both[2 * at], both[2 * at + 1]) = (a[at], b[at]);
        (both[BLOCK + 2 * at], both[BLOCK + 2 * at + 1]) = (a[BLOCK / 2 + at], b[BLOCK / 2 + at]);
    }
}
