//! What the bytes of a window are to JSON, and whether each may stand where it does.

use super::{
    bits::{Bits, NEAR, has_many, highest, turned, until, up_to},
    due::Due,
    levels::{Levels, Marks, Passed},
    words::{escaped, escapes, words},
};

/// Where a window has less commas, opening brackets, escapes and blanks, one by one is no dearer.
const DENSE: u32 = 4;
/// In ASCII the brackets of objects are those of arrays with one more bit.
const KIND: u8 = 0x20;

/// The bytes of a window by what they are to JSON.
pub(super) struct Sorted {
    pub(super) bits: Bits,
    /// What is looked at: all but what the window's end cuts off.
    pub(super) range: u64,
    pub(super) quotes: u64,
    /// What stands within strings, from the opening quote to before the closing one.
    pub(super) within: u64,
    pub(super) blanks: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    pub(super) opens: u64,
    pub(super) closes: u64,
    /// Brackets that are those of objects, and some other places.
    pub(super) objects: u64,
    /// What numbers and literals are made of.
    pub(super) bare: u64,
    /// A place in each number that is huge.
    pub(super) huge: u64,
    /// Where strings, numbers and literals end.
    pub(super) ends: u64,
    /// Brackets that close what is empty.
    pub(super) empty: u64,
}

impl Sorted {
    /// Nothing where something is wrong that can be told without knowing the levels, or where less is no dearer.
    #[inline(always)]
    pub(super) fn new<const CLEAN: bool>(near: &[u8; NEAR], due: Due) -> Option<Self> {
        let bits = Bits::new(near.first_chunk()?)?;
        let mut wrong = 0;
        let mut range = u64::MAX;

        let mut quotes = bits.is(b'"');
        let backslashes = bits.is(b'\\');
        if backslashes != 0 {
            let escaped = escaped(backslashes);
            quotes &= !escaped;
            let escapes = escapes(&bits, escaped);
            wrong |= escapes.wrong;
            range = until(escapes.cut_off(backslashes & !escaped));
        }
        let within = turned(quotes) ^ due.within().wrapping_neg();
        let outside = !(within | quotes);

        let commas = bits.is(b',') & outside;
        let opens = bits.like(b'{', !KIND) & outside;
        // In a clean text a blank is nothing but a space.
        let mut blanks = bits.is(b' ') & outside;
        if !CLEAN {
            let controls = bits.like(0, 0xE0);
            wrong |= controls & within;
            if controls & outside != 0 {
                blanks |= (bits.is(b'\n') | bits.is(b'\r') | bits.is(b'\t')) & outside;
            }
        }
        let dear = commas | opens | backslashes | blanks & !(blanks << 1);
        if !has_many(dear, DENSE) {
            return None;
        }
        let colons = bits.is(b':') & outside;
        let closes = bits.like(b'}', !KIND) & outside;
        let objects = bits.like(KIND, KIND);
        let bare = outside & !(blanks | commas | colons | opens | closes);
        // What the end cuts off.
        range &= u64::MAX.checked_shr((!bare).leading_zeros())?;
        let starts = quotes & within | bare & !(bare << 1);
        let ends = quotes & !within | bare & !(bare >> 1);
        let empty = behind(opens << 1 | due.is_empty(), blanks) & closes;
        wrong |= behind((commas | colons | opens) << 1 | due.starts(), blanks)
            ^ (starts | opens | empty);
        wrong |=
            behind((ends | closes) << 1 | due.ends(), blanks) ^ (commas | colons | closes & !empty);
        let words = words(near, &bits, bare & range);
        wrong |= words.wrong;
        if wrong & range != 0 || range == 0 {
            return None;
        }
        Some(Self {
            bits,
            range,
            quotes,
            within,
            blanks,
            commas,
            colons,
            opens,
            closes,
            objects,
            bare,
            huge: words.huge,
            ends,
            empty,
        })
    }

    /// What comes next behind blanks.
    #[inline(always)]
    pub(super) fn behind(&self, bits: u64) -> u64 {
        behind(bits, self.blanks)
    }

    #[inline(always)]
    pub(super) fn structural(&self) -> u64 {
        self.commas | self.colons | self.opens | self.closes
    }

    #[inline(always)]
    pub(super) fn marks(&self, range: u64) -> Marks {
        Marks {
            opens: self.opens & range,
            closes: self.closes & range,
            commas: self.commas & range,
            colons: self.colons & range,
            objects: self.objects,
        }
    }

    /// Passes the brackets, up to where the outermost level ends: what that leaves of the range, and the levels.
    #[inline(always)]
    pub(super) fn levels(&self, levels: Levels) -> Option<(u64, Passed)> {
        let mut range = self.range;
        loop {
            let mut marks = self.marks(range);
            marks.commas &= !highest(self.structural() & range);
            match levels.pass(marks) {
                Ok(passed) => return Some((range, passed)),
                Err(end) => {
                    let kept = self.structural() & range & end;
                    if kept == 0 {
                        return None;
                    }
                    range = up_to(kept);
                }
            }
        }
    }

    /// The keys, where it is known which commas stand in objects, and where they end. Nothing where one is due and
    /// not there, or where a colon is anywhere but behind one.
    #[inline(always)]
    pub(super) fn keys(&self, in_objects: u64, range: u64, due: Due) -> Option<(u64, u64)> {
        let is_key = due.is_key();
        let begins = (self.commas & in_objects | self.opens & self.objects) & range;
        let keys = self.behind(begins << 1 | is_key & due.starts()) & !self.empty;
        let wrong = keys & !self.quotes;
        let keys = keys | is_key & due.within();
        let ends = keys.wrapping_add(self.within) & !self.within;
        let wrong = wrong | self.behind(ends << 1 | is_key & due.ends()) ^ self.colons;
        (wrong & range == 0).then_some((keys, ends))
    }
}

/// What comes next behind blanks: a sum carries each bit over those that it stands before.
#[inline(always)]
fn behind(bits: u64, blanks: u64) -> u64 {
    bits.wrapping_add(blanks) & !blanks
}
