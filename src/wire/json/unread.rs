//! Passing members whose values nobody reads, up to a key that somebody wants.

use super::{
    Cursor, Key, MAX_DEPTH, Str, Word,
    cursor::quoted,
    digits,
    escape::word_run,
    fault::Stop,
    key::{any_key, spelled_key},
    levels::Levels,
    scan, window,
};

/// Where a key stands that was looked at and not passed, and where its value does.
pub(crate) struct Unpassed<'a> {
    pub(crate) key: Key<'a>,
    value: usize,
}

/// So many members or objects are passed one by one before the next are looked at together.
const FEW: usize = 8;
/// So many where that did not help.
const MANY: usize = 32;

impl<'a> Cursor<'a> {
    /// Passes the next members of the object entered last, as long as their keys are taken. What comes then, be
    /// it another key, the end of the object or a mistake, is still to be read; the key is told.
    #[inline(always)]
    pub(crate) fn pass_members<E: From<Stop>>(
        &mut self,
        take: impl FnMut(Key<'a>) -> Result<bool, E>,
    ) -> Result<Option<Unpassed<'a>>, E> {
        self.pass_most_members::<0, E>(take)
    }

    /// The same where it is not asked of keys that are far from the names with some [`beginnings`], as all of them
    /// are taken.
    #[inline(always)]
    pub(crate) fn pass_most_members<const BEGINNINGS: u64, E: From<Stop>>(
        &mut self,
        mut take: impl FnMut(Key<'a>) -> Result<bool, E>,
    ) -> Result<Option<Unpassed<'a>>, E> {
        let text = self.text;
        let mut budget = self.budget;
        let mut alone = FEW;
        // What stands before the first key, and before each that follows.
        let (mut at, mut mark) = match self.first {
            true => (self.at - 1, b'{'),
            false => (self.at, b','),
        };
        let mut unpassed = None;
        while budget > 0 && text.get(at) != Some(&b'}') {
            if BEGINNINGS != 0 {
                if alone == 0 {
                    (at, budget, alone) = self.pass_level::<BEGINNINGS>(at, true, budget);
                }
                alone -= 1;
            }
            let before = self.escaped;
            let next = near_key(text, at, mark)
                .or_else(|| self.within_bounds(spelled_key(text, at, mark)?))
                .or_else(|| self.other_key(at, mark));
            let Some((key, value)) = next else { break };
            if !take(key)? {
                self.escaped = before;
                unpassed = Some(Unpassed { key, value });
                break;
            }
            budget -= 1;
            mark = b',';
            let value = scan::near_space(text, value);
            // What is short is not worth a call.
            at = match text.get(value..) {
                Some([b'"', b'"', ..]) => value + 2,
                Some([b'"', b' '..=b'[' | b']'..=0x7F, b'"', ..]) => value + 3,
                Some([first @ b'0'..=b'9', ..]) => {
                    digits::unsigned(text, value, *first, &mut self.huge)?
                }
                _ => {
                    self.budget = budget;
                    let end = self.pass_at(value)?;
                    budget = self.budget;
                    end
                }
            };
        }
        self.first = mark == b'{';
        self.at = at + usize::from(self.first);
        self.budget = budget;
        Ok(unpassed)
    }

    /// Passes objects that are the next elements of an array, as long as all of their keys are taken. What is
    /// odd in any way is not passed.
    ///
    /// There may be thousands of the smallest, so that the place is kept where nobody else sees it.
    #[inline(always)]
    pub(crate) fn pass_objects<const BEGINNINGS: u64>(
        &mut self,
        is_taken: impl Fn(Key<'a>) -> bool,
    ) {
        let text = self.text;
        let (mut at, mut budget) = (self.at, self.budget);
        if self.depth >= MAX_DEPTH {
            return;
        }
        let mut alone = FEW;
        let (mut escaped, mut huge) = (self.escaped, self.huge);
        'object: while budget > 0 {
            if alone == 0 {
                (at, budget, alone) = self.pass_level::<BEGINNINGS>(at, false, budget);
                huge = self.huge;
            }
            alone -= 1;
            let comma = scan::near_space(text, at);
            let open = scan::near_space(text, comma + 1);
            if (text.get(comma), text.get(open)) != (Some(&b','), Some(&b'{')) {
                break;
            }
            if text.get(open + 1) != Some(&b'"') {
                let inside = scan::near_space(text, open + 1);
                if text.get(inside) == Some(&b'}') {
                    at = inside + 1;
                    budget -= 1;
                    continue;
                }
            }
            let (mut place, mut mark, mut left) = (open, b'{', budget - 1);
            let mut members = FEW;
            loop {
                let next = near_key(text, place, mark)
                    .or_else(|| spaced_key(text, place, mark))
                    .or_else(|| self.within_bounds(spelled_key(text, place, mark)?))
                    .or_else(|| self.other_key(place, mark));
                let next = next.filter(|(key, _)| left > 0 && is_taken(*key));
                let Some((_, value)) = next else {
                    break 'object;
                };
                left -= 1;
                let value = scan::near_space(text, value);
                let end = match text.get(value..) {
                    Some([b'"', b'"', ..]) => Ok(value + 2),
                    Some([b'"', b' '..=b'[' | b']'..=0x7F, b'"', ..]) => Ok(value + 3),
                    Some([first @ b'0'..=b'9', ..]) => {
                        digits::unsigned(text, value, *first, &mut self.huge)
                    }
                    _ => {
                        self.budget = left;
                        self.depth += 1;
                        let end = self.pass_at(value);
                        self.depth -= 1;
                        left = self.budget;
                        end
                    }
                };
                let Ok(end) = end else { break 'object };
                place = scan::near_space(text, end);
                members -= 1;
                if members == 0 {
                    self.depth += 1;
                    (place, left, members) = self.pass_level::<BEGINNINGS>(place, true, left);
                    self.depth -= 1;
                }
                match text.get(place) {
                    Some(b',') => mark = b',',
                    Some(b'}') => break,
                    _ => break 'object,
                }
            }
            at = place + 1;
            budget = left;
            (escaped, huge) = (self.escaped, self.huge);
        }
        self.at = at;
        self.budget = budget;
        (self.escaped, self.huge) = (escaped, huge);
    }

    /// Passes members of the object that is being read, or objects that are elements of the array, up to a comma: its
    /// place, the rest of the budget, and how many are next to be passed one by one.
    #[inline(always)]
    fn pass_level<const BEGINNINGS: u64>(
        &mut self,
        comma: usize,
        is_object: bool,
        budget: usize,
    ) -> (usize, usize, usize) {
        let level = Levels::new(is_object, usize::from(MAX_DEPTH - self.depth) + 1);
        let (text, huge) = (self.text, &mut self.huge);
        let (at, budget) = match self.clean {
            true => window::pass_level::<true, BEGINNINGS>(text, comma, level, budget, huge),
            false => window::pass_level::<false, BEGINNINGS>(text, comma, level, budget, huge),
        };
        (at, budget, if at == comma { MANY } else { FEW })
    }

    /// A key, unless it is spelled by more escapes than may still be resolved.
    #[inline(always)]
    fn within_bounds(&mut self, found: (Key<'a>, usize)) -> Option<(Key<'a>, usize)> {
        self.spend_escaped(found.0.string).ok()?;
        Some(found)
    }

    /// Any other key behind what is due before it, and where its value begins.
    #[inline(never)]
    fn other_key(&mut self, at: usize, mark: u8) -> Option<(Key<'a>, usize)> {
        let text = self.text;
        let at = scan::near_space(text, at);
        if text.get(at) != Some(&mark) {
            return None;
        }
        let quote = scan::near_space(text, at + 1);
        let start = quote + 1;
        let block = text.get(quote..)?.first_chunk::<17>();
        let (string, word) = match block.map(|block| (block[0], scan::short(block))) {
            Some((b'"', Some((length, word)))) => {
                (Str::new(&text[start..start + length], start, false), word)
            }
            _ => match any_key(text, quote) {
                None => {
                    let (string, _) = quoted(text, quote, self.clean).ok()?;
                    self.spend_escaped(string).ok()?;
                    (string, Word::meant_by(string))
                }
                Some((key, _)) => {
                    self.spend_escaped(key.string).ok()?;
                    (key.string, key.word)
                }
            },
        };
        let colon = scan::near_space(text, start + string.bytes().len() + 1);
        let value = (text.get(colon) == Some(&b':')).then_some(colon + 1)?;
        Some((Key { string, word }, value))
    }

    /// The next key, be it the first or a later one.
    #[inline(always)]
    pub(crate) fn next_any_key(&mut self) -> Result<Option<Key<'a>>, Stop> {
        match self.first {
            true => self.opening_key(),
            false => self.later_key(),
        }
    }

    /// Passes an object without members, if one stands right here.
    #[inline(always)]
    pub(crate) fn pass_empty_object(&mut self) -> bool {
        self.depth < MAX_DEPTH && self.pass_here(b"{}")
    }

    /// Passes such a key.
    #[inline(always)]
    pub(crate) fn pass_key(&mut self, unpassed: &Unpassed<'a>) {
        // It was within bounds when it was looked at.
        let within = self.spend_escaped(unpassed.key.string);
        debug_assert!(within.is_ok());
        self.at = unpassed.value;
        self.budget -= 1;
        self.first = false;
    }
}

/// A key that is short and plain, right behind what is due before it and right before its colon, as nearly
/// all are; and where its value begins.
#[inline(always)]
fn near_key(text: &[u8], at: usize, mark: u8) -> Option<(Key<'_>, usize)> {
    let block = text.get(at..)?.first_chunk::<12>()?;
    let [first, b'"', within @ ..] = block else {
        return None;
    };
    if within[0] == b'\\' {
        return None;
    }
    let (length, low) = word_run(*within.first_chunk()?);
    let end = within.get(length..length + 2)?;
    if end != b"\":" || *first != mark {
        return None;
    }
    let string = Str::new(&within[..length], at + 2, false);
    let word = Word { low, high: 0 };
    Some((Key { string, word }, at + length + 4))
}

/// The same with blanks wherever they may stand behind what is due before it.
#[inline(always)]
fn spaced_key(text: &[u8], at: usize, mark: u8) -> Option<(Key<'_>, usize)> {
    if text.get(at) != Some(&mark) {
        return None;
    }
    let quote = scan::near_space(text, at + 1);
    let block = text.get(quote..)?.first_chunk::<10>()?;
    let [b'"', within @ ..] = block else {
        return None;
    };
    let (length, low) = word_run(*within.first_chunk()?);
    if within.get(length) != Some(&b'"') {
        return None;
    }
    let colon = scan::near_space(text, quote + length + 2);
    if text.get(colon) != Some(&b':') {
        return None;
    }
    let string = Str::new(&within[..length], quote + 1, false);
    let word = Word { low, high: 0 };
    Some((Key { string, word }, colon + 1))
}

#[cfg(test)]
mod tests;
