//! Where strings and words end. All of it is plain functions over the text and a place in it, so that
//! a loop over many values keeps its place in a register.

use super::{
    FaultKind, Word, dense,
    escape::{ESCAPES, escape},
    fault::{Stop, stop, unexpected},
};

/// The place of the next byte that is not white space.
#[inline]
pub(super) fn space(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        // A blank, or a control character that may be one.
        Some(0..=b' ') => more_space(text, at),
        _ => at,
    }
}

/// The same where there mostly is a blank.
#[inline(always)]
pub(super) fn near_space(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(&here @ 0..=b' ') => blanks(text, at, here),
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
pub(super) fn is_blank(byte: u8) -> bool {
    const BLANKS: u64 = 1 << b' ' | 1 << b'\n' | 1 << b'\r' | 1 << b'\t';
    byte <= b' ' && BLANKS >> byte & 1 == 1
}

#[inline(never)]
fn more_space(text: &[u8], mut at: usize) -> usize {
    // Mostly there is one.
    if let Some([here, b'!'..=0xFF, ..]) = text.get(at..) {
        return at + usize::from(is_blank(*here));
    }
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

/// After so many escapes it is asked how far apart they are; where that is less than so many bytes, those that
/// follow are passed together.
const MANY: usize = 12;
const APART: usize = 12;

/// A string with something that is neither plain nor its end at `at`.
#[inline(never)]
pub(super) fn rest_of_string<const CLEAN: bool>(text: &[u8], mut at: usize) -> Result<usize, Stop> {
    let (mut escapes, mut since) = (0, at);
    'place: loop {
        match text.get(at) {
            Some(b'"') => return Ok(at),
            // Escapes may stand side by side.
            Some(b'\\') => {
                escapes += 1;
                if escapes >= MANY {
                    let before = at;
                    if before - since < APART * escapes {
                        at = dense::pass::<CLEAN>(text, at);
                    }
                    (escapes, since) = (0, at);
                    if at > before {
                        continue 'place;
                    }
                }
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
                    escapes += 1;
                }
            }
            rest = more;
        }
        // What is so long is mostly without escapes.
        at = plain_more::<CLEAN>(text, text.len() - rest.len());
    }
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

/// [`plain_until`], for a loop; in a clean text control characters are not looked for. Keys are short: what stands in
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
pub(super) fn halves(marks: [u8; BLOCK]) -> (u64, u64) {
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
