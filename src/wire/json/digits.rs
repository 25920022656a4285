//! Where numbers end, and what short ones are worth. Plain functions over the text and a place in it.

use std::cmp::Ordering;

use super::{
    FaultKind,
    fault::{Stop, stop, unexpected},
    limit,
    number::quotient,
};

/// How many digits are few: a double holds all that have no more, times a power of ten.
const FEW: usize = 15;

/// A whole number that begins here and has few digits: its value and its end.
#[inline(always)]
pub(super) fn short_integer(text: &[u8], start: usize) -> Option<(i64, usize)> {
    let minus = byte(text, start) == b'-';
    let start = start + usize::from(minus);
    let rest = text.get(start..)?;
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(FEW + 1) {
        match byte {
            // Nothing follows a zero.
            b'0'..=b'9' if at == 1 && value == 0 => return None,
            b'0'..=b'9' => value = 10 * value + i64::from(byte - b'0'),
            b'.' | b'e' | b'E' if at > 0 => {
                let (value, end) = short_power(text, value, start + at);
                let value = if minus { -value } else { value };
                return (end != 0).then_some((value, end));
            }
            _ if at > 0 => return Some((if minus { -value } else { value }, start + at)),
            _ => return None,
        }
    }
    None
}

/// The same where the digits are followed by a point or an exponent: few places and small powers. The end
/// is zero where there is something else.
#[inline(never)]
fn short_power(text: &[u8], mut value: i64, mut at: usize) -> (i64, usize) {
    const NONE: (i64, usize) = (0, 0);
    let digit = |at: usize| i64::from(byte(text, at).wrapping_sub(b'0'));
    // Behind the point of a whole number there are mostly zeros alone; nothing else is read here.
    if byte(text, at) == b'.' {
        at += 1;
        if byte(text, at) != b'0' {
            return NONE;
        }
        at += 1;
        // Of more than are few it is told elsewhere, in fewer steps for each.
        for _ in 0..FEW {
            if byte(text, at) != b'0' {
                break;
            }
            at += 1;
        }
        if digit(at) <= 9 {
            return NONE;
        }
    }
    if !matches!(byte(text, at), b'e' | b'E') {
        return (value, at);
    }
    at += 1;
    // Where there is a sign is known by the way that was taken, and costs no waiting for it.
    let minus = match byte(text, at) {
        b'-' => {
            at += 1;
            true
        }
        b'+' => {
            at += 1;
            false
        }
        _ => false,
    };
    let power = digit(at);
    if value == 0 && power <= 9 {
        // Whatever the power is; one of more digits than are few is told elsewhere.
        at += 1;
        for _ in 0..FEW {
            if digit(at) > 9 {
                return (0, at);
            }
            at += 1;
        }
        return NONE;
    }
    if power > 9 || digit(at + 1) <= 9 {
        return NONE;
    }
    at += 1;
    // No more than eighteen digits.
    if power > 3 {
        return NONE;
    }
    if !minus {
        return (value * [1, 10, 100, 1000][power as usize % 4], at);
    }
    for _ in 0..power {
        if value % 10 != 0 {
            return NONE;
        }
        value /= 10;
    }
    (value, at)
}

/// A number that begins here, has one digit before its point if it has a point at all, few behind it,
/// and no exponent: its value and its end.
#[inline(always)]
pub(super) fn short_decimal(text: &[u8], start: usize) -> Option<(f64, usize)> {
    let rest = text.get(start..)?;
    let [first @ b'0'..=b'9', rest @ ..] = rest else {
        return None;
    };
    let mut digits = u64::from(first - b'0');
    let [b'.', rest @ ..] = rest else {
        let last = !matches!(rest, [] | [b'0'..=b'9' | b'e' | b'E', ..]);
        return last.then_some((digits as f64, start + 1));
    };
    for (at, byte) in rest.iter().enumerate().take(FEW) {
        match byte {
            b'0'..=b'9' => digits = 10 * digits + u64::from(byte - b'0'),
            b'e' | b'E' => return None,
            _ if at > 0 => return Some((quotient(digits, at), start + 2 + at)),
            _ => return None,
        }
    }
    None
}

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
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// Passes a number that a double can hold.
#[inline(always)]
pub(super) fn number(text: &[u8], start: usize) -> Result<usize, Stop> {
    let whole = start + usize::from(byte(text, start) == b'-');
    match byte(text, whole) {
        first @ b'0'..=b'9' => unsigned(text, whole, first),
        _ => Err(fault(text, whole)),
    }
}

/// The same from behind its sign, where its first digit is known. What is of one digit or two needs no
/// call, and what needs one is given to where it goes on: a text may be made of nothing but short numbers.
#[inline(always)]
pub(super) fn unsigned(text: &[u8], whole: usize, first: u8) -> Result<usize, Stop> {
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
    below(text, whole, letter, point - whole + value, at)
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
    let power = match sign {
        b'-' => power.saturating_sub(value),
        _ => power + value,
    };
    below(text, whole, letter, power, at)
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
    let signed = whole > 0 && text[whole - 1] == b'-';
    stop(whole - usize::from(signed), FaultKind::Range)
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
