//! What escapes, numbers and literals of a window are malformed: a bit for each, or for where it shows.

use super::{
    bits::{Bits, NEAR, WINDOW, highest},
    digits,
};

/// What a backslash stands before that none stands before.
#[inline(always)]
pub(super) fn escaped(backslashes: u64) -> u64 {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    ((backslashes << 1 | ODD).wrapping_sub(backslashes) ^ ODD) ^ backslashes
}

/// The escapes of a window, by their letters.
pub(super) struct Escapes {
    /// What may not follow a backslash, or is no number.
    pub(super) wrong: u64,
    /// Those by number, and of these the first halves of pairs.
    numbers: u64,
    firsts: u64,
}

impl Escapes {
    /// Of the backslashes that begin escapes those that have not all of it in the window.
    #[inline(always)]
    pub(super) fn cut_off(&self, openings: u64) -> u64 {
        let last = |bytes: usize| u64::MAX << (WINDOW + 1 - bytes);
        openings & (last(2) | self.numbers >> 1 & last(6) | self.firsts >> 1 & last(12))
    }
}

/// Sorts what backslashes stand before. What is wrong with an escape is told at its letter; one that is not all
/// there may be told as well.
#[inline(never)]
pub(super) fn escapes(bits: &Bits, escaped: u64) -> Escapes {
    let is = |byte| bits.is(byte);
    // Two of the letters at a time differ in one bit.
    let letters = bits.like(b'b', !0x10) | bits.like(b'f', !0x08) | is(b't');
    let others = escaped & !(letters | is(b'"') | is(b'\\') | is(b'/'));
    if others == 0 {
        return Escapes {
            wrong: 0,
            numbers: 0,
            firsts: 0,
        };
    }
    let numbers = others & is(b'u');
    let (one, two, four) = (bits.like(1, 1), bits.like(2, 2), bits.like(4, 4));
    // Of the letters in lower and in upper case, those from the first to the sixth.
    let letters = bits.like(b'A', !0x27) & (one | two | four) & !(one & two & four);
    let digits = bits.digits() | letters;
    let all = digits >> 1 & digits >> 2 & digits >> 3 & digits >> 4;
    let wrong = others & !(numbers & all);
    // Halves of pairs are told apart by their second digits; with one below eight it is none.
    let halves = numbers & bits.like(b'D', !0x20) >> 1 & (letters | bits.like(8, 8)) >> 2;
    let second = halves & (letters & (four | one & two)) >> 2;
    let firsts = halves ^ second;
    let alone = firsts & !(second >> 6) | second & !(firsts << 6);
    Escapes {
        wrong: wrong | alone,
        numbers,
        firsts,
    }
}

/// The numbers and literals of a window.
pub(super) struct Words {
    /// What is wrong with them.
    pub(super) wrong: u64,
    /// The third digits of those exponents that have no minus.
    pub(super) huge: u64,
}

/// Judges numbers and literals, which are what is bare.
#[inline(always)]
pub(super) fn words(near: &[u8; NEAR], bits: &Bits, bare: u64) -> Words {
    let digits = bits.digits() & bare;
    let starts = bare & !(bare << 1);
    if digits == bare {
        // Nothing follows a zero.
        let second = starts << 1 & digits;
        let wrong = match second {
            0 => 0,
            _ => bits.is(b'0') << 1 & second,
        };
        return Words { wrong, huge: 0 };
    }
    all_words(near, bits, bare, digits)
}

#[inline(never)]
fn all_words(near: &[u8; NEAR], bits: &Bits, bare: u64, digits: u64) -> Words {
    let starts = bare & !(bare << 1);
    let minus = bits.is(b'-') & bare;
    let letters = bits.like(b'e', !0x20) & bare;
    let others = starts & !digits & !minus;
    let literals = match others {
        0 => 0,
        _ => literals(bits, others),
    };
    let rest = bare & !literals;
    let zeros = bits.is(b'0') & rest;
    if rest == digits {
        let starts = starts & digits;
        let wrong = starts ^ digits & !(digits << 1) | (starts & zeros) << 1 & digits;
        return Words { wrong, huge: 0 };
    }
    let letters = letters & rest;
    let plus = bits.is(b'+') & rest;
    let points = bits.is(b'.') & rest;

    // Each run of digits is due somewhere, and what comes behind it too.
    let behind = |run: u64| run.wrapping_add(digits) & !digits;
    let whole = starts & digits | (starts & minus) << 1;
    let behind_whole = behind(whole & digits);
    let point = behind_whole & points;
    let fraction = point << 1;
    let letter = (behind_whole | behind(fraction & digits)) & letters;
    let signs = letter << 1 & (minus | plus);
    let exponent = letter << 1 & !signs | signs << 1;

    let due = whole | fraction | exponent;
    let mut wrong = due ^ digits & !(digits << 1);
    wrong |= (starts & minus | point | letter | signs) ^ rest & !digits;
    wrong |= (whole & zeros) << 1 & digits;
    let exponent = exponent & !((signs & minus) << 1);
    // No number of a window is too large but by three digits of its exponent.
    let huge = (exponent << 1 & digits) << 1 & digits;
    if huge != 0 {
        wrong |= too_large(near, whole, huge);
    }
    Words { wrong, huge }
}

/// Those huge numbers that no double holds, where it is known at which places whole digits begin. So few may be huge
/// that each is read by itself.
#[inline(never)]
fn too_large(near: &[u8; NEAR], whole: u64, huge: u64) -> u64 {
    let (mut left, mut wrong) = (huge, 0);
    while left != 0 {
        let third = left & left.wrapping_neg();
        left ^= third;
        let begin = highest(whole & (third - 1)).trailing_zeros();
        wrong |= match digits::is_double(near, begin as usize) {
            true => 0,
            false => third,
        };
    }
    wrong
}

/// The literals that begin at places where nothing else may.
#[inline(always)]
fn literals(bits: &Bits, starts: u64) -> u64 {
    let is = |letter| bits.is(letter);
    let (e, l, u) = (is(b'e'), is(b'l'), is(b'u'));
    let null = starts & is(b'n') & u >> 1 & l >> 2 & l >> 3;
    let yes = starts & is(b't') & is(b'r') >> 1 & u >> 2 & e >> 3;
    let no = starts & is(b'f') & is(b'a') >> 1 & l >> 2 & is(b's') >> 3 & e >> 4;
    let four = null | yes | no;
    four | four << 1 | four << 2 | four << 3 | no << 4
}
