//! Keys, with what they say in one word.

use super::{
    Cursor, Str, Word,
    escape::{self, Meant},
    scan,
};

/// A key of an object.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) string: Str<'a>,
    /// The same however the key is spelled, so that an escape is resolved once.
    pub(crate) word: Word,
}

impl<'a> Cursor<'a> {
    /// The next key of the object that is being read, its colon passed, if it is not the first one and of
    /// nothing but decimal digits. Blanks are passed wherever they may stand.
    #[inline(always)]
    pub(crate) fn later_digits_key(&mut self) -> Option<Key<'a>> {
        const ONES: u64 = u64::MAX / 0xFF;
        let text = self.text;
        let quote = behind_comma(text, self.at, scan::near_space)?;
        let block = text.get(quote..)?.first_chunk::<17>()?;
        let [b'"', within @ ..] = block else {
            return None;
        };
        let half = |at: usize| within[at..].first_chunk().copied().map(u64::from_le_bytes);
        // The high bit of the first byte that is no digit, and of some behind it.
        let others = |word: u64| {
            let word = word ^ (ONES * 0x30);
            (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80)
        };
        let before = |marks: u64| (marks & marks.wrapping_neg()).wrapping_sub(1) >> 7;
        let (low, high) = (half(0)?, half(8)?);
        let (low_others, high_others) = (others(low), others(high));
        let (length, word) = if low_others as u32 == 0 && within[4] == b'"' {
            // The shortest of which there are thousands. What comes behind need not wait for the length.
            let low = low & u64::from(u32::MAX);
            (4, Word { low, high: 0 })
        } else if low_others != 0 {
            let low = low & before(low_others);
            (
                (low_others.trailing_zeros() / 8) as usize,
                Word { low, high: 0 },
            )
        } else if high_others != 0 {
            let high = high & before(high_others);
            let length = 8 + (high_others.trailing_zeros() / 8) as usize;
            (length, Word { low, high })
        } else {
            (0, Word::NONE)
        };
        let start = quote + 1;
        let end = start + length;
        if length == 0 || text.get(end) != Some(&b'"') {
            let (key, end) = any_key(text, quote)?;
            if !key.word.is_digits() {
                return None;
            }
            let before = self.escaped;
            self.spend_escaped(key.string).ok()?;
            if self.value_behind_key(end).is_none() {
                self.escaped = before;
                return None;
            }
            return Some(key);
        }
        self.value_behind_key(end + 1)?;
        let string = Str::new(&text[start..end], start, false);
        Some(Key { string, word })
    }

    /// Passes the colon behind a key that ends at a place, if one comes next, and takes the member.
    #[inline(always)]
    fn value_behind_key(&mut self, at: usize) -> Option<()> {
        let colon = scan::near_space(self.text, at);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        self.budget = self.budget.checked_sub(1)?;
        self.at = scan::near_space(self.text, colon + 1);
        Some(())
    }

    /// Passes blanks before a value where there mostly is one.
    #[inline(always)]
    pub(crate) fn pass_near_space(&mut self) {
        self.at = scan::near_space(self.text, self.at);
    }

    /// A word that is the next element of the array that is being read, but not the first one, and its
    /// place. Blanks are passed wherever they may stand.
    #[inline(always)]
    pub(crate) fn later_word(&mut self) -> Option<(usize, Word)> {
        let quote = behind_comma(self.text, self.at, behind_few_blanks)?;
        let budget = self.budget.checked_sub(1)?;
        let block = self.text.get(quote..)?.first_chunk::<17>()?;
        let (end, word) = match (block, scan::short(block)) {
            ([b'"', ..], Some((length, word))) => (quote + length + 2, word),
            _ => self.any_word(quote)?,
        };
        self.budget = budget;
        self.at = end;
        Some((quote, word))
    }

    /// The word that a string has, and its place, if it begins right here and is not long.
    #[inline(always)]
    pub(crate) fn any_word_here(&mut self) -> Option<(usize, Word)> {
        let quote = self.at;
        let (end, word) = self.any_word(quote)?;
        self.at = end;
        Some((quote, word))
    }

    /// What a string at a place says, however it is spelled, unless it is long; and the place behind it.
    #[inline(always)]
    fn any_word(&mut self, quote: usize) -> Option<(usize, Word)> {
        let (key, end) = any_key(self.text, quote)?;
        self.spend_escaped(key.string).ok()?;
        Some((end, key.word))
    }
}

/// A key right behind what is due before it, however it is spelled, unless it is long; and where its value
/// begins.
#[inline(always)]
pub(super) fn spelled_key(text: &[u8], at: usize, mark: u8) -> Option<(Key<'_>, usize)> {
    if text.get(at) != Some(&mark) {
        return None;
    }
    if let Some(found) = once_escaped_key(text, at + 1) {
        return Some(found);
    }
    let (key, end) = any_key(text, at + 1)?;
    let colon = scan::near_space(text, end);
    (text.get(colon) == Some(&b':')).then_some((key, colon + 1))
}

/// The same of one that is short, has one escape of two bytes, and stands right before its colon.
#[inline(always)]
fn once_escaped_key(text: &[u8], quote: usize) -> Option<(Key<'_>, usize)> {
    let [b'"', near @ ..] = text.get(quote..)?.first_chunk::<9>()? else {
        return None;
    };
    let (before, low) = escape::word_run(*near);
    let escape = near.get(before..)?;
    let [b'\\', escape, ..] = escape else {
        return None;
    };
    let meaning = escape::MEANINGS[usize::from(*escape)];
    if meaning == 0 {
        return None;
    }
    let rest = text.get(quote + 3 + before..)?.first_chunk::<10>()?;
    let (behind, run) = escape::word_run(*rest.first_chunk()?);
    if before + behind >= 8 || rest.get(behind..behind + 2) != Some(b"\":") {
        return None;
    }
    let low = low | (u64::from(meaning) | run << 8) << (8 * before);
    let (start, length) = (quote + 1, before + 2 + behind);
    let string = Str::new(text.get(start..start + length)?, start, true);
    let word = Word { low, high: 0 };
    Some((Key { string, word }, start + length + 2))
}

/// A key, however it is spelled, unless it is long; and the place behind its closing quote.
#[inline(always)]
pub(super) fn any_key(text: &[u8], quote: usize) -> Option<(Key<'_>, usize)> {
    if text.get(quote) != Some(&b'"') {
        return None;
    }
    let start = quote + 1;
    let Meant {
        word,
        end,
        is_escaped,
    } = escape::meant(text, start)?;
    let raw = text.get(start..end).filter(|_| end < text.len())?;
    let string = Str::new(raw, start, is_escaped);
    Some((Key { string, word }, end + 1))
}

/// The place of what follows the comma that comes next.
#[inline(always)]
fn behind_comma(
    text: &[u8],
    at: usize,
    behind_blanks: impl Fn(&[u8], usize) -> usize,
) -> Option<usize> {
    let comma = behind_blanks(text, at);
    (text.get(comma) == Some(&b',')).then(|| behind_blanks(text, comma + 1))
}

/// Passes blanks where there mostly are two at most.
#[inline(always)]
fn behind_few_blanks(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some([b' ', b' ', b'!'..=0xFF, ..]) => at + 2,
        _ => scan::near_space(text, at),
    }
}
