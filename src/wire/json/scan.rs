//! Where strings and words end. All of it is plain functions over the text and a place in it, so that
//! a loop over many values keeps its place in a register.

use super::{Fault, FaultKind, Word};

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

/// The same where there is a blank or a control character, for a loop that meets many; mostly there is
/// one.
#[inline(always)]
pub(super) fn blanks(text: &[u8], at: usize, here: u8) -> usize {
    match text.get(at + 1) {
        Some(b'!'..) if is_blank(here) => at + 1,
        _ => more_space(text, at),
    }
}

#[inline(always)]
fn is_blank(byte: u8) -> bool {
    const BLANKS: u64 = 1 << b' ' | 1 << b'\n' | 1 << b'\r' | 1 << b'\t';
    byte <= b' ' && BLANKS >> byte & 1 == 1
}

#[inline(never)]
fn more_space(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let mut marks = [0; BLOCK];
        for at in 0..BLOCK {
            // The least difference to a blank, which is none for a blank.
            let blanks = [b' ', b'\n', b'\r', b'\t'];
            let differences = blanks.map(|blank| block[at] ^ blank);
            marks[at] = differences.into_iter().fold(0xFF, u8::min);
        }
        let (low, high) = halves(marks);
        if low != 0 {
            return at + first(low);
        }
        if high != 0 {
            return at + 8 + first(high);
        }
        at += BLOCK;
    }
    while text.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

/// Passes a string, from behind its opening quote: the place of the closing one. In a clean text
/// there is no control character anywhere.
#[inline(always)]
pub(super) fn string<const CLEAN: bool>(text: &[u8], start: usize) -> Result<usize, Stop> {
    let at = plain::<CLEAN>(text, start);
    match text.get(at..) {
        Some([b'"', ..]) => Ok(at),
        // Many have one escape, and that at their end.
        Some([b'\\', escape, b'"', ..]) if ESCAPES[usize::from(*escape)] == 2 => Ok(at + 2),
        _ => rest_of_string::<CLEAN>(text, at),
    }
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
pub(super) fn rest_of_string<const CLEAN: bool>(text: &[u8], mut at: usize) -> Result<usize, Stop> {
    'place: loop {
        match text.get(at) {
            Some(b'"') => return Ok(at),
            // Escapes may stand side by side.
            Some(b'\\') => {
                at = escape(text, at)?;
                continue 'place;
            }
            Some(0..0x20) => return Err(stop(at, FaultKind::Control)),
            Some(_) => {}
            None => return Err(stop(text.len(), FaultKind::End)),
        }
        let mut rest = text.get(at..).unwrap_or_default();
        for _ in 0..32 {
            let Some((block, more)) = rest.split_first_chunk::<WIDE>() else {
                at = plain_tail(text, text.len() - rest.len());
                continue 'place;
            };
            // What has two bytes is passed within the block, so that no byte is looked at twice.
            for (word, mut marks) in specials::<CLEAN>(block).into_iter().enumerate() {
                while marks != 0 {
                    let bit = marks.trailing_zeros();
                    let place = 8 * word + (bit / 8) as usize;
                    let here = block[place % WIDE];
                    if here == b'"' {
                        return Ok(text.len() - rest.len() + place);
                    }
                    let next = block[(place + 1) % WIDE];
                    if (!CLEAN && here < 0x20) || bit == 56 || ESCAPES[usize::from(next)] != 2 {
                        at = text.len() - rest.len() + place;
                        continue 'place;
                    }
                    marks &= !(0xFFFF << bit);
                }
            }
            rest = more;
        }
        // What is so long is mostly without escapes.
        at = plain_more::<CLEAN>(text, text.len() - rest.len());
    }
}

/// Passes the escape whose backslash stands at a place.
#[inline(always)]
fn escape(text: &[u8], at: usize) -> Result<usize, Stop> {
    let Some(escape) = text.get(at + 1) else {
        return Err(stop(text.len(), FaultKind::End));
    };
    match ESCAPES[usize::from(*escape)] {
        2 => Ok(at + 2),
        6 => unicode(text, at),
        _ => Err(stop(at, FaultKind::Escape)),
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

/// A string whose opening quote begins the block, if it ends within the 16 bytes behind that and has
/// no escape: its length, and what it says.
#[inline(always)]
pub(super) fn short<const SIZE: usize>(block: &[u8; SIZE]) -> Option<(usize, Word)> {
    let within = block.get(1..)?.first_chunk::<BLOCK>()?;
    let (low, high) = special::<false>(within);
    let half = |at: usize| within[at..].first_chunk().copied().map(u64::from_le_bytes);
    // All bytes before the first mark.
    let before = |marks: u64| (marks & marks.wrapping_neg()).wrapping_sub(1);
    if low != 0 {
        let length = first(low);
        let low = half(0)? & before(low);
        return (within[length] == b'"').then_some((length, Word { low, high: 0 }));
    }
    if high != 0 {
        let length = 8 + first(high);
        let high = half(8)? & before(high);
        let low = half(0)?;
        return (within[length] == b'"').then_some((length, Word { low, high }));
    }
    None
}

/// A key that has an escape near its opening quote and stands right before its colon: where its value
/// begins; zero for any other. It is checked and resolved at one look, however long it is.
///
/// Mostly it means few bytes, and then needs few registers.
#[inline(never)]
pub(super) fn escaped_key(text: &[u8], quote: usize, word: &mut Word) -> usize {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let Some([b'"', near @ ..]) = text.get(quote..).and_then(<[u8]>::first_chunk::<17>) else {
        return 0;
    };
    if !near.iter().fold(false, |any, byte| any | (*byte == b'\\')) {
        return 0;
    }
    let mut at = quote + 1;
    let (mut low, mut shift) = (0, 0);
    loop {
        let here = byte(at);
        let mut meant = here;
        let mut length = 1;
        match here {
            b'"' if byte(at + 1) == b':' => {
                *word = Word { low, high: 0 };
                return at + 2;
            }
            b'\\' => {
                let escape = byte(at + 1);
                meant = MEANINGS[usize::from(escape)];
                length = 2;
                if escape == b'u' {
                    meant = ascii_number(text, at + 2);
                    length = 6;
                }
                if meant == 0 {
                    return long_escaped_key(text, at, low, shift, word);
                }
            }
            b'"' | 0..0x20 => return 0,
            _ => {}
        }
        if shift == 64 {
            return long_escaped_key(text, at, low, shift, word);
        }
        at += length;
        low |= u64::from(meant) << shift;
        shift += 8;
    }
}

/// The same from a place within it, of which the part before means so many bits.
#[inline(never)]
fn long_escaped_key(
    text: &[u8],
    mut at: usize,
    mut low: u64,
    mut shift: u64,
    word: &mut Word,
) -> usize {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let mut high = 0;
    let mut has_nul = false;
    loop {
        let mut here = u64::from(byte(at));
        let mut bits = 8;
        if here == u64::from(b'"') {
            break;
        }
        at += 1;
        if here == u64::from(b'\\') {
            let escape = byte(at);
            at += 1;
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
        } else if here < 0x20 {
            return 0;
        } else if shift >= 128 {
            // Nothing more is kept.
            at = plain::<false>(text, at);
            continue;
        }
        if shift < 64 {
            low |= here << shift;
            if shift + bits > 64 {
                high = here >> (64 - shift);
            }
        } else if shift < 128 {
            high |= here << (shift - 64);
        }
        shift += bits;
    }
    if byte(at + 1) != b':' {
        return 0;
    }
    if shift <= 120 && !has_nul {
        *word = Word { low, high };
    }
    at + 2
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
    let mut code = u32::from(unit(text));
    let mut length = 4;
    if (0xD800..0xDC00).contains(&code) {
        let low = u32::from(unit(text.get(6..).unwrap_or_default()));
        code = 0x1_0000 + ((code - 0xD800) << 10) + (low & 0x3FF);
        length = 10;
    }
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut bytes = [0; 8];
    let count = char.encode_utf8(&mut bytes).len();
    (u64::from_le_bytes(bytes), count as u32, length)
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

/// Where the first of them stands in the first 16 bytes, else 16.
#[inline(always)]
pub(super) fn plain_in<const CLEAN: bool>(text: &[u8]) -> usize {
    let Some(block) = text.first_chunk() else {
        return BLOCK;
    };
    let (low, high) = special::<CLEAN>(block);
    if low != 0 {
        first(low)
    } else if high != 0 {
        8 + first(high)
    } else {
        BLOCK
    }
}

const BLOCK: usize = 16;
const WIDE: usize = 2 * BLOCK;

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

/// The same in what is less than a block: by the block that the text ends with.
#[inline(never)]
fn plain_tail(text: &[u8], at: usize) -> usize {
    if let (Some(block), Some(before)) = (text.last_chunk(), text.len().checked_sub(BLOCK)) {
        if before < at {
            let skip = 8 * (at - before).min(BLOCK) as u32;
            let (low, high) = special::<false>(block);
            let marks = u128::from(high) << 64 | u128::from(low);
            let marks = u128::MAX.checked_shl(skip).unwrap_or(0) & marks;
            return before + (marks.trailing_zeros() / 8) as usize;
        }
    }
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
    halves(marks)
}

#[inline(always)]
fn halves(marks: [u8; BLOCK]) -> (u64, u64) {
    let marks = std::hint::black_box(marks);
    let (low, high) = marks.split_at(8);
    let half = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
    (half(low), half(high))
}

/// The same of a block of twice the size, in four words.
#[inline(always)]
fn specials<const CLEAN: bool>(block: &[u8; WIDE]) -> [u64; WIDE / 8] {
    let mut marks = [0; WIDE];
    for at in 0..WIDE {
        let byte = block[at];
        let special = (byte == b'"') | (byte == b'\\') | (!CLEAN & (byte < 0x20));
        marks[at] = if special { 0xFF } else { 0 };
    }
    let marks = std::hint::black_box(marks);
    let mut words = [0; WIDE / 8];
    for (word, bytes) in words.iter_mut().zip(marks.chunks_exact(8)) {
        *word = u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
    }
    words
}

/// Which byte of a half has the first mark.
#[inline(always)]
fn first(half: u64) -> usize {
    (half.trailing_zeros() / 8) as usize
}

/// Passes a word whose first byte may be there.
#[inline(always)]
pub(super) fn word<const SIZE: usize>(
    text: &[u8],
    at: usize,
    word: &[u8; SIZE],
) -> Result<usize, Stop> {
    match text.get(at..).and_then(<[u8]>::first_chunk::<SIZE>) {
        Some(same) if same == word => Ok(at + SIZE),
        _ => Err(another_word(text, at, word)),
    }
}

#[cold]
fn another_word(text: &[u8], at: usize, word: &[u8]) -> Stop {
    let rest = text.get(at..).unwrap_or_default();
    let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
    unexpected(text, at + same)
}
