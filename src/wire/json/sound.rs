//! Strings of a text that nobody has looked at yet: where they end and that they are UTF-8, in one
//! pass where they are ASCII without escapes, as nearly all are.

use super::scan::{halves, rest_of_string};

const BLOCK: usize = 16;
const WIDE: usize = 4 * BLOCK;
/// So many blocks before wide ones, more than there are in one of those.
const BLOCKS: usize = 5;

/// Where the string ends that begins here, behind its quote; `None` when it is malformed or not UTF-8.
#[inline(always)]
pub(crate) fn sound_end(text: &[u8], at: usize) -> Option<usize> {
    let end = ascii_until(text, at);
    match text.get(end)? {
        b'"' => Some(end),
        _ => rest(text, end),
    }
}

/// The same of one with something else than plain ASCII at this place and none before.
#[inline(never)]
fn rest(text: &[u8], at: usize) -> Option<usize> {
    let end = rest_of_string::<false>(text, at).ok()?;
    let rest = &text[at..end];
    (rest.is_ascii() || std::str::from_utf8(rest).is_ok()).then_some(end)
}

/// Where the first quote, backslash, control character or byte beyond ASCII stands from `at` on, else
/// the end. What stands in the first block needs no call.
#[inline(always)]
fn ascii_until(text: &[u8], at: usize) -> usize {
    match text.get(at..).and_then(<[u8]>::first_chunk) {
        Some(block) => match in_block(block) {
            Some(end) => at + end,
            None => ascii_more(text, at + BLOCK),
        },
        None => ascii_tail(text, at),
    }
}

/// Sentences block by block; whatever is longer, by wider ones.
#[inline(never)]
fn ascii_more(text: &[u8], at: usize) -> usize {
    in_blocks(text, at).unwrap_or_else(|| {
        let at = ascii_wide(text, at + BLOCKS * BLOCK);
        // It stands in what would be the next wide block, or the text ends there.
        in_blocks(text, at).unwrap_or(text.len())
    })
}

/// Where it stands in the next blocks, or the text ends in them.
#[inline(always)]
fn in_blocks(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..BLOCKS {
        let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) else {
            return Some(ascii_tail(text, at));
        };
        if let Some(end) = in_block(block) {
            return Some(at + end);
        }
        at += BLOCK;
    }
    None
}

/// Passes all wide blocks without such a byte.
fn ascii_wide(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<WIDE>) {
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        at += WIDE;
    }
    at
}

#[inline(never)]
fn ascii_tail(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| is_special(*byte));
    at + end.unwrap_or(rest.len())
}

/// Where the first of them stands in a block.
#[inline(always)]
fn in_block(block: &[u8; BLOCK]) -> Option<usize> {
    // Vector instructions, as in `scan`.
    let marks = block.map(|byte| if is_special(byte) { 0xFF } else { 0 });
    let (low, high) = halves(marks);
    let first = |half: u64| (half.trailing_zeros() / 8) as usize;
    if low != 0 {
        return Some(first(low));
    }
    (high != 0).then(|| 8 + first(high))
}

/// A quote, a backslash, a control character or what is no ASCII, in two comparisons: with the quote and
/// the blank in each other's place, all but the backslash are less than what is plain, and those beyond
/// ASCII are negative.
#[inline(always)]
const fn is_special(byte: u8) -> bool {
    let signed = i8::from_ne_bytes([byte ^ b'"' ^ b' ']);
    (signed <= 0x20) | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Cursor;

    /// The same by two passes that know nothing of each other.
    fn plainly(text: &[u8], at: usize) -> Option<usize> {
        let mut cursor = Cursor::within(text, at.checked_sub(1)?, usize::MAX);
        let end = cursor.string_here().ok()??.range().end;
        std::str::from_utf8(&text[at..end]).is_ok().then_some(end)
    }

    const PIECES: [&[u8]; 22] = [
        b"",
        b"a",
        b" ",
        b"!",
        b"#",
        b"\"",
        b"\\",
        b"\\n",
        b"\\\"",
        b"\\u00e9",
        b"\\ud83d\\ude00",
        b"\\ud83d",
        b"\\u12",
        b"\\x",
        b"\0",
        b"\x1F",
        b"\x7F",
        b"\x80",
        "é".as_bytes(),
        "€".as_bytes(),
        b"\xE2\x82",
        b"\xFF",
    ];

    #[test]
    fn it_ends_where_two_passes_say_wherever_something_stands() {
        for length in [
            0, 1, 5, 14, 15, 16, 17, 31, 63, 64, 79, 80, 96, 97, 130, 170, 300,
        ] {
            for closed in [&b"\""[..], b"\",\"more\":null}", b""] {
                let text = [b"\"", &b"x".repeat(length)[..], closed].concat();
                assert_eq!(sound_end(&text, 1), plainly(&text, 1), "{length}");
                for at in 0..=length {
                    for piece in PIECES {
                        let (before, behind) = text.split_at(1 + at);
                        let text = [before, piece, behind].concat();
                        let said = text.escape_ascii();
                        assert_eq!(sound_end(&text, 1), plainly(&text, 1), "{said}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_ends_where_two_passes_say_whatever_stands_side_by_side() {
        for before in [0, 3, 13, 40, 77, 90, 150] {
            for first in PIECES {
                for second in PIECES {
                    for between in [0, 1, 12, 70] {
                        let (before, between) = (b"x".repeat(before), b"y".repeat(between));
                        let text =
                            [b"\"", &before[..], first, &between, second, b"z\", 1]"].concat();
                        let said = text.escape_ascii();
                        assert_eq!(sound_end(&text, 1), plainly(&text, 1), "{said}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_byte_is_plain_or_not_as_two_passes_say() {
        for byte in 0..=u8::MAX {
            let plain = byte.is_ascii() && byte >= 0x20 && byte != b'"' && byte != b'\\';
            assert_eq!(is_special(byte), !plain, "{byte:#x}");
        }
    }
}
