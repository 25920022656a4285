//! What short numbers are worth, and where they end.

use super::{digits::byte, number::quotient};

/// How many digits are few: a double holds all that have no more, times a power of ten.
const FEW: usize = 15;

/// A whole number that begins here and has few digits: its value and its end.
#[inline(always)]
pub(super) fn integer(text: &[u8], start: usize) -> Option<(i64, usize)> {
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
                let (value, end) = power(text, value, start + at);
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
fn power(text: &[u8], mut value: i64, mut at: usize) -> (i64, usize) {
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
        // Whatever the power is; one of more digits is told elsewhere, where it counts as huge.
        at += 1;
        for _ in 0..if minus { FEW } else { 2 } {
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
pub(super) fn decimal(text: &[u8], start: usize) -> Option<(f64, usize)> {
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
