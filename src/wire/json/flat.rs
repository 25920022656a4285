//! Passing runs of small elements, many at a time: a text may be made of nothing else, and each alone would
//! cost more than its bytes.

use super::scan;

/// So many bytes are looked at together.
const WINDOW: usize = 4 * BLOCK;
const BLOCK: usize = 16;
/// Where less of them is passed, the elements are so long that one by one they are no dearer.
const ENOUGH: usize = 40;

/// So many elements are passed one by one before the next are looked at together: honest texts have hardly
/// more.
const FEW: usize = 4;
/// So many where that did not help, as less than so many bytes were passed.
pub(super) const MANY: usize = 128;
const LONG: usize = 128;

/// Where an element is due in an array and can be paid for, passes those that are strings without escapes or
/// whole numbers, with the blanks around them and the comma behind each: the place where an element is due
/// then, or blanks before it, how much of the budget may be spent until this is tried again, and the rest.
///
/// No byte waits for what another turned out to be: all of a window are sorted at once, a bit for each.
/// Only what ends with a comma within it is passed.
#[inline(never)]
pub(super) fn pass<const CLEAN: bool>(
    text: &[u8],
    start: usize,
    mut budget: usize,
) -> (usize, usize, usize) {
    let mut at = start;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let commas = commas::<CLEAN>(window);
        let count = commas.count_ones() as usize;
        if count == 0 || budget <= count {
            break;
        }
        budget -= count;
        let length = WINDOW - commas.leading_zeros() as usize;
        at += length;
        if length < ENOUGH {
            break;
        }
    }
    let next = if at - start < LONG { MANY } else { FEW };
    let next = next.min(budget);
    (at, next, budget - next)
}

/// The commas up to which a window is made of such elements.
#[inline(always)]
fn commas<const CLEAN: bool>(window: &[u8; WINDOW]) -> u64 {
    let quotes = bits(window, |byte| byte == b'"');
    // From an opening quote to before its closing one.
    let mut within = quotes;
    for shift in [1, 2, 4, 8, 16, 32] {
        within ^= within << shift;
    }
    let commas = bits(window, |byte| byte == b',') & !within;
    let digits = bits(window, |byte| byte.wrapping_sub(b'0') < 10) & !within;
    // In a clean text a blank is nothing but a space, and only escapes are not plain.
    let specials = bits(window, |byte| (byte == b'\\') | (!CLEAN & (byte < b' ')));
    let mut blanks = bits(window, |byte| byte == b' ') & !within;
    if !CLEAN && specials & !within != 0 {
        let is_line = |byte| (byte == b'\n') | (byte == b'\r') | (byte == b'\t');
        blanks |= bits(window, is_line) & !within;
    }

    let first_digits = digits & !(digits << 1);
    let second_digits = first_digits << 1 & digits;
    // Nothing follows a zero.
    let behind_zeros = match second_digits {
        0 => 0,
        _ => bits(window, |byte| byte == b'0') << 1 & second_digits,
    };
    let starts = quotes & within | first_digits;
    let ends = quotes & !within | digits & !(digits >> 1);
    // What comes next behind blanks: a sum carries each bit over those that it stands before.
    let behind = |bits: u64| bits.wrapping_add(blanks) & !blanks;
    let wrong = starts ^ behind(commas << 1 | 1)
        | commas ^ behind(ends << 1)
        | behind_zeros
        | specials & within
        | !(quotes | within | commas | digits | blanks);
    commas & (wrong & wrong.wrapping_neg()).wrapping_sub(1)
}

/// A bit for each byte of which something is so, the lowest for the first.
#[inline(always)]
fn bits(window: &[u8; WINDOW], is: impl Fn(u8) -> bool + Copy) -> u64 {
    let mut all = 0;
    for (at, block) in window.chunks_exact(BLOCK).enumerate() {
        let bits = block
            .first_chunk()
            .map_or(0, |block| bits_of_block(block, is));
        all |= bits << (BLOCK * at);
    }
    all
}

#[inline(always)]
fn bits_of_block(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let mut marks = [0; BLOCK];
    for at in 0..BLOCK {
        marks[at] = if is(block[at]) { 0xFF } else { 0 };
    }
    let (low, high) = scan::halves(marks);
    // One bit is left of each byte, another of each, and the highest byte of the product is their sum.
    let bits = |half: u64| (half & 0x8040_2010_0804_0201).wrapping_mul(u64::MAX / 0xFF);
    bits(low) >> 56 | bits(high) >> 48 & 0xFF00
}

#[cfg(test)]
mod tests {
    use crate::wire::json::{Cursor, Fault};

    /// The elements one by one, none of them together with another.
    fn read(mut cursor: Cursor<'_>) -> Result<(usize, usize), Fault> {
        cursor.array()?;
        while cursor.element()? {
            cursor.skip()?;
        }
        Ok((cursor.at(), cursor.budget()))
    }

    fn skip(mut cursor: Cursor<'_>) -> Result<(usize, usize), Fault> {
        cursor.skip()?;
        Ok((cursor.at(), cursor.budget()))
    }

    fn agrees(text: &str, budget: usize) {
        let cursor = Cursor::with_budget(text, budget);
        assert_eq!(skip(cursor.clone()), read(cursor.clone()), "{text}");
        if !text.bytes().any(|byte| byte < b' ') {
            let cursor = cursor.clean();
            assert_eq!(skip(cursor.clone()), read(cursor), "{text}");
        }
    }

    #[test]
    fn elements_passed_together_are_judged_as_one_by_one() {
        let alike = [
            "1,",
            " 1 ,",
            "  1  ,",
            "12 ,",
            "\"\",",
            "\"a\",",
            "\"\u{e9}\" , ",
            "\n\"b,c\"\t,",
            "0,",
        ];
        let others = [
            "",
            "01,",
            "1 1,",
            "\"\"\"\",",
            ",",
            "\"\"1,",
            "1\"\",",
            "\"",
            "\\",
            "\"\\\"\",",
            "]",
            "\"\n\",",
            "\u{1}",
            "\u{b}1,",
            "[],",
            "{\"a\":1},",
            "-1,",
            "1.5,",
            "1e5,",
            "null,",
            "\"a\":1,",
            "1]",
            "17976931348623157000000000000000000000,",
            "\u{e9},",
            " ",
            "                              ",
        ];
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % below
        };
        for round in 0..4000 {
            let mut text = String::from("[");
            let same = next(alike.len());
            let other = next(80);
            for at in 0..80 {
                text += match round % 3 {
                    _ if at == other => others[next(others.len())],
                    0 => alike[next(alike.len())],
                    _ => alike[same],
                };
            }
            text += "1]";
            agrees(&text, usize::MAX);
            agrees(&text, next(100));
        }
    }
}
