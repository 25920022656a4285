//! Escapes: how long they are, and what they mean. Plain functions over the text and a place in it.

use super::{
    FaultKind, Word,
    fault::{Stop, stop},
    scan::{plain, run},
};

/// How long the escape is that this byte follows the backslash of; 0 for none.
pub(super) const ESCAPES: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < 8 {
        lengths[b"\"\\/bfnrt"[at] as usize] = 2;
        at += 1;
    }
    lengths[b'u' as usize] = 6;
    lengths
};

/// Passes the escape whose backslash stands at a place, and what single byte stands between one by number
/// and the next escape.
#[inline(always)]
pub(super) fn escape(text: &[u8], at: usize) -> Result<usize, Stop> {
    let Some(escape) = text.get(at + 1) else {
        return Err(stop(text.len(), FaultKind::End));
    };
    match ESCAPES[usize::from(*escape)] {
        2 => Ok(at + 2),
        6 => number(text, at),
        _ => Err(stop(at, FaultKind::Escape)),
    }
}

#[inline(never)]
fn number(text: &[u8], at: usize) -> Result<usize, Stop> {
    let digits = text.get(at + 2..).and_then(<[u8]>::first_chunk::<4>);
    let digits = digits.map(|digits| digits.map(|digit| DIGITS[usize::from(digit)]));
    match digits {
        // What is no half of a pair.
        Some([a, b, c, d]) if a != 0xD && (a | b | c | d) <= 0xF => {}
        _ => return unicode(text, at),
    }
    match text.get(at + 6..) {
        Some([b' ' | b'!' | b'#'..=b'[' | b']'..=0xFF, b'\\', ..]) => Ok(at + 7),
        _ => Ok(at + 6),
    }
}

/// Passes an escape by number, and its other half if it is one.
#[inline(never)]
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

/// A key that has an escape near its opening quote and stands right before its colon: where its value
/// begins; zero for any other.
#[inline(always)]
pub(super) fn escaped_key(text: &[u8], quote: usize, word: &mut Word) -> usize {
    match escaped_word(text, quote, word) {
        end if text.get(end) == Some(&b':') && end > 0 => end + 1,
        _ => 0,
    }
}

/// A string that has an escape near its opening quote: the place behind it; zero for any other. It is
/// checked and resolved at one look, however long it is.
#[inline(never)]
pub(super) fn escaped_word(text: &[u8], quote: usize, word: &mut Word) -> usize {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let Some([b'"', near @ ..]) = text.get(quote..).and_then(<[u8]>::first_chunk::<17>) else {
        return 0;
    };
    let (length, Word { mut low, mut high }) = match near {
        [b'\\', ..] => (0, Word::NONE),
        _ => near_run(near),
    };
    if near.get(length) != Some(&b'\\') {
        return 0;
    }
    let mut at = quote + 1 + length;
    let mut shift = 8 * length as u64;
    let mut has_nul = false;
    loop {
        let mut here = u64::from(byte(at));
        let mut bits = 8;
        match byte(at) {
            b'"' => break,
            b'\\' => {
                let escape = byte(at + 1);
                at += 2;
                here = u64::from(MEANINGS[usize::from(escape)]);
                if escape == b'u' {
                    (here, bits) = match ascii_number(text, at) {
                        0 => wide_number(text, at),
                        ascii => (ascii.into(), 8),
                    };
                    at += if bits == 32 { 10 } else { 4 };
                    has_nul |= here == 0;
                } else if here == 0 {
                    return 0;
                }
                if bits == 0 {
                    return 0;
                }
            }
            0..0x20 => return 0,
            // Nothing more is kept.
            _ if shift >= 128 => {
                at = plain::<false>(text, at);
                continue;
            }
            _ if matches!(byte(at + 1), b'"' | b'\\') => at += 1,
            _ => match text.get(at..).and_then(<[u8]>::first_chunk) {
                None => at += 1,
                Some(block) => {
                    let (length, run) = word_run(*block);
                    if shift < 64 {
                        low |= run << shift;
                        high |= run >> 1 >> (63 - shift);
                    } else {
                        high |= run << (shift - 64);
                    }
                    at += length;
                    shift += 8 * length as u64;
                    continue;
                }
            },
        }
        if shift < 64 {
            low |= here << shift;
            // In two steps, for it may be all of them that go there.
            high |= here >> 1 >> (63 - shift);
        } else if shift < 128 {
            high |= here << (shift - 64);
        }
        shift += bits;
    }
    if shift <= 120 && !has_nul {
        *word = Word { low, high };
    }
    at + 1
}

/// As [`run`], for one that mostly is of less than eight bytes.
#[inline(always)]
fn near_run(near: &[u8; 16]) -> (usize, Word) {
    match near.first_chunk().copied().map(word_run) {
        Some((length @ 0..8, low)) => (length, Word { low, high: 0 }),
        _ => long_run(near),
    }
}

/// How many bytes come before the first quote, backslash or control character of a word, and these bytes.
#[inline(always)]
fn word_run(bytes: [u8; 8]) -> (usize, u64) {
    const ONES: u64 = u64::MAX / 0xFF;
    let word = u64::from_le_bytes(bytes);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let specials = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5C)) | controls;
    // The lowest is one; behind it there may be false ones.
    let marks = specials & (ONES * 0x80);
    if marks == 0 {
        return (8, word);
    }
    let before = (marks & marks.wrapping_neg()).wrapping_sub(1) >> 7;
    ((marks.trailing_zeros() / 8) as usize, word & before)
}

#[inline(never)]
fn long_run(near: &[u8; 16]) -> (usize, Word) {
    run(near)
}

/// What the four digits mean that come next; zero where that is more than seven bits, or nothing.
#[inline(always)]
fn ascii_number(text: &[u8], at: usize) -> u8 {
    let Some([b'0', b'0', high @ b'0'..=b'7', low]) = text.get(at..at + 4) else {
        return 0;
    };
    let low = DIGITS[usize::from(*low)];
    if low > 0xF { 0 } else { (high & 7) << 4 | low }
}

/// What they mean, of a pair together with those that follow, and in how many bits; none for half a pair,
/// and where there are no four.
#[inline(never)]
fn wide_number(text: &[u8], at: usize) -> (u64, u64) {
    let Ok(code) = hex(text, at, 0) else {
        return (0, 0);
    };
    let code = u64::from(code);
    match code {
        0..0x80 => (code, 8),
        0x80..0x800 => (0xC0 | code >> 6 | (0x80 | code & 0x3F) << 8, 16),
        0xD800..0xDC00 => {
            let low = match text.get(at + 4..at + 6) {
                Some(b"\\u") => hex(text, at + 6, 0).unwrap_or(0),
                _ => 0,
            };
            if !(0xDC00..0xE000).contains(&low) {
                return (0, 0);
            }
            let code = 0x1_0000 + ((code - 0xD800) << 10) + u64::from(low & 0x3FF);
            let rest = (0x80 | code >> 6 & 0x3F) << 16 | (0x80 | code & 0x3F) << 24;
            (
                0xF0 | code >> 18 | (0x80 | code >> 12 & 0x3F) << 8 | rest,
                32,
            )
        }
        0xDC00..0xE000 => (0, 0),
        _ => {
            let rest = (0x80 | code >> 6 & 0x3F) << 8 | (0x80 | code & 0x3F) << 16;
            (0xE0 | code >> 12 | rest, 24)
        }
    }
}

/// What an escape of two bytes means by its second; zero for none.
const MEANINGS: [u8; 256] = {
    let mut meanings = [0; 256];
    let mut at = 0;
    while at < 8 {
        meanings[b"\"\\/bfnrt"[at] as usize] = b"\"\\/\x08\x0C\n\r\t"[at];
        at += 1;
    }
    meanings
};

/// What an escape of two bytes means.
#[inline(always)]
pub(super) fn plain_escape(escape: u8) -> Option<u8> {
    let meaning = MEANINGS[usize::from(escape)];
    (meaning != 0).then_some(meaning)
}

/// What the first byte of a text, or the escape that it begins, means: so many bytes, the first lowest;
/// and what follows. It has been seen that escapes are whole.
#[inline(always)]
pub(super) fn meaning(text: &[u8]) -> (u64, u32, &[u8]) {
    match text {
        [b'\\', b'u', rest @ ..] => number_meant(rest),
        [b'\\', escape, rest @ ..] => (MEANINGS[usize::from(*escape)].into(), 1, rest),
        [byte, rest @ ..] => ((*byte).into(), 1, rest),
        [] => (0, 0, text),
    }
}

/// What an escape means whose digits come next: so many bytes, the first lowest; and what follows. It has
/// been seen that it is whole, and so is its pair.
#[inline(always)]
pub(super) fn number_meant(text: &[u8]) -> (u64, u32, &[u8]) {
    let code = unit(text);
    if code < 0x80 {
        return (code.into(), 1, text.get(4..).unwrap_or_default());
    }
    let (word, count, length) = wide_meaning(text);
    (word, count, text.get(length..).unwrap_or_default())
}

#[inline(never)]
fn wide_meaning(text: &[u8]) -> (u64, u32, usize) {
    let (char, length) = character(text);
    let mut bytes = [0; 8];
    let count = char.encode_utf8(&mut bytes).len();
    (u64::from_le_bytes(bytes), count as u32, length)
}

/// The character that an escape means whose digits come next, and how many bytes these are.
#[inline(always)]
pub(super) fn character(text: &[u8]) -> (char, usize) {
    let mut code = u32::from(unit(text));
    let mut length = 4;
    if (0xD800..0xDC00).contains(&code) {
        let low = u32::from(unit(text.get(6..).unwrap_or_default()));
        code = 0x1_0000 + ((code - 0xD800) << 10) + (low & 0x3FF);
        length = 10;
    }
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    (char, length)
}

/// The number that the four digits are with which these bytes begin; zero where there are none.
#[inline(always)]
pub(super) fn unit(digits: &[u8]) -> u16 {
    let Some(digits) = digits.first_chunk::<4>() else {
        return 0;
    };
    let [a, b, c, d] = digits.map(|digit| u16::from(DIGITS[usize::from(digit)] & 0xF));
    a << 12 | b << 8 | c << 4 | d
}
