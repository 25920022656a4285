//! Keys of a window that may mean one of a few names, however they are spelled.

use super::{Word, bits::Bits};

/// Small letters are capital ones in ASCII with one more bit.
const CASE: u8 = 0x20;

/// The beginnings of at most four names: of each its first letter and its length.
pub(crate) const fn beginnings(names: &[Word]) -> u64 {
    assert!(names.len() <= 4);
    let (mut all, mut at) = (0, 0);
    while at < names.len() {
        let Word { low, high } = names[at];
        assert!(high == 0);
        let length = (64 - low.leading_zeros() as u64).div_ceil(8);
        all = all << 16 | length << 8 | low & 0xFF;
        at += 1;
    }
    all
}

/// Keys that may mean a name with one of the beginnings, by a bit somewhere: those of its length that begin with its
/// letter, or have an escape then, and those that begin with an escape of the letter.
#[inline(always)]
pub(super) fn like_names<const BEGINNINGS: u64>(
    bits: &Bits,
    keys: u64,
    ends: u64,
    within: u64,
) -> u64 {
    let first = keys << 1;
    let backslashes = bits.is(b'\\');
    let plain = within & !backslashes;
    let escape = (first & backslashes) << 1 & bits.is(b'u');
    let digits = ((escape << 1 & bits.is(b'0')) << 1 & bits.is(b'0')) << 1;
    let mut alike = 0;
    let mut names = BEGINNINGS;
    // No loop, so that the compiler knows each letter.
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike | like_name(bits, names as u16, first, ends, plain, digits)
}

/// The same of one of them.
#[inline(always)]
fn like_name(bits: &Bits, name: u16, first: u64, ends: u64, plain: u64, digits: u64) -> u64 {
    let [letter, length] = name.to_le_bytes();
    if length == 0 {
        return 0;
    }
    let begins = first & bits.is(letter);
    let escaped = begins.wrapping_add(plain) & !plain & bits.is(b'\\');
    let low = b"0123456789abcdef"[usize::from(letter & 0xF)];
    let case = if low < b'a' { 0 } else { CASE };
    let by_number = (digits & bits.is(b'0' | letter >> 4)) << 1 & bits.like(low, !case);
    begins & ends >> length | escaped | by_number
}
