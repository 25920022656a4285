//! Where numbers end. Plain functions over the text and a place in it.

use std::cmp::Ordering;

use super::{
    FaultKind,
    fault::{Stop, stop, unexpected},
    limit,
};

/// What a byte is to a number that has come so far: its end, or one of these.
const NEXT: [u8; 256] = {
    let mut table = [0; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    table[b'.' as usize] = POINT;
    table[b'e' as usize] = LETTER;
    table[b'E' as usize] = LETTER;
    table
};
const DIGIT: u8 = 1;
const POINT: u8 = 2;
const LETTER: u8 = 3;

#[inline(always)]
fn next(text: &[u8], at: usize) -> u8 {
    NEXT[usize::from(byte(text, at))]
}

#[inline(always)]
pub(super) fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// A mark at the end of a number that is huge: one with an exponent of three digits or more and no minus, or with so many
/// digits that it is not below 10³⁰⁸ by their number alone. Only such a number may have to be compared with the largest
/// double. No text is so long that anything stands at a place with this mark.
const HUGE: usize = 1 << (usize::BITS - 1);

/// Passes a number that a double can hold, of which so many more may be huge.
#[inline(always)]
pub(super) fn number(text: &[u8], start: usize, huge: &mut u32) -> Result<usize, Stop> {
    noted(text, marked_number(text, start)?, huge)
}

/// The same from behind its sign, where its first digit is known.
#[inline(always)]
pub(super) fn unsigned(
    text: &[u8],
    whole: usize,
    first: u8,
    huge: &mut u32,
) -> Result<usize, Stop> {
    noted(text, marked_unsigned(text, whole, first)?, huge)
}

/// The end of a number without the mark, once that has been noted.
#[inline(always)]
fn noted(text: &[u8], end: usize, huge: &mut u32) -> Result<usize, Stop> {
    match end & HUGE {
        0 => Ok(end),
        _ => note(text, end, huge),
    }
}

/// Whether a place is the end of a huge number, with the mark.
#[inline(always)]
pub(super) fn is_huge(end: usize) -> bool {
    end & HUGE != 0
}

/// Notes a huge number: where it ends.
#[cold]
#[inline(never)]
pub(super) fn note(text: &[u8], end: usize, huge: &mut u32) -> Result<usize, Stop> {
    let end = end & !HUGE;
    match huge.checked_sub(1) {
        Some(left) => *huge = left,
        None => return Err(stop(begin_of(text, end), FaultKind::TooManyHuge)),
    }
    Ok(end)
}

/// Where the number begins that ends at a place.
fn begin_of(text: &[u8], end: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    let before = text.get(..end).unwrap_or_default();
    end - before.iter().rev().take_while(|byte| is_part(byte)).count()
}

/// Passes a number that a double can hold: its end, marked where it is huge.
#[inline(always)]
pub(super) fn marked_number(text: &[u8], start: usize) -> Result<usize, Stop> {
    let whole = start + usize::from(byte(text, start) == b'-');
    match byte(text, whole) {
        first @ b'0'..=b'9' => marked_unsigned(text, whole, first),
        _ => Err(fault(text, whole)),
    }
}

/// The same from behind its sign, where its first digit is known. What is of one digit or two needs no
/// call, and what needs one is given to where it goes on: a text may be made of nothing but short numbers.
#[inline(always)]
pub(super) fn marked_unsigned(text: &[u8], whole: usize, first: u8) -> Result<usize, Stop> {
    let at = whole + 1;
    let kind = next(text, at);
    if kind == 0 {
        return Ok(at);
    }
    let end = match kind {
        LETTER => exponent(text, whole, at, at),
        POINT => fraction(text, whole, at),
        // Nothing but these two follows a zero.
        _ if first == b'0' => return Ok(at),
        _ => match next(text, at + 1) {
            0 => return Ok(at + 1),
            LETTER => exponent(text, whole, at + 1, at + 1),
            _ => more_digits(text, whole, at),
        },
    };
    if end == 0 {
        return Err(fault(text, whole));
    }
    Ok(end)
}

/// Whether a double can hold the number whose digits begin at a place.
#[inline(never)]
pub(super) fn is_double(text: &[u8], whole: usize) -> bool {
    marked_unsigned(text, whole, byte(text, whole)).is_ok()
}

/// The end of a number whose second digit stands at a place; 0 where there is none, or none that a double
/// can hold. Each of these functions ends in the call of the next, so that none has anything to keep.
#[inline(never)]
fn more_digits(text: &[u8], whole: usize, mut at: usize) -> usize {
    for _ in 0..6 {
        at += 1;
        match next(text, at) {
            DIGIT => {}
            LETTER => return exponent(text, whole, at, at),
            POINT => return fraction(text, whole, at),
            _ => return at,
        }
    }
    many_digits(text, whole, at)
}

#[inline(never)]
fn many_digits(text: &[u8], whole: usize, at: usize) -> usize {
    let at = digits(text, at);
    match next(text, at) {
        LETTER => exponent(text, whole, at, at),
        POINT => fraction(text, whole, at),
        // Below 10³⁰⁸ nothing overflows.
        _ => below(text, whole, at, at - whole, at),
    }
}

/// The same where the point stands at a place.
#[inline(never)]
fn fraction(text: &[u8], whole: usize, point: usize) -> usize {
    let mut end = point + 1;
    if next(text, end) != DIGIT {
        return 0;
    }
    loop {
        end += 1;
        match next(text, end) {
            DIGIT if end - point < 9 => {}
            DIGIT => return long_fraction(text, whole, point, end),
            LETTER => return exponent(text, whole, point, end),
            _ => return below(text, whole, end, point - whole, end),
        }
    }
}

#[inline(never)]
fn long_fraction(text: &[u8], whole: usize, point: usize, at: usize) -> usize {
    let end = digits(text, at);
    match next(text, end) {
        LETTER => exponent(text, whole, point, end),
        _ => below(text, whole, end, point - whole, end),
    }
}

/// The same where the digits have their point there and end with the letter there.
#[inline(never)]
fn exponent(text: &[u8], whole: usize, point: usize, letter: usize) -> usize {
    let digit = |at: usize| usize::from(byte(text, at).wrapping_sub(b'0'));
    let mut at = letter + 1;
    let mut value = digit(at);
    if value > 9 {
        return signed_exponent(text, whole, point, letter);
    }
    at += 1;
    for _ in 0..2 {
        let next = digit(at);
        if next > 9 {
            return below(text, whole, letter, point - whole + value, at);
        }
        value = value * 10 + next;
        at += 1;
    }
    (value, at) = more_of_exponent(text, value, at);
    below(text, whole, letter, point - whole + value, at | HUGE)
}

#[inline(never)]
fn signed_exponent(text: &[u8], whole: usize, point: usize, letter: usize) -> usize {
    let sign = byte(text, letter + 1);
    let at = letter + 2;
    let first = byte(text, at);
    if !matches!(sign, b'-' | b'+') || !first.is_ascii_digit() {
        return 0;
    }
    let (value, at) = more_of_exponent(text, usize::from(first - b'0'), at + 1);
    let power = point - whole;
    match sign {
        b'-' => below(text, whole, letter, power.saturating_sub(value), at),
        _ => {
            let huge = if at - letter > 4 { HUGE } else { 0 };
            below(text, whole, letter, power + value, at | huge)
        }
    }
}

#[inline(always)]
fn more_of_exponent(text: &[u8], mut value: usize, mut at: usize) -> (usize, usize) {
    // Together with the three that may have come before, these fit even into 32 bits.
    for _ in 0..5 {
        let digit = byte(text, at).wrapping_sub(b'0');
        if digit > 9 {
            return (value, at);
        }
        value = value * 10 + usize::from(digit);
        at += 1;
    }
    long_exponent(text, value, at)
}

#[inline(never)]
fn long_exponent(text: &[u8], mut value: usize, mut at: usize) -> (usize, usize) {
    if value == 0 {
        at = behind_zeros_at(text, at);
    }
    loop {
        let digit = byte(text, at).wrapping_sub(b'0');
        if digit > 9 {
            return (value, at);
        }
        // What is larger than the longest text could make up for need not be exact; ten times as much, and
        // that text's length, is still a number.
        if value >= usize::MAX / 32 {
            return (value, digits(text, at));
        }
        value = value * 10 + usize::from(digit);
        at += 1;
    }
}

/// The end of a number, which is `at`, or 0 where no double holds it: its digits begin and end at these
/// places, and it is below ten to this power.
#[inline(always)]
fn below(text: &[u8], whole: usize, end: usize, power: usize, at: usize) -> usize {
    if power <= 308 {
        return at;
    }
    let at = at | HUGE;
    // 10³⁰⁸ itself, and what begins with its digit alone, is below the largest double.
    match byte(text, whole) {
        b'1' if power == 309 && end - whole == 1 => at,
        b'1' if power == 309 => below_limit(text, whole, end, at),
        b'0' => behind_zeros(text, whole, end, power, at),
        _ => 0,
    }
}

/// The same of a number that has as many digits before its point as the largest double, or would have if it were
/// spelled out.
#[inline(never)]
fn below_limit(text: &[u8], whole: usize, end: usize, at: usize) -> usize {
    // Most are told from it by their second digit or their third.
    let mut place = whole + 1;
    for most in *b"79" {
        place += usize::from(byte(text, place) == b'.');
        if place >= end || byte(text, place) < most {
            return at;
        }
        if byte(text, place) > most {
            return 0;
        }
        place += 1;
    }
    let digits = text.get(whole..end).unwrap_or_default();
    let point = digits.iter().position(|byte| *byte == b'.');
    let point = whole + point.unwrap_or(0);
    // They end with their letter, if they have one.
    let digits = if at > end { text } else { &text[..end] };
    let first = limit::few_digits(digits, whole, point);
    let is_below = match first.cmp(&limit::FIRST) {
        Ordering::Less => true,
        Ordering::Equal => limit::is_below(digits, whole, point),
        Ordering::Greater => false,
    };
    if is_below { at } else { 0 }
}

/// The same of a number that begins with zeros.
#[inline(never)]
fn behind_zeros(text: &[u8], mut whole: usize, end: usize, mut power: usize, at: usize) -> usize {
    while whole < end {
        let zeros = behind_zeros_at(text, whole) - whole;
        if zeros > 0 {
            // No more than are there: what they leave of the power is below it in any case.
            power = power.saturating_sub(zeros);
            if power <= 308 {
                return at;
            }
            whole += zeros;
            continue;
        }
        match byte(text, whole) {
            b'.' => {}
            b'1' if power == 309 => return below_limit(text, whole, end, at),
            _ => return 0,
        }
        whole += 1;
    }
    at
}

/// The place behind the zeros that begin here.
pub(super) fn behind_zeros_at(text: &[u8], start: usize) -> usize {
    let mut rest = text.get(start..).unwrap_or_default();
    while let Some((b"00000000", behind)) = rest.split_first_chunk() {
        rest = behind;
    }
    while let [b'0', behind @ ..] = rest {
        rest = behind;
    }
    start.max(text.len() - rest.len())
}

/// What is wrong with a number that is due at a place, behind its sign if it has one.
#[cold]
#[inline(never)]
fn fault(text: &[u8], whole: usize) -> Stop {
    let mut at = whole;
    let first = byte(text, at);
    if !first.is_ascii_digit() {
        return unexpected(text, at);
    }
    at = match first {
        b'0' => at + 1,
        _ => digits(text, at),
    };
    if byte(text, at) == b'.' {
        let end = digits(text, at + 1);
        if end == at + 1 {
            return unexpected(text, end);
        }
        at = end;
    }
    if let b'e' | b'E' = byte(text, at) {
        at += 1;
        at += usize::from(matches!(byte(text, at), b'-' | b'+'));
        if !byte(text, at).is_ascii_digit() {
            return unexpected(text, at);
        }
    }
    stop(begin(text, whole), FaultKind::Range)
}

/// Where a number begins whose digits begin at a place.
fn begin(text: &[u8], whole: usize) -> usize {
    let signed = whole > 0 && text[whole - 1] == b'-';
    whole - usize::from(signed)
}

/// The place behind the decimal digits that begin here: one by one while they are few, then word by
/// word while there are words.
#[inline(always)]
pub(super) fn digits(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    for _ in 0..3 {
        if !byte(text, at).is_ascii_digit() {
            return at;
        }
        at += 1;
    }
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word) ^ (ONES * 0x30);
        // The high bit of each byte above nine; a carry disturbs only what follows such a one.
        let others = (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80);
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while byte(text, at).is_ascii_digit() {
        at += 1;
    }
    at
}
