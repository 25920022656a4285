//! Where strings, numbers and words end. All of it is plain functions over the text and a place in
//! it, so that a loop over many values keeps its place in a register.

use super::{Fault, FaultKind};

/// A [`Fault`] in one word, so that a result of these functions travels in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop(usize);

impl From<Stop> for Fault {
    #[cold]
    fn from(stop: Stop) -> Self {
        let kind = match stop.0 & 0xF {
            0 => FaultKind::Syntax,
            1 => FaultKind::End,
            2 => FaultKind::Trailing,
            3 => FaultKind::TooDeep,
            4 => FaultKind::TooMany,
            5 => FaultKind::Control,
            6 => FaultKind::Escape,
            7 => FaultKind::Surrogate,
            _ => FaultKind::Range,
        };
        Self {
            at: stop.0 >> 4,
            kind,
        }
    }
}

#[cold]
pub(super) fn stop(at: usize, kind: FaultKind) -> Stop {
    let kind = match kind {
        FaultKind::Syntax => 0,
        FaultKind::End => 1,
        FaultKind::Trailing => 2,
        FaultKind::TooDeep => 3,
        FaultKind::TooMany => 4,
        FaultKind::Control => 5,
        FaultKind::Escape => 6,
        FaultKind::Surrogate => 7,
        FaultKind::Range => 8,
    };
    // No text is so long that its places need the upper four bits.
    Stop(at << 4 | kind)
}

/// What stands here is not what is wanted.
#[cold]
pub(super) fn unexpected(text: &[u8], at: usize) -> Stop {
    if at < text.len() {
        stop(at, FaultKind::Syntax)
    } else {
        stop(text.len(), FaultKind::End)
    }
}

/// The place of the next byte that is not white space.
#[inline]
pub(super) fn space(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        // A blank, or a control character that may be one.
        Some(0..=b' ') => more_space(text, at),
        _ => at,
    }
}

#[inline(never)]
fn more_space(text: &[u8], mut at: usize) -> usize {
    loop {
        match text.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
        // Long runs, as of an indented or a padded text, go by blocks.
        while let Some(block) = text[at..].first_chunk::<16>() {
            let blank = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            if !block.iter().fold(true, |all, byte| all & blank(*byte)) {
                break;
            }
            at += block.len();
        }
    }
}

/// Passes a string, from behind its opening quote: the place of the closing one. In a clean text
/// there is no control character anywhere.
#[inline]
pub(super) fn string<const CLEAN: bool>(text: &[u8], start: usize) -> Result<usize, Stop> {
    let at = plain_words::<CLEAN>(text, start);
    if text.get(at) == Some(&b'"') {
        return Ok(at);
    }
    rest_of_string(text, at, CLEAN)
}

/// A string with something that is neither plain nor its end at `at`.
#[inline(never)]
pub(super) fn rest_of_string(text: &[u8], at: usize, clean: bool) -> Result<usize, Stop> {
    if clean {
        rest::<true>(text, at)
    } else {
        rest::<false>(text, at)
    }
}

#[inline]
fn rest<const CLEAN: bool>(text: &[u8], mut at: usize) -> Result<usize, Stop> {
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => {}
            Some(_) => return Err(stop(at, FaultKind::Control)),
            None => return Err(stop(at, FaultKind::End)),
        }
        match text.get(at + 1) {
            Some(b'n' | b'"' | b'\\' | b'/' | b'b' | b'f' | b'r' | b't') => at += 2,
            Some(b'u') => at = unicode(text, at)?,
            Some(_) => return Err(stop(at, FaultKind::Escape)),
            None => return Err(stop(text.len(), FaultKind::End)),
        }
        // Escapes come in runs and close together: look before starting the wide search.
        match text.get(at) {
            Some(b'"' | b'\\') => {}
            _ => at = plain_words::<CLEAN>(text, at),
        }
    }
}

/// Passes an escape by number, and its other half if it is one.
#[inline]
fn unicode(text: &[u8], at: usize) -> Result<usize, Stop> {
    match hex(text, at + 2, at)? {
        0xD800..=0xDBFF => {
            if text.get(at + 6..at + 8) != Some(b"\\u") {
                return Err(stop(at, FaultKind::Surrogate));
            }
            if !(0xDC00..=0xDFFF).contains(&hex(text, at + 8, at)?) {
                return Err(stop(at, FaultKind::Surrogate));
            }
            Ok(at + 12)
        }
        0xDC00..=0xDFFF => Err(stop(at, FaultKind::Surrogate)),
        _ => Ok(at + 6),
    }
}

/// The value of each hexadecimal digit; of all else something that is none.
const DIGITS: [u8; 256] = {
    let mut digits = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

#[inline]
fn hex(text: &[u8], at: usize, escape: usize) -> Result<u16, Stop> {
    let Some(&[a, b, c, d]) = text.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
        return Err(stop(text.len(), FaultKind::End));
    };
    let [a, b, c, d] = [a, b, c, d].map(|digit| DIGITS[usize::from(digit)]);
    if (a | b | c | d) > 0xF {
        return Err(stop(escape, FaultKind::Escape));
    }
    Ok(u16::from(a << 4 | b) << 8 | u16::from(c << 4 | d))
}

/// Where the first quote, backslash or control character stands from `at` on, else the end.
#[inline]
pub(crate) fn plain_until(text: &[u8], at: usize) -> usize {
    plain(text, at, false)
}

/// The same in a text that may be known to have no control characters.
#[inline]
pub(super) fn plain(text: &[u8], at: usize, clean: bool) -> usize {
    // Keys are short: what is found in the first word needs no call.
    if let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let special = special::<false>(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
    }
    if clean {
        plain_words::<true>(text, at)
    } else {
        plain_words::<false>(text, at)
    }
}

/// Short strings, which most are, by words; whatever is longer, by vectors.
#[inline]
fn plain_words<const CLEAN: bool>(text: &[u8], mut at: usize) -> usize {
    for _ in 0..4 {
        let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            return plain_tail(text, at);
        };
        let special = special::<CLEAN>(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    if CLEAN {
        let rest = text.get(at..).unwrap_or_default();
        return at + memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    }
    plain_blocks(text, at)
}

#[inline(never)]
fn plain_blocks(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text[at..].first_chunk::<64>() {
        let mut found = 0;
        for &byte in block {
            found |= u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        }
        if found != 0 {
            break;
        }
        at += block.len();
    }
    while let Some(word) = text[at..].first_chunk::<8>() {
        let special = special::<false>(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_tail(text, at)
}

#[inline(never)]
fn plain_tail(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// The high bit of each byte that is a quote, a backslash or, unless there is none anyway, a control
/// character. Bytes behind the first such one may be marked wrongly, by the borrow: only the lowest
/// mark counts.
#[inline]
fn special<const CLEAN: bool>(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let quote = word ^ (ONES * 0x22);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = word ^ (ONES * 0x5C);
    let slash = slash.wrapping_sub(ONES) & !slash;
    let control = if CLEAN {
        0
    } else {
        word.wrapping_sub(ONES * 0x20) & !word
    };
    (control | quote | slash) & (ONES * 0x80)
}

/// Passes a word whose first byte may be there.
pub(super) fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Stop> {
    let rest = text.get(at..).unwrap_or_default();
    if rest.starts_with(word) {
        return Ok(at + word.len());
    }
    let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
    Err(unexpected(text, at + same))
}

/// Passes a number that a double can hold.
#[inline]
pub(super) fn number(text: &[u8], start: usize) -> Result<usize, Stop> {
    let whole = start + usize::from(text.get(start) == Some(&b'-'));
    let at = match text.get(whole) {
        Some(b'0') => whole + 1,
        Some(b'1'..=b'9') => digits(text, whole + 1),
        _ => return Err(unexpected(text, whole)),
    };
    match text.get(at) {
        Some(b'.' | b'e' | b'E') => rest_of_number(text, start, whole, at),
        // Below 10³⁰⁸ nothing overflows.
        _ if at - whole <= 308 || fits(&text[whole..at], at - whole, 0) => Ok(at),
        _ => Err(stop(start, FaultKind::Range)),
    }
}

#[inline(never)]
fn rest_of_number(text: &[u8], start: usize, whole: usize, point: usize) -> Result<usize, Stop> {
    let mut at = point;
    if text.get(at) == Some(&b'.') {
        at = digits(text, point + 1);
        if at == point + 1 {
            return Err(unexpected(text, at));
        }
    }
    let mantissa = &text[whole..at];
    let mut exponent = 0i64;
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = text.get(at + 1).copied();
        let from = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        at = from;
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
        if sign == Some(b'-') {
            exponent = -exponent;
        }
    }
    let length = point - whole;
    if exponent + (length as i64) <= 308 || fits(mantissa, length, exponent) {
        return Ok(at);
    }
    Err(stop(start, FaultKind::Range))
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

#[inline]
fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}
