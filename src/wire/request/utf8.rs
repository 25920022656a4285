//! Whether bytes are UTF-8: the same number of steps for each, whatever they are.

const HIGH: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 16;
/// A character has at most so many bytes before its last.
const BEFORE: usize = 3;

/// Whether it is UTF-8 as the standard library has it.
///
/// Each byte is judged by itself and by the three before it: there is nothing to wait for, nor to guess,
/// however the characters are mixed, and the compiler judges sixteen at a time.
pub(super) fn is_utf8(text: &[u8]) -> bool {
    let mut wrong = [0; BLOCK];
    let mut near = [0; BEFORE + BLOCK];
    // Nothing stands before the first.
    let first = text.len().min(BLOCK);
    near[BEFORE..BEFORE + first].copy_from_slice(&text[..first]);
    judge(&near, &mut wrong);
    let mut rest = text.get(BLOCK - BEFORE..).unwrap_or_default();
    while let Some(block) = rest.first_chunk() {
        // Asked in words, which overlap.
        let word = |at: usize| block[at..].first_chunk().copied().map(u64::from_le_bytes);
        let [low, high, last] = [word(0), word(8), word(BEFORE + 8)].map(Option::unwrap_or_default);
        if (low | high | last) & HIGH != 0 {
            judge(block, &mut wrong);
        }
        rest = &rest[BLOCK..];
    }
    // Behind the last stands what goes on with no character.
    near = [0; BEFORE + BLOCK];
    near[..rest.len()].copy_from_slice(rest);
    judge(&near, &mut wrong);
    wrong.iter().all(u8::is_ascii)
}

/// Notes in the high bit of each byte of a block, before which stand the three before it, whether it is wrong.
/// What is in the other bits does not matter.
#[inline(always)]
fn judge(near: &[u8; BEFORE + BLOCK], wrong: &mut [u8; BLOCK]) {
    // All bits of a byte, or none: so it stays in vectors.
    let all = |is: bool| if is { 0xFF } else { 0 };
    for at in 0..BLOCK {
        let [third, second, first, here] = [near[at], near[at + 1], near[at + 2], near[at + 3]];
        let continues = here & !here.wrapping_add(here);
        // From these on each has its high bit.
        let due = first.saturating_sub(0xC0 - 0x80)
            | second.saturating_sub(0xE0 - 0x80)
            | third.saturating_sub(0xF0 - 0x80);
        let never = all(here & 0xFE == 0xC0) | here.saturating_sub(0xF5 - 0x80);
        // Too long a spelling, a surrogate, beyond U+10FFFF. What is no continuation is wrong anyway.
        let (is_early, is_low) = (all((here as i8) < -0x70), all((here as i8) < -0x60));
        let range = all(first == 0xE0) & is_low
            | all(first == 0xED) & !is_low
            | all(first == 0xF0) & is_early
            | all(first == 0xF4) & !is_early;
        wrong[at] |= (continues ^ due) | never | range;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(text: &[u8]) {
        assert_eq!(
            is_utf8(text),
            std::str::from_utf8(text).is_ok(),
            "{text:x?}"
        );
    }

    #[test]
    fn every_beginning_of_a_character_is_judged_as_the_standard_library_does() {
        // What the bounds of all ranges are, and their neighbours.
        let bounds = [
            0, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
            0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
        ];
        for first in 0..=u8::MAX {
            agrees(&[first]);
            for second in 0..=u8::MAX {
                agrees(&[first, second]);
                for third in bounds {
                    agrees(&[first, second, third]);
                }
            }
        }
        for first in 0xEF..=0xF5 {
            for second in 0x7F..=0xC0 {
                for third in bounds {
                    for fourth in bounds {
                        agrees(&[first, second, third, fourth]);
                    }
                }
            }
        }
    }

    #[test]
    fn where_a_block_ends_does_not_matter() {
        let text = "aé€𝄞 plain and so on, plain and so on, é plain and so on€𝄞".as_bytes();
        for start in 0..text.len() {
            for end in start..=text.len() {
                agrees(&text[start..end]);
            }
        }
        for at in 0..text.len() {
            for byte in [0, b'a', 0x80, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0xFF] {
                let mut text = text.to_vec();
                text[at] = byte;
                agrees(&text);
            }
        }
    }
}
