//! Where numbers end, and what short ones are worth. Plain functions over the text and a place in it.

use super::{
    FaultKind,
    number::quotient,
    scan::{Stop, stop, unexpected},
};

/// How many digits are few: a double holds all that have no more, times a power of ten.
const FEW: usize = 15;

/// A whole number that begins here, is not zero, and has few digits: its value and its end.
#[inline(always)]
pub(super) fn short_integer(text: &[u8], start: usize) -> Option<(i64, usize)> {
    let rest = text.get(start..)?;
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(FEW + 1) {
        match byte {
            b'1'..=b'9' => value = 10 * value + i64::from(byte - b'0'),
            b'0' if at > 0 => value *= 10,
            b'.' | b'e' | b'E' => return None,
            _ if at > 0 => return Some((value, start + at)),
            _ => return None,
        }
    }
    None
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

/// Passes a number that a double can hold. Nearly all are of a few digits and nothing else.
#[inline(always)]
pub(super) fn number(text: &[u8], start: usize) -> Result<usize, Stop> {
    let mut at = start;
    match text.get(at) {
        Some(b'1'..=b'9') => {
            at += 1;
            for _ in 0..3 {
                match text.get(at) {
                    Some(b'0'..=b'9') => at += 1,
                    Some(b'.' | b'e' | b'E') => return rest_of_number(text, start, at),
                    _ => return Ok(at),
                }
            }
        }
        Some(b'0') => {
            return match text.get(at + 1) {
                Some(b'.' | b'e' | b'E') => rest_of_number(text, start, at + 1),
                _ => Ok(at + 1),
            };
        }
        _ => {}
    }
    any_number(text, start)
}

#[inline(never)]
fn any_number(text: &[u8], start: usize) -> Result<usize, Stop> {
    let whole = start + usize::from(text.get(start) == Some(&b'-'));
    let at = match text.get(whole) {
        Some(b'0') => whole + 1,
        Some(b'1'..=b'9') => match text.get(whole + 1) {
            Some(b'.' | b'e' | b'E') => whole + 1,
            _ => digits(text, whole + 1),
        },
        _ => return Err(unexpected(text, whole)),
    };
    match text.get(at) {
        Some(b'.' | b'e' | b'E') => rest_of_number(text, whole, at),
        // Below 10³⁰⁸ nothing overflows.
        _ if at - whole <= 308 => Ok(at),
        _ => in_range(text, whole, at, at, (at - whole) as i64, at),
    }
}

/// A number that has a point or an exponent at a place. Each step ends in the call of the next, so
/// that none has anything to keep.
#[inline(always)]
fn rest_of_number(text: &[u8], whole: usize, point: usize) -> Result<usize, Stop> {
    if text.get(point) == Some(&b'.') {
        fraction(text, whole, point)
    } else {
        exponent(text, whole, point, point)
    }
}

#[inline(never)]
fn fraction(text: &[u8], whole: usize, point: usize) -> Result<usize, Stop> {
    let end = few_digits(text, point + 1);
    if end == point + 1 {
        return Err(unexpected(text, end));
    }
    if let Some(b'e' | b'E') = text.get(end) {
        return exponent(text, whole, point, end);
    }
    if point - whole <= 308 {
        return Ok(end);
    }
    in_range(text, whole, point, end, (point - whole) as i64, end)
}

/// The exponent of a number whose digits begin, have their point and end at these places.
#[inline(never)]
fn exponent(text: &[u8], whole: usize, point: usize, end: usize) -> Result<usize, Stop> {
    const ONES: u32 = u32::MAX / 0xFF;
    let sign = text.get(end + 1);
    let minus = sign == Some(&b'-');
    let from = end + 1 + usize::from(minus || sign == Some(&b'+'));
    let Some(word) = text.get(from..).and_then(<[u8]>::first_chunk::<4>) else {
        return rest_of_exponent(text, whole, point, end);
    };
    let digits = u32::from_le_bytes(*word) ^ (ONES * 0x30);
    // The high bit of each byte above nine; a carry disturbs only what follows such a one.
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
    let bits = others.trailing_zeros() & !7;
    if bits == 0 || bits == 32 {
        return rest_of_exponent(text, whole, point, end);
    }
    // Hundreds, tens and ones in the upper three bytes.
    let digits = digits << (32 - bits);
    let value = (digits >> 8 & 0xFF) * 100 + (digits >> 16 & 0xFF) * 10 + (digits >> 24);
    let at = from + (bits / 8) as usize;
    let value = i64::from(value);
    let power = if minus { -value } else { value } + (point - whole) as i64;
    // 10³⁰⁸ itself, and what begins with its digit alone, is below the largest double.
    if power <= 308 || (power == 309 && end - whole == 1 && text[whole] == b'1') {
        return Ok(at);
    }
    in_range(text, whole, point, end, power, at)
}

/// An exponent of many digits, or none.
#[inline(never)]
fn rest_of_exponent(text: &[u8], whole: usize, point: usize, end: usize) -> Result<usize, Stop> {
    let sign = text.get(end + 1);
    let minus = sign == Some(&b'-');
    let from = end + 1 + usize::from(minus || sign == Some(&b'+'));
    let mut at = from;
    let mut exponent = 0i64;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        // What is larger than the longest text could make up for need not be exact.
        if exponent < 1 << 40 {
            exponent = exponent * 10 + i64::from(digit - b'0');
        }
        at += 1;
    }
    if at == from {
        return Err(unexpected(text, at));
    }
    let exponent = if minus { -exponent } else { exponent };
    let power = exponent + (point - whole) as i64;
    if power <= 308 {
        return Ok(at);
    }
    in_range(text, whole, point, end, power, at)
}

/// Passes a number, which ends at `at`, if a double holds it: its digits begin, have their point and
/// end at these places, and it is below ten to this power.
#[inline(never)]
fn in_range(
    text: &[u8],
    whole: usize,
    point: usize,
    end: usize,
    power: i64,
    at: usize,
) -> Result<usize, Stop> {
    let digits = point - whole;
    if fits(&text[whole..end], digits, power - digits as i64) {
        return Ok(at);
    }
    let signed = whole > 0 && text[whole - 1] == b'-';
    Err(stop(whole - usize::from(signed), FaultKind::Range))
}

/// Whether a double can hold it, decided by its digits alone. The mantissa has so many digits
/// before its point.
#[inline(never)]
fn fits(mantissa: &[u8], whole: usize, exponent: i64) -> bool {
    let mut first = 0;
    while let Some(b'0' | b'.') = mantissa.get(first) {
        first += 1;
    }
    if first == mantissa.len() {
        return true;
    }
    // The power of ten of the first digit that is not zero.
    let before = first - usize::from(first > whole);
    let power = exponent + whole as i64 - 1 - before as i64;
    if power != 308 {
        return power < 308;
    }
    let mut limit = TOO_LARGE.iter();
    for digit in mantissa[first..].iter().filter(|byte| **byte != b'.') {
        match limit.next() {
            Some(most) if digit == most => {}
            Some(most) => return digit < most,
            None => return false,
        }
    }
    // What the limit still has is more than the zeros that follow here.
    limit.next().is_some()
}

/// 2¹⁰²⁴ − 2⁹⁷⁰: half way from the largest double to the next power of two, from where on a number
/// is rounded to infinity.
const TOO_LARGE: &[u8; 309] = b"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

/// The place behind the decimal digits that begin here, of which there are mostly one or two.
#[inline(always)]
fn few_digits(text: &[u8], mut at: usize) -> usize {
    for _ in 0..3 {
        let Some(b'0'..=b'9') = text.get(at) else {
            return at;
        };
        at += 1;
    }
    digits(text, at)
}

/// The place behind the decimal digits that begin here, word by word while there are words.
#[inline(never)]
fn digits(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word) ^ (ONES * 0x30);
        // The high bit of each byte above nine; a carry disturbs only what follows such a one.
        let others = (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80);
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}
