//! Whether bytes are UTF-8: the same number of steps for each, whatever they are.

/// Where the next byte leads from each state, at the bits that the state is the number of. So the state
/// is what the row of a byte is shifted by, and the next one is what that leaves: there is nothing else to
/// wait for, nor to guess, however the characters are mixed.
const ROWS: [u64; 256] = {
    let mut rows = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut state = 0;
        while state < STATES.len() {
            let next = next(STATES[state], byte as u8);
            rows[byte] |= next << STATES[state];
            state += 1;
        }
        byte += 1;
    }
    rows
};

/// Between characters.
const START: u64 = 0;
const BROKEN: u64 = 6;
/// So many more bytes of the character.
const ONE: u64 = 12;
const TWO: u64 = 18;
const THREE: u64 = 24;
/// Behind a first byte that does not take every second one: too long a spelling, a surrogate, beyond
/// U+10FFFF.
const BEHIND_E0: u64 = 30;
const BEHIND_ED: u64 = 36;
const BEHIND_F0: u64 = 42;
const BEHIND_F4: u64 = 48;
const STATES: [u64; 9] = [
    START, BROKEN, ONE, TWO, THREE, BEHIND_E0, BEHIND_ED, BEHIND_F0, BEHIND_F4,
];

const fn next(state: u64, byte: u8) -> u64 {
    match (state, byte) {
        (START, 0..0x80) => START,
        (START, 0xC2..0xE0) => ONE,
        (START, 0xE0) => BEHIND_E0,
        (START, 0xED) => BEHIND_ED,
        (START, 0xE1..0xF0) => TWO,
        (START, 0xF0) => BEHIND_F0,
        (START, 0xF1..0xF4) => THREE,
        (START, 0xF4) => BEHIND_F4,
        (ONE, 0x80..0xC0) => START,
        (TWO, 0x80..0xC0) | (BEHIND_E0, 0xA0..0xC0) | (BEHIND_ED, 0x80..0xA0) => ONE,
        (THREE, 0x80..0xC0) | (BEHIND_F0, 0x90..0xC0) | (BEHIND_F4, 0x80..0x90) => TWO,
        _ => BROKEN,
    }
}

/// Whether it is UTF-8 as the standard library has it.
pub(super) fn is_utf8(text: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let step = |state: u64, byte: u8| ROWS[usize::from(byte)] >> (state & 63);
    let mut state = START;
    let mut rest = text;
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        rest = behind;
        let (low, high) = block.split_at(8);
        let half = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
        if state & 63 == START && (half(low) | half(high)) & HIGH == 0 {
            continue;
        }
        state = block.iter().copied().fold(state, step);
    }
    state = rest.iter().copied().fold(state, step);
    state & 63 == START
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
