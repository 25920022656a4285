//! What escapes, numbers and literals of a window are malformed: a bit for each, or for where it shows.

use super::{
    bits::{Bits, NEAR, WINDOW, has_many},
    limit,
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

/// What is wrong with numbers and literals, which are what is bare.
#[inline(always)]
pub(super) fn wrong_words(near: &[u8; NEAR], bits: &Bits, bare: u64) -> u64 {
    let digits = bits.digits() & bare;
    let starts = bare & !(bare << 1);
    if digits == bare {
        // Nothing follows a zero.
        let second = starts << 1 & digits;
        return match second {
            0 => 0,
            _ => bits.is(b'0') << 1 & second,
        };
    }
    wrong_numbers(near, bits, bare, digits)
}

#[inline(never)]
fn wrong_numbers(near: &[u8; NEAR], bits: &Bits, bare: u64, digits: u64) -> u64 {
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
        return starts ^ digits & !(digits << 1) | (starts & zeros) << 1 & digits;
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
    // No number is too large in a window but by three digits of its exponent.
    if (exponent << 1 & digits) << 1 & digits != 0 {
        let spelled = Spelled {
            digits,
            zeros,
            whole,
            behind_whole,
            points,
            letter,
            signs,
            exponent,
        };
        wrong |= too_large(near, bits, spelled);
    }
    wrong
}

/// What numbers are made of. Of the exponents those that are not negative.
#[derive(Clone, Copy)]
struct Spelled {
    digits: u64,
    zeros: u64,
    /// Where the whole digits begin, and what stands behind them.
    whole: u64,
    behind_whole: u64,
    points: u64,
    letter: u64,
    /// The signs of exponents, and where their digits begin.
    signs: u64,
    exponent: u64,
}

/// Numbers that no double holds, by the third digit of their exponent. Nearly all that a double holds are told by
/// how many digits are before the point, and by the first few of all: what is left is read by itself.
#[inline(never)]
fn too_large(near: &[u8; NEAR], bits: &Bits, spelled: Spelled) -> u64 {
    let Spelled {
        digits,
        zeros,
        whole,
        behind_whole,
        points,
        letter,
        signs,
        exponent,
    } = spelled;
    let behind = |run: u64, from: u64| from.wrapping_add(run) & !run;
    let exponent_of = |letters: u64| letters << 1 & !signs | (letters << 1 & signs) << 1;
    // Whatever its exponent is, zero is zero.
    let behind_zero = (whole & zeros) << 1;
    let behind_more = behind(zeros, (behind_zero & points) << 1);
    let zero = (behind_zero | behind_more) & letter;
    let first = behind(zeros, exponent & !exponent_of(zero)) & digits;
    let third = (first << 1 & digits) << 1 & digits;
    // A window has not so many zeros that they would make up for four.
    let fourth = third << 1 & digits;

    let begins = (whole & !zeros | behind_more) & digits;
    // Below 10²⁰⁰ nothing is too large that a window has room for.
    let small = (first & bits.is(b'1')) << 2;
    let mut others = third & !(fourth >> 1) & !small;
    let mut wrong = fourth;
    let at_third = |places: u64| match places {
        0 => 0,
        _ => {
            let letters = behind(digits | points, places) & letter;
            behind(zeros, exponent_of(letters)) << 2
        }
    };
    let long = behind_whole & digits << 2 & digits << 3 & digits << 4 & digits << 5;
    let three_hundred = (first & bits.is(b'3')) << 2 & zeros << 1;
    let some = others & three_hundred & !at_third(long);
    if has_many(some, MANY) {
        let begun = Begun {
            begins,
            led: behind_zero & points,
            behind_whole,
        };
        others &= !(some & small_of_few(bits, digits, points, begun, at_third));
    }
    while others != 0 {
        let bit = others & others.wrapping_neg();
        others ^= bit;
        let before = bit - 1;
        let place = |marks: u64| (marks & before | 1).leading_zeros() ^ 63;
        let (begin, end) = (place(begins), place(behind_whole));
        let exponent = three_digits(near, bit.trailing_zeros() as usize);
        // Its digits before the point, less the zeros behind it.
        let power = (exponent + end + u32::from(end < begin)).wrapping_sub(begin);
        let (begin, point) = (begin as usize, place(behind_whole & points) as usize);
        let first = limit::few_digits(near, begin, point);
        let most = 308 + u32::from(first < limit::FIRST);
        let mut is_large = power > most;
        // One question, as each by itself could not be foreseen.
        if (first ^ limit::FIRST) | u64::from(power ^ 309) == 0 {
            is_large = !limit::is_below(near, begin, point);
        }
        wrong |= if is_large { bit } else { 0 };
    }
    wrong
}

/// More numbers of a window are told together, as far as that goes, before they are judged one by one.
const MANY: u32 = 3;

/// Where the digits of numbers begin, where those have their points that have nothing but a zero before it, and what
/// stands behind all digits before a point.
#[derive(Clone, Copy)]
struct Begun {
    begins: u64,
    led: u64,
    behind_whole: u64,
}

/// Of numbers that have four digits at most before their point, and an exponent from 300 to 309, by its third digit,
/// most that a double holds: by how many those digits are, by the last one of the exponent, and by the first few of all.
#[inline(always)]
fn small_of_few(
    bits: &Bits,
    digits: u64,
    points: u64,
    begun: Begun,
    at_third: impl Fn(u64) -> u64,
) -> u64 {
    let two = begun.behind_whole & digits << 2;
    let three = two & digits << 3;
    let four = three & digits << 4;
    let (two, three, four) = (at_third(two), at_third(three), at_third(four));
    let least = |digit| !bits.compare(digit).0;
    let (five, six, seven) = (least(b'5'), least(b'6'), least(b'7'));
    let (eight, nine) = (least(b'8'), least(b'9'));
    // By their digits before the point these are not below 10³⁰⁸, and these not below 10³⁰⁹.
    let more = eight | two & seven | three & six | four & five;
    let most = nine | two & eight | three & seven | four & six;
    // Those whose only digit before the point is a zero are below a tenth of that.
    let led = at_third(begun.led);
    let (more, most) = (more & !led | nine, most & !led);
    let below = below_largest(bits, begun.begins, digits, points);
    !most & (at_third(below) | !more)
}

/// A place in each number whose digits, wherever its point stands, are less than those of the least that is too
/// large, as far as five digits tell.
#[inline(always)]
fn below_largest(bits: &Bits, first: u64, digits: u64, points: u64) -> u64 {
    let mut state = (0, first);
    let mut goes_on = |digit: u8| {
        state = compared(bits, state, digit, digits, points);
        state.1 != 0
    };
    // No loop, so that the compiler knows each digit.
    let _ = goes_on(b'1') && goes_on(b'7') && goes_on(b'9') && goes_on(b'7') && goes_on(b'6');
    state.0
}

/// The same where places are compared with one digit.
#[inline(always)]
fn compared(
    bits: &Bits,
    (below, places): (u64, u64),
    digit: u8,
    digits: u64,
    points: u64,
) -> (u64, u64) {
    let (less, same) = bits.compare(digit);
    let below = below | places & (less | !digits);
    let next = (places & same & digits) << 1;
    (below, next & !points | (next & points) << 1)
}

/// The number that the three digits are which end at a place.
#[inline(always)]
fn three_digits(near: &[u8; NEAR], last: usize) -> u32 {
    let digits = near
        .get(last.wrapping_sub(3)..)
        .and_then(<[u8]>::first_chunk);
    let digits = u32::from_le_bytes(digits.copied().unwrap_or_default()) >> 8 & 0x0F_0F0F;
    // In the lowest byte the first two.
    let pairs = 10 * digits + (digits >> 8);
    10 * (pairs & 0xFF) + (digits >> 16)
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
