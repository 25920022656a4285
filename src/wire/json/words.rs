//! What escapes, numbers and literals of a window are malformed: a bit for each, or for where it shows.

use super::{
    bits::{Bits, WINDOW},
    digits,
};

/// What a backslash stands before that none stands before.
#[inline(always)]
pub(super) fn escaped(backslashes: u64) -> u64 {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    ((backslashes << 1 | ODD).wrapping_sub(backslashes) ^ ODD) ^ backslashes
}

/// What follows a backslash and may not.
#[inline(never)]
pub(super) fn wrong_escapes(bits: &Bits, escaped: u64) -> u64 {
    let is_short = |byte| {
        let is_mark = (byte == b'"') | (byte == b'\\') | (byte == b'/');
        let is_control = (byte == b'n') | (byte == b't') | (byte == b'r');
        is_mark | is_control | (byte == b'b') | (byte == b'f')
    };
    let others = escaped & !bits.of(is_short);
    if others == 0 {
        return 0;
    }
    let numbers = others & bits.of(|byte| byte == b'u');
    let is_digit =
        |byte: u8| (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6);
    let digits = bits.of(is_digit);
    let halves = numbers & bits.of(|byte| byte | 0x20 == b'd') >> 1;
    let is_first = |byte: u8| (byte & !1 == b'8') | (byte | 0x20 == b'a') | (byte | 0x20 == b'b');
    let first = halves & bits.of(is_first) >> 2;
    let second = halves & bits.of(|byte| (byte | 0x20).wrapping_sub(b'c') < 4) >> 2;
    let due = numbers << 1 | numbers << 2 | numbers << 3 | numbers << 4;
    others ^ numbers | due & !digits | first << 6 ^ second
}

/// What is wrong with numbers and literals, which are what is bare.
#[inline(always)]
pub(super) fn wrong_words(window: &[u8; WINDOW], bits: &Bits, bare: u64) -> u64 {
    let digits = bits.of(|byte| byte.wrapping_sub(b'0') < 10) & bare;
    let starts = bare & !(bare << 1);
    if digits == bare {
        // Nothing follows a zero.
        let second = starts << 1 & digits;
        return match second {
            0 => 0,
            _ => bits.of(|byte| byte == b'0') << 1 & second,
        };
    }
    wrong_numbers(window, bits, bare, digits)
}

#[inline(never)]
fn wrong_numbers(window: &[u8; WINDOW], bits: &Bits, bare: u64, digits: u64) -> u64 {
    let starts = bare & !(bare << 1);
    let minus = bits.of(|byte| byte == b'-') & bare;
    let letters = bits.of(|byte| byte | 0x20 == b'e') & bare;
    let others = starts & !digits & !minus;
    let literals = match others {
        0 => 0,
        _ => literals(bits, others, letters),
    };
    let rest = bare & !literals;
    let zeros = bits.of(|byte| byte == b'0') & rest;
    if rest == digits {
        let starts = starts & digits;
        return starts ^ digits & !(digits << 1) | (starts & zeros) << 1 & digits;
    }
    let letters = letters & rest;
    let plus = bits.of(|byte| byte == b'+') & rest;
    let points = bits.of(|byte| byte == b'.') & rest;

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
    // A window has no number that is too large but by three digits of its exponent.
    let third = (exponent << 1 & digits) << 1 & digits & !((signs & minus) << 3);
    if third != 0 {
        // Where those that are written with one digit before the point, or with two, have their exponent.
        let one = whole & digits & !(digits >> 1);
        let two = whole & digits & digits >> 1 & !(digits >> 2);
        let exponent_of = |behind_whole: u64| {
            let fraction = (behind_whole & points) << 1;
            let letter = (behind_whole | behind(fraction & digits)) & letter;
            letter << 1 & !signs | (letter << 1 & signs) << 1
        };
        let (first, second) = (exponent_of(one << 1), exponent_of(two << 2));
        let is = |from: u8, to: u8| bits.of(|byte| byte.wrapping_sub(from) <= to - from);
        let (up_to_6, seven, eight) = (is(b'0', b'6'), is(b'7', b'7'), is(b'8', b'8'));
        let three = is(b'3', b'3') & zeros >> 1;
        // Seventeen and nothing more is below 1.79 · 10³⁰⁸.
        let seventeen = two & is(b'1', b'1') & (up_to_6 | seven) >> 1;
        let last = (first | second) << 2 & up_to_6
            | first << 2 & (seven | one << 4 & is(b'1', b'1') << 4 & eight)
            | seventeen << 5 & seven;
        let small = (first | second) & is(b'0', b'2') | three & (last >> 2);
        // Any other is read by itself.
        let mut others = third & (!(small << 2) | digits >> 1);
        while others != 0 {
            let bit = others & others.wrapping_neg();
            let before = starts & (bit - 1);
            let start = 63 - before.leading_zeros() as usize;
            if digits::number(window, start).is_err() {
                wrong |= bit;
            }
            others ^= bit;
        }
    }
    wrong
}

/// The literals that begin at places where nothing else may.
#[inline(always)]
fn literals(bits: &Bits, starts: u64, e: u64) -> u64 {
    let [a, f, l, n] = *b"afln";
    let [r, s, t, u] = *b"rstu";
    let is = |letter| bits.of(|byte| byte == letter);
    let (e, l, u) = (e & bits.of(|byte| byte > b'a'), is(l), is(u));
    let null = starts & is(n) & u >> 1 & l >> 2 & l >> 3;
    let yes = starts & is(t) & is(r) >> 1 & u >> 2 & e >> 3;
    let no = starts & is(f) & is(a) >> 1 & l >> 2 & is(s) >> 3 & e >> 4;
    let four = null | yes | no;
    four | four << 1 | four << 2 | four << 3 | no << 4
}
