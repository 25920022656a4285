//! The bytes of a window of text sorted by what they are: a bit for each, the lowest for the first.

use std::hint::black_box;

/// So many bytes are looked at together.
pub(super) const WINDOW: usize = 64;
const BLOCK: usize = 16;
/// A window, and what may be read of what comes behind it.
pub(super) const NEAR: usize = WINDOW + BLOCK;

/// A window of text by the bits of its bytes: the lowest bit of each, the next one of each, and so on. What is
/// so of each byte is then found out in as many steps as for one.
pub(super) struct Bits([u64; 8]);

impl Bits {
    #[inline(always)]
    pub(super) fn new(window: &[u8; WINDOW]) -> Option<Self> {
        // The hints keep the compiler from making one shuffle of the three, which would be dearer, and from
        // reading more at once than was written; nothing depends on them.
        let once = interleaved(window)?;
        let twice = interleaved(black_box(&once[..]))?;
        let rows = interleaved(black_box(&twice[..]))?;
        let rows = black_box(&rows[..]).first_chunk::<WINDOW>()?;
        let row = |at: usize| {
            let row = rows[8 * at..].first_chunk();
            u64::from_le_bytes(*row.unwrap_or(&[0; 8]))
        };
        // A square of eight by eight bytes with its rows for its columns; now the same with the bits of each eight.
        // Each by itself: arrays of them would go through memory.
        let (a, e) = swapped::<4>(row(0), row(4));
        let (b, f) = swapped::<4>(row(1), row(5));
        let (c, g) = swapped::<4>(row(2), row(6));
        let (d, h) = swapped::<4>(row(3), row(7));
        let (a, c) = swapped::<2>(a, c);
        let (b, d) = swapped::<2>(b, d);
        let (e, g) = swapped::<2>(e, g);
        let (f, h) = swapped::<2>(f, h);
        let (a, b) = swapped::<1>(a, b);
        let (c, d) = swapped::<1>(c, d);
        let (e, f) = swapped::<1>(e, f);
        let (g, h) = swapped::<1>(g, h);
        Some(Self([a, b, c, d, e, f, g, h]))
    }

    /// A bit for each byte that is this one.
    #[inline(always)]
    pub(super) fn is(&self, byte: u8) -> u64 {
        self.like(byte, 0xFF)
    }

    /// The same where only some bits of the byte are asked for.
    #[inline(always)]
    pub(super) fn like(&self, byte: u8, asked: u8) -> u64 {
        // From the highest on, which those that are asked for together have in common.
        let mut all = u64::MAX;
        for bit in (0..8).rev() {
            if asked >> bit & 1 == 1 {
                let set = self.0[bit];
                all &= if byte >> bit & 1 == 1 { set } else { !set };
            }
        }
        all
    }

    /// A bit for each decimal digit.
    #[inline(always)]
    pub(super) fn digits(&self) -> u64 {
        self.like(b'0', !7) | self.like(b'8', !1)
    }
}

/// Rows of bits so far from one another, with what stands in the upper columns of the lower in the lower ones
/// of the upper, and the other way round: columns as far from one another in each square of twice the size.
#[inline(always)]
fn swapped<const FAR: u32>(low: u64, high: u64) -> (u64, u64) {
    let mask = match FAR {
        4 => 0x0F0F_0F0F_0F0F_0F0F,
        2 => 0x3333_3333_3333_3333,
        _ => 0x5555_5555_5555_5555,
    };
    let others = (low >> FAR ^ high) & mask;
    (low ^ others << FAR, high ^ others)
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

/// Whether an odd number of bits is set up to each place, it included.
#[inline(always)]
pub(super) fn turned(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Whether at least so many bits are set.
#[inline(always)]
pub(super) fn has_many(mut bits: u64, least: u32) -> bool {
    for _ in 1..least {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}

/// The highest bit alone.
#[inline(always)]
pub(super) fn highest(bits: u64) -> u64 {
    (1_u64 << 63).checked_shr(bits.leading_zeros()).unwrap_or(0)
}

/// All bits up to the highest, it included.
#[inline(always)]
pub(super) fn up_to(bits: u64) -> u64 {
    u64::MAX.checked_shr(bits.leading_zeros()).unwrap_or(0)
}

/// All bits below the lowest.
#[inline(always)]
pub(super) fn until(bits: u64) -> u64 {
    (bits & bits.wrapping_neg()).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_bit_wherever_it_stands() {
        for shift in 0..4 {
            let window: [u8; WINDOW] = std::array::from_fn(|at| (at * 37 + shift * 64) as u8);
            let bits = Bits::new(&window).expect("a window");
            let of = |is: &dyn Fn(u8) -> bool| {
                let marks = window.iter().rev();
                marks.fold(0, |marks, byte| marks << 1 | u64::from(is(*byte)))
            };
            for byte in 0..=u8::MAX {
                assert_eq!(bits.is(byte), of(&|here| here == byte), "{byte}");
                let asked = byte.rotate_left(3) ^ 0x5A;
                let like = of(&|here| (here ^ byte) & asked == 0);
                assert_eq!(bits.like(byte, asked), like, "{byte}");
            }
            let digits = of(&|here| here.is_ascii_digit());
            assert_eq!(bits.digits(), digits);
        }
    }
}
