//! Where strings, numbers and words end. All of it is plain functions over the text and a place in
//! it, so that a loop over many values keeps its place in a register.

use super::{Fault, FaultKind};

/// A [`Fault`] in one word, so that a result of these functions travels in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop(usize);

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
#[inline(always)]
pub(super) fn string<const CLEAN: bool>(text: &[u8], start: usize) -> Result<usize, Stop> {
    let at = plain::<CLEAN>(text, start);
    if text.get(at) == Some(&b'"') {
        return Ok(at);
    }
    rest_of_string::<CLEAN>(text, at)
}

/// How long the escape is that this byte follows the backslash of; 0 for none.
const ESCAPES: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < 8 {
        lengths[b"\"\\/bfnrt"[at] as usize] = 2;
        at += 1;
    }
    lengths[b'u' as usize] = 6;
    lengths
};

/// A string with something that is neither plain nor its end at `at`.
#[inline(never)]
pub(super) fn rest_of_string<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    let mut rest = text.get(at..).unwrap_or_default();
    loop {
        rest = match rest {
            [b'\\', escape, after @ ..] => match ESCAPES[usize::from(*escape)] {
                2 => after,
                6 => &text[unicode(text, text.len() - rest.len())?..],
                _ => return Err(stop(text.len() - rest.len(), FaultKind::Escape)),
            },
            [b'"', ..] => return Ok(text.len() - rest.len()),
            [] | [b'\\'] => return Err(stop(text.len(), FaultKind::End)),
            _ => return Err(stop(text.len() - rest.len(), FaultKind::Control)),
        };
        // What stands between two escapes is mostly short.
        let mut blocks = 0;
        while let Some((block, more)) = rest.split_first_chunk() {
            let (low, high) = special::<CLEAN>(block);
            if low != 0 {
                rest = &rest[first(low)..];
                break;
            }
            if high != 0 {
                rest = &rest[8 + first(high)..];
                break;
            }
            rest = more;
            blocks += 1;
            if blocks == 4 {
                let at = text.len() - rest.len();
                rest = &text[plain_more::<CLEAN>(text, at)..];
                break;
            }
        }
        if rest.len() < BLOCK {
            rest = &text[plain_tail(text, text.len() - rest.len())..];
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
pub(super) fn hex(text: &[u8], at: usize, escape: usize) -> Result<u16, Stop> {
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
    plain::<false>(text, at)
}

/// The same; in a clean text control characters are not looked for. Keys are short: what stands in
/// the first block needs no call.
#[inline(always)]
pub(super) fn plain<const CLEAN: bool>(text: &[u8], at: usize) -> usize {
    if let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let (low, high) = special::<CLEAN>(block);
        if low != 0 {
            return at + first(low);
        }
        if high != 0 {
            return at + 8 + first(high);
        }
        return plain_more::<CLEAN>(text, at + BLOCK);
    }
    plain_tail(text, at)
}

const BLOCK: usize = 16;

/// Sentences block by block; whatever is longer, by wider vectors.
#[inline(never)]
fn plain_more<const CLEAN: bool>(text: &[u8], at: usize) -> usize {
    let mut rest = text.get(at..).unwrap_or_default();
    for _ in 0..5 {
        let Some((block, more)) = rest.split_first_chunk() else {
            return plain_tail(text, text.len() - rest.len());
        };
        let (low, high) = special::<CLEAN>(block);
        if low != 0 {
            return text.len() - rest.len() + first(low);
        }
        if high != 0 {
            return text.len() - rest.len() + 8 + first(high);
        }
        rest = more;
    }
    let at = text.len() - rest.len();
    if CLEAN {
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
    while let Some(block) = text[at..].first_chunk() {
        let (low, high) = special::<false>(block);
        if low != 0 {
            return at + first(low);
        }
        if high != 0 {
            return at + 8 + first(high);
        }
        at += BLOCK;
    }
    plain_tail(text, at)
}

#[inline(never)]
fn plain_tail(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// All bits of each byte of a block that is a quote, a backslash or, unless there is none anyway, a
/// control character: of its lower and of its upper half.
///
/// The compiler makes three or four vector instructions of the loop. The hint keeps it from then
/// taking the vector apart byte by byte to put the halves together; nothing depends on it.
#[inline(always)]
fn special<const CLEAN: bool>(block: &[u8; BLOCK]) -> (u64, u64) {
    let mut marks = [0; BLOCK];
    for at in 0..BLOCK {
        let byte = block[at];
        let special = (byte == b'"') | (byte == b'\\') | (!CLEAN & (byte < 0x20));
        marks[at] = if special { 0xFF } else { 0 };
    }
    let marks = std::hint::black_box(marks);
    let (low, high) = marks.split_at(8);
    let half = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
    (half(low), half(high))
}

/// Which byte of a half has the first mark.
#[inline(always)]
fn first(half: u64) -> usize {
    (half.trailing_zeros() / 8) as usize
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
        Some(b'1'..=b'9') => digits(text, whole + 1),
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
    let sign = text.get(end + 1);
    let minus = sign == Some(&b'-');
    let from = end + 1 + usize::from(minus | (sign == Some(&b'+')));
    let Some(next) = text.get(from..).and_then(<[u8]>::first_chunk::<4>) else {
        return rest_of_exponent(text, whole, point, end);
    };
    let [a, b, c, d] = next.map(|byte| byte.wrapping_sub(b'0'));
    let (exponent, at) = match (a <= 9, b <= 9, c <= 9) {
        (true, false, _) => (i64::from(a), from + 1),
        (true, true, false) => (10 * i64::from(a) + i64::from(b), from + 2),
        (true, true, true) if d > 9 => {
            let exponent = 100 * i64::from(a) + 10 * i64::from(b) + i64::from(c);
            (exponent, from + 3)
        }
        _ => return rest_of_exponent(text, whole, point, end),
    };
    let power = if minus { -exponent } else { exponent } + (point - whole) as i64;
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
