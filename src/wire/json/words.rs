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

/// What follows a backslash and may not, and which letters of escapes by number are those of the first half of a
/// pair. What is wrong with an escape is told at its letter.
#[inline(never)]
pub(super) fn wrong_escapes(bits: &Bits, escaped: u64) -> (u64, u64) {
    let is = |byte| bits.is(byte);
    // Two of the letters at a time differ in one bit.
    let letters = bits.like(b'b', !0x10) | bits.like(b'f', !0x08) | is(b't');
    let others = escaped & !(letters | is(b'"') | is(b'\\') | is(b'/'));
    if others == 0 {
        return (0, 0);
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
    let first = halves ^ second;
    let alone = first & !(second >> 6) | second & !(first << 6);
    (wrong | alone, first)
}

/// What is wrong with numbers and literals, which are what is bare.
#[inline(always)]
pub(super) fn wrong_words(window: &[u8; WINDOW], bits: &Bits, bare: u64) -> u64 {
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
    wrong_numbers(window, bits, bare, digits)
}

#[inline(never)]
fn wrong_numbers(window: &[u8; WINDOW], bits: &Bits, bare: u64, digits: u64) -> u64 {
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
        wrong |= too_large(window, bits, spelled);
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
fn too_large(window: &[u8; WINDOW], bits: &Bits, spelled: Spelled) -> u64 {
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

    // What is known of a number at some place, at the third digit of its exponent.
    let at_third = |places: u64| {
        if places == 0 {
            return 0;
        }
        let letters = behind(digits | points, places) & letter;
        behind(zeros, exponent_of(letters)) << 2
    };
    let two = behind_whole & digits << 2;
    let three = two & digits << 3;
    let four = three & digits << 4;
    let many = at_third(four & digits << 5);
    let (two, three, four) = (at_third(two), at_third(three), at_third(four));
    let least = |digit| !bits.compare(digit).0;
    let (five, six, seven) = (least(b'5'), least(b'6'), least(b'7'));
    let (eight, nine) = (least(b'8'), least(b'9'));
    // By their digits before the point these are not below 10³⁰⁸, and these not below 10³⁰⁹.
    let more = eight | two & seven | three & six | four & five;
    let most = nine | two & eight | three & seven | four & six;
    // Those whose only digit before the point is a zero are below a tenth of that.
    let led = at_third(behind_zero & points);
    let (more, most) = (more & !led | nine, most & !led);
    let begins = (whole & !zeros | behind_more) & digits;
    let (below, same) = below_largest(bits, begins, digits, points);
    let is_below = at_third(below);
    let three_hundred = (first & bits.is(b'3')) << 2 & zeros << 1;
    let less = (first & (bits.is(b'1') | bits.is(b'2'))) << 2;
    let small = less | three_hundred & !most & (is_below | !more);
    let mut others = third & !(fourth >> 1) & !(small & !many);
    let mut wrong = fourth;
    while others != 0 {
        let bit = others & others.wrapping_neg();
        others ^= bit;
        let before = bit - 1;
        let place = |marks: u64| (marks & before | 1).leading_zeros() ^ 63;
        let (begin, point) = (place(begins), place(behind_whole));
        let third = bit.trailing_zeros() as usize;
        let digit = |at: usize| u32::from(window[at % WINDOW] & 0xF);
        let exponent = 100 * digit(third - 2) + 10 * digit(third - 1) + digit(third);
        // Its digits before the point, less the zeros behind it.
        let power = (exponent + point + u32::from(point < begin)).wrapping_sub(begin);
        let has = |marks: u64| (marks & before) >> begin != 0;
        let is_large = if power == 309 && has(same) {
            let digits = |from: u32, to: u32| window.get(from as usize..to as usize);
            let end = place(letter);
            let (whole, rest) = match point > begin {
                true => (digits(begin, point), digits(point + 1, end)),
                false => (digits(begin, end), None),
            };
            digits::are_too_large(whole.unwrap_or_default(), rest.unwrap_or_default())
        } else {
            power > 308 + u32::from(has(below))
        };
        wrong |= if is_large { bit } else { 0 };
    }
    wrong
}

/// A place in each number whose digits, wherever its point stands, are less than those of the least that is too
/// large; and one in each that begins as that does.
#[inline(always)]
fn below_largest(bits: &Bits, first: u64, digits: u64, points: u64) -> (u64, u64) {
    let mut state = (0, first);
    let mut goes_on = |digit: u8| {
        state = compared(bits, state, digit, digits, points);
        state.1 != 0
    };
    // No loop, so that the compiler knows each digit.
    let _ = goes_on(b'1') && goes_on(b'7') && goes_on(b'9') && goes_on(b'7') && goes_on(b'6');
    state
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
