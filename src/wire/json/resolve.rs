//! What strings with escapes mean, written into a buffer.

use super::{
    bits::{Bits, NEAR, WINDOW},
    escape::{MEANINGS, number_meant},
};

/// So many bytes have to have room where a text is resolved to: less than two windows of what a window means, and
/// what is written behind it to no purpose.
pub(super) const ROOM: usize = 2 * WINDOW + BLOCK;
/// So many are written at once.
const BLOCK: usize = 16;
/// What is shorter is resolved step by step.
const SHORT: usize = 24;

/// Writes what a text means into a buffer, as long as that has [`ROOM`]: how much of the text it is, and how
/// many bytes it means. Behind these something may be written too. It has been seen that escapes are whole.
///
/// Where the next escape is, and of what kind, cannot be foreseen: all of a window are found at once, and each
/// is resolved in the same steps, so that there is nothing to be guessed.
#[inline(never)]
pub(super) fn resolve(text: &[u8], buffer: &mut [u8]) -> (usize, usize) {
    let (mut at, mut length) = (0, 0);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let room = buffer.get_mut(length..).unwrap_or_default();
        let Some(window_room) = room.first_chunk_mut() else {
            break;
        };
        let found = match rest.first_chunk() {
            Some(near) => resolve_window(near, WINDOW, window_room),
            None if rest.len() < SHORT => {
                let (passed, meant) = resolve_steps(rest, room);
                // An escape that is cut off was passed as if it were whole.
                return (text.len().min(at + passed), length + meant);
            }
            None => {
                let mut near = [0; NEAR];
                near[..rest.len()].copy_from_slice(rest);
                resolve_window(&near, rest.len().min(WINDOW), window_room)
            }
        };
        let Some((passed, meant)) = found else {
            // What is so long is mostly without escapes.
            let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            let run = run.min(room.len());
            room[..run].copy_from_slice(&rest[..run]);
            (at, length) = (at + run, length + run);
            continue;
        };
        (at, length) = (at + passed, length + meant);
    }
    (text.len().min(at), length)
}

/// The same of so many bytes of a window, unless it has no escape.
#[inline(always)]
fn resolve_window(near: &[u8; NEAR], size: usize, room: &mut [u8; ROOM]) -> Option<(usize, usize)> {
    let bits = Bits::new(near.first_chunk()?)?;
    let mut openings = openings(bits.is(b'\\'));
    if openings == 0 {
        return None;
    }
    let (mut passed, mut meant) = (0, 0);
    while openings != 0 {
        let place = openings.trailing_zeros() as usize;
        openings &= openings - 1;
        copy(near, passed..place, room, meant);
        meant += place - passed;
        let [letter, digits @ ..] = near[place % WINDOW + 1..].first_chunk::<12>()?;
        let meaning = MEANINGS[usize::from(*letter)];
        if meaning != 0 {
            room[meant % (2 * WINDOW)] = meaning;
            meant += 1;
            passed = place + 2;
            continue;
        }
        let code = four_digits(digits)?;
        passed = place + 6;
        let (word, count) = match code {
            0xD800..0xE000 => {
                // The other half is an escape too.
                openings &= openings.wrapping_sub(1);
                passed += 6;
                pair(code, four_digits(&digits[6..])?)
            }
            _ => encoded(code),
        };
        let to = meant % (2 * WINDOW);
        room[to..to + 8].copy_from_slice(&word.to_le_bytes());
        meant += count;
    }
    if passed < size {
        copy(near, passed..size, room, meant);
        meant += size - passed;
        passed = size;
    }
    Some((passed, meant))
}

/// Which backslashes begin an escape, of those of a text that begins with no other half of one: in each run
/// every second.
#[inline(always)]
fn openings(backslashes: u64) -> u64 {
    const EVEN: u64 = u64::MAX / 3;
    let starts = backslashes & !(backslashes << 1);
    // A run that begins at an even place is carried over.
    let even = backslashes & !backslashes.wrapping_add(starts & EVEN);
    backslashes & !(even ^ EVEN)
}

/// Writes a run of bytes of a window, and some more behind them.
#[inline(always)]
fn copy(near: &[u8; NEAR], run: std::ops::Range<usize>, room: &mut [u8; ROOM], mut to: usize) {
    let mut at = run.start;
    loop {
        let (from, place) = (at % WINDOW, to % (2 * WINDOW));
        room[place..place + BLOCK].copy_from_slice(&near[from..from + BLOCK]);
        (at, to) = (at + BLOCK, to + BLOCK);
        if at >= run.end {
            return;
        }
    }
}

/// The number that four hexadecimal digits are.
#[inline(always)]
fn four_digits(digits: &[u8]) -> Option<u64> {
    let word = u64::from(u32::from_be_bytes(*digits.first_chunk()?));
    // Letters have a bit that the others have not, and lack nine.
    let values = (word & 0x0F0F_0F0F) + 9 * (word >> 6 & 0x0101_0101);
    let pairs = (values | values >> 4) & 0x00FF_00FF;
    Some((pairs | pairs >> 8) & 0xFFFF)
}

/// The UTF-8 of a character of at most sixteen bits, the first byte lowest, and how many bytes it has.
#[inline(always)]
fn encoded(code: u64) -> (u64, usize) {
    let further = |shift: u64| 0x80 | code >> shift & 0x3F;
    let three = 0xE0 | code >> 12 | further(6) << 8 | further(0) << 16;
    let two = three >> 8 | 0x40;
    let more = if code < 0x800 { two } else { three };
    let word = if code < 0x80 { code } else { more };
    let count = 1 + usize::from(code >= 0x80) + usize::from(code >= 0x800);
    (word, count)
}

/// The UTF-8 of a pair, the first byte lowest, and how many bytes it has.
#[inline(always)]
fn pair(high: u64, low: u64) -> (u64, usize) {
    let code = 0x1_0000 + ((high & 0x3FF) << 10) + (low & 0x3FF);
    let further = |shift: u64| 0x80 | code >> shift & 0x3F;
    let word = 0xF0 | code >> 18 | further(12) << 8 | further(6) << 16 | further(0) << 24;
    (word, 4)
}

/// The same step by step, for what is short.
#[inline(never)]
fn resolve_steps(text: &[u8], buffer: &mut [u8]) -> (usize, usize) {
    let (mut at, mut length) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let room = buffer.get_mut(length..);
        let Some(room) = room.and_then(<[u8]>::first_chunk_mut::<BLOCK>) else {
            break;
        };
        let (passed, meant) = match rest {
            [b'\\', a, b'\\', b, b'\\', c, b'\\', d, ..] => {
                let meanings = [a, b, c, d].map(|escape| MEANINGS[usize::from(*escape)]);
                if meanings.contains(&0) {
                    resolve_one(rest, room)
                } else {
                    room[..4].copy_from_slice(&meanings);
                    (8, 4)
                }
            }
            [b'\\', ..] => resolve_one(rest, room),
            [plain, b'\\', escape, ..] => {
                room[0] = *plain;
                let meaning = MEANINGS[usize::from(*escape)];
                if meaning == 0 {
                    (1, 1)
                } else {
                    // What is written here alone keeps the two ways apart: nothing waits for the meaning.
                    room[1] = meaning;
                    (3, 2)
                }
            }
            _ => resolve_few(rest, room),
        };
        at += passed;
        length += meant;
    }
    (text.len().min(at), length)
}

/// The same of an escape.
#[inline(always)]
fn resolve_one(text: &[u8], room: &mut [u8; BLOCK]) -> (usize, usize) {
    let escape = text.get(1).copied().unwrap_or(0);
    let meaning = MEANINGS[usize::from(escape)];
    if meaning != 0 {
        room[0] = meaning;
        return (2, 1);
    }
    let (word, count, digits) = number_meant(text.get(2..).unwrap_or_default());
    room[..8].copy_from_slice(&word.to_le_bytes());
    (2 + digits, count)
}

/// The same of what begins with a plain byte, up to the first escape by number, and of no more than eight
/// bytes and the end of an escape. They are looked at together, for between two escapes there may be a letter
/// alone: where the next one stands is known before this one is resolved.
#[inline(always)]
fn resolve_few(text: &[u8], room: &mut [u8; BLOCK]) -> (usize, usize) {
    let (word, size) = match text.first_chunk() {
        Some(bytes) => (u64::from_le_bytes(*bytes), 8),
        None => {
            let word = text
                .iter()
                .rfold(0, |word, byte| word << 8 | u64::from(*byte));
            (word, text.len())
        }
    };
    let mut put = |at: usize, word: u64| {
        if let Some(places) = room.get_mut(at..at + 8) {
            places.copy_from_slice(&word.to_le_bytes());
        }
    };
    let mut backslashes = backslashes(word);
    let (mut passed, mut meant) = (0, 0);
    while backslashes != 0 {
        let place = (backslashes.trailing_zeros() / 8) as usize;
        put(meant, word >> (8 * passed));
        meant += place - passed;
        passed = place;
        let escape = text.get(place + 1).copied().unwrap_or(0);
        let meaning = MEANINGS[usize::from(escape)];
        if meaning == 0 {
            return (passed, meant);
        }
        put(meant, meaning.into());
        meant += 1;
        passed += 2;
        backslashes &= backslashes - 1;
        if escape == b'\\' {
            backslashes &= backslashes.wrapping_sub(1);
        }
    }
    if passed < size {
        put(meant, word >> (8 * passed));
        meant += size - passed;
        passed = size;
    }
    (passed, meant)
}

/// The high bit of each byte that is a backslash.
#[inline(always)]
fn backslashes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const REST: u64 = ONES * 0x7F;
    let others = word ^ (ONES * u64::from(b'\\'));
    !((others & REST).wrapping_add(REST) | others) & !REST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to so many pieces in no order, the next of them by a number.
    fn mixed(random: &mut impl FnMut(usize) -> usize, most: usize) -> String {
        let pieces = [
            r"\n",
            r"\\",
            r#"\""#,
            r"\/",
            r"\b",
            r"\f",
            r"\r",
            r"\t",
            r"\u0041",
            r"\u00e9",
            r"\u20AC",
            r"\ud834\udd1e",
            r"\u0000",
            r"\uD7ff",
            r"\ue000",
            r"\u007f",
            r"\u0080",
            r"\u07ff",
            r"\u0800",
            "a",
            "u",
            "nu",
            "bcd",
            "é",
            "€",
            "𝄞",
            "a run of plain bytes that is longer than a block",
        ];
        let some = 1 + random(pieces.len());
        let count = random(most + 1);
        (0..count).map(|_| pieces[random(some)]).collect()
    }

    #[test]
    fn windows_mean_what_steps_do() {
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let text = mixed(&mut random, 60);
            let mut steps = vec![0; text.len() + ROOM];
            let (passed, length) = resolve_steps(text.as_bytes(), &mut steps);
            assert_eq!(passed, text.len(), "{text}");
            // However much room there is, all is resolved in the end.
            let mut windows = Vec::new();
            let (mut at, mut room) = (0, vec![0; ROOM + random(200)]);
            while at < text.len() {
                let (passed, meant) = resolve(&text.as_bytes()[at..], &mut room);
                assert!(passed > 0, "{text}");
                windows.extend_from_slice(&room[..meant]);
                at += passed;
            }
            assert_eq!(windows, steps[..length], "{text}");
            let meant = serde_json::from_str::<String>(&format!("\"{text}\""));
            assert_eq!(meant.expect("a string").as_bytes(), windows, "{text}");
        }
    }
}
