//! Escapes: how long they are, and what they mean. Plain functions over the text and a place in it.

use super::{
    FaultKind, Word,
    fault::{Stop, stop},
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

/// What a string was found to be at one look.
pub(super) struct Meant {
    pub(super) word: Word,
    /// Where it ends, be it at its closing quote or with the text.
    pub(super) end: usize,
    pub(super) is_escaped: bool,
}

/// What the string means that begins at a place: it is checked and resolved at one look. Nothing where it is
/// wrong or long.
#[inline(never)]
pub(super) fn meant(text: &[u8], start: usize) -> Option<Meant> {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let mut at = start;
    let mut words = Words::default();
    let (mut is_escaped, mut has_nul) = (false, false);
    loop {
        let here = byte(at);
        let (run, bits) = match here {
            b'"' => break,
            b'\\' => {
                is_escaped = true;
                let escape = byte(at + 1);
                let meaning = MEANINGS[usize::from(escape)];
                at += 2;
                if meaning != 0 {
                    (meaning.into(), 8)
                } else if escape == b'u' {
                    let (word, bits) = match ascii_number(text, at) {
                        0 => wide_number(text, at),
                        ascii => (ascii.into(), 8),
                    };
                    if bits == 0 {
                        return None;
                    }
                    has_nul |= word == 0;
                    at += if bits == 32 { 10 } else { 4 };
                    (word, bits)
                } else {
                    return None;
                }
            }
            0..0x20 if at >= text.len() => break,
            0..0x20 => return None,
            // What is looked for is not waited for.
            _ if matches!(byte(at + 1), b'"' | b'\\') => {
                at += 1;
                (here.into(), 8)
            }
            _ => match text.get(at..).and_then(<[u8]>::first_chunk) {
                None => {
                    at += 1;
                    (here.into(), 8)
                }
                Some(block) => {
                    let (length, run) = word_run(*block);
                    at += length;
                    (run, 8 * length as u64)
                }
            },
        };
        words.push(run, bits)?;
    }
    Some(Meant {
        word: words.word(has_nul)?,
        end: at,
        is_escaped,
    })
}

/// As many words are looked at together.
const MOST: usize = 6;

/// Bytes in words, the first one lowest.
#[derive(Default)]
struct Words {
    whole: [u64; MOST],
    count: usize,
    /// What comes behind these, and how many bits of it there are.
    last: u64,
    filled: u64,
}

impl Words {
    /// Adds so many bits, above which there is nothing. Nothing where there is no room.
    #[inline(always)]
    fn push(&mut self, run: u64, bits: u64) -> Option<()> {
        self.last |= run << self.filled;
        self.filled += bits;
        if self.filled >= 64 {
            *self.whole.get_mut(self.count)? = self.last;
            self.count += 1;
            self.filled -= 64;
            self.last = run.checked_shr((bits - self.filled) as u32).unwrap_or(0);
        }
        Some(())
    }

    #[inline(always)]
    fn word(&self, has_nul: bool) -> Option<Word> {
        let whole = self.whole.get(..self.count)?;
        let bytes = (self.filled / 8) as usize;
        Some(Word::of_words(whole, self.last, bytes, has_nul))
    }
}

/// How many bytes come before the first quote, backslash or control character of a word, and these bytes.
#[inline(always)]
pub(super) fn word_run(bytes: [u8; 8]) -> (usize, u64) {
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
    let digits = text.get(at..).unwrap_or_default();
    let low = || match digits.get(4..6) {
        Some(b"\\u") => hex(text, at + 6, 0).unwrap_or(0),
        _ => 0,
    };
    match hex(text, at, 0) {
        Ok(0xD800..0xDC00) if !(0xDC00..0xE000).contains(&low()) => (0, 0),
        Ok(0xDC00..0xE000) | Err(_) => (0, 0),
        Ok(_) => {
            let (word, count, _) = number_meant(digits);
            (word, 8 * count as u64)
        }
    }
}

/// What an escape of two bytes means by its second; zero for none.
pub(super) const MEANINGS: [u8; 256] = {
    let mut meanings = [0; 256];
    let mut at = 0;
    while at < 8 {
        meanings[b"\"\\/bfnrt"[at] as usize] = b"\"\\/\x08\x0C\n\r\t"[at];
        at += 1;
    }
    meanings
};

/// What an escape means whose digits come next: so many bytes, the first lowest; and how many digits it
/// has, with what stands between those of a pair.
#[inline(always)]
pub(super) fn number_meant(digits: &[u8]) -> (u64, usize, usize) {
    let code = u64::from(unit(digits));
    match code {
        0..0x80 => (code, 1, 4),
        0xD800..0xDC00 => {
            let low = digits.get(6..).map_or(0, unit);
            let code = 0x1_0000 + ((code - 0xD800) << 10) + u64::from(low & 0x3FF);
            (encoded(code), 4, 10)
        }
        0x80..0x800 => (encoded(code), 2, 4),
        _ => (encoded(code), 3, 4),
    }
}

/// The UTF-8 of a character beyond ASCII, the first byte lowest.
#[inline(always)]
fn encoded(code: u64) -> u64 {
    let further = |shift: u64| 0x80 | code >> shift & 0x3F;
    match code {
        0..0x800 => 0xC0 | code >> 6 | further(0) << 8,
        0x800..0x1_0000 => 0xE0 | code >> 12 | further(6) << 8 | further(0) << 16,
        _ => 0xF0 | code >> 18 | further(12) << 8 | further(6) << 16 | further(0) << 24,
    }
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
