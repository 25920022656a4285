//! Members and elements, one after the other.

use super::{
    Cursor, Fault, Key, Str, Word,
    cursor::{quoted, spend},
    fault::{Stop, unexpected},
    key::any_key,
    scan,
};

impl<'a> Cursor<'a> {
    /// The next key of the object entered last, its colon passed; `None` when it has ended.
    ///
    /// # Errors
    /// When there is neither.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Str<'a>>, Fault> {
        Ok(self.next_key()?)
    }

    /// [`key`](Self::key), for loops that want it in their midst.
    #[inline(always)]
    pub(crate) fn next_key(&mut self) -> Result<Option<Str<'a>>, Stop> {
        let mut at = scan::space(self.text, self.at);
        let first = std::mem::take(&mut self.first);
        match self.text.get(at) {
            Some(b'}') => {
                self.leave(at);
                return Ok(None);
            }
            Some(b',') if !first => at = scan::space(self.text, at + 1),
            _ if !first => return Err(unexpected(self.text, at)),
            _ => {}
        }
        self.budget = spend(self.budget, at)?;
        if let Some(key) = self.short_key_at(at) {
            return Ok(Some(key.string));
        }
        let end = self.key_end(at)?;
        let key = Str::new(&self.text[at + 1..end >> 1], at + 1, end & 1 == 1);
        Ok(Some(key))
    }

    /// The first key of the object entered just before.
    #[inline(always)]
    pub(crate) fn opening_key(&mut self) -> Result<Option<Key<'a>>, Stop> {
        self.first = false;
        let at = scan::space(self.text, self.at);
        if self.text.get(at) == Some(&b'}') {
            self.leave(at);
            return Ok(None);
        }
        self.budget = spend(self.budget, at)?;
        self.key_at(at).map(Some)
    }

    /// A key behind the first, likewise.
    #[inline(always)]
    pub(crate) fn later_key(&mut self) -> Result<Option<Key<'a>>, Stop> {
        match self.text.get(self.at) {
            Some(b',') => {}
            Some(b'}') => {
                self.leave(self.at);
                return Ok(None);
            }
            _ => {
                self.at = scan::space(self.text, self.at);
                match self.text.get(self.at) {
                    Some(b',') => {}
                    Some(b'}') => {
                        self.leave(self.at);
                        return Ok(None);
                    }
                    _ => return Err(unexpected(self.text, self.at)),
                }
            }
        }
        let at = self.at + 1;
        self.budget = spend(self.budget, at)?;
        self.key_at(scan::space(self.text, at)).map(Some)
    }

    /// The key whose opening quote is due at a place, and its colon.
    #[inline(always)]
    pub(super) fn key_at(&mut self, at: usize) -> Result<Key<'a>, Stop> {
        if let Some(key) = self.short_key_at(at) {
            return Ok(key);
        }
        if let Some((key, end)) = any_key(self.text, at) {
            let colon = scan::near_space(self.text, end);
            if self.text.get(colon) == Some(&b':') {
                self.spend_escaped(key.string)?;
                self.at = colon + 1;
                return Ok(key);
            }
        }
        let end = self.key_end(at)?;
        let string = Str::new(&self.text[at + 1..end >> 1], at + 1, end & 1 == 1);
        self.spend_escaped(string)?;
        let word = Word::meant_by(string);
        Ok(Key { string, word })
    }

    /// A key that is short, plain, and right before its colon, as nearly all are.
    #[inline(always)]
    fn short_key_at(&mut self, at: usize) -> Option<Key<'a>> {
        let block = self.text.get(at..)?.first_chunk::<18>()?;
        let ([b'"', within @ ..], (length, word)) = (block, scan::short(block)?) else {
            return None;
        };
        self.at = match within.get(length + 1) {
            Some(b':') => at + length + 3,
            _ => self.colon_behind(at + length + 2)?,
        };
        let string = Str::new(&within[..length], at + 1, false);
        Some(Key { string, word })
    }

    /// The place behind a colon that comes after blanks.
    #[inline(never)]
    fn colon_behind(&self, at: usize) -> Option<usize> {
        let at = scan::space(self.text, at);
        (self.text.get(at) == Some(&b':')).then_some(at + 1)
    }

    /// Passes any key and its colon: where the key ends, shifted by one to make room for whether it
    /// has escapes.
    #[inline(never)]
    fn key_end(&mut self, at: usize) -> Result<usize, Stop> {
        let text = self.text;
        let (key, end) = quoted(text, at, self.clean)?;
        let at = scan::space(text, end);
        if text.get(at) != Some(&b':') {
            return Err(unexpected(text, at));
        }
        self.at = at + 1;
        Ok((end - 1) << 1 | usize::from(key.is_escaped()))
    }

    /// Passes a key spelled just so, with its colon and with the comma before it unless it is the
    /// first, if it comes next.
    #[inline(always)]
    pub(crate) fn key_here<const SIZE: usize>(
        &mut self,
        spelled: &[u8; SIZE],
    ) -> Result<bool, Stop> {
        match self
            .text
            .get(self.at..)
            .and_then(<[u8]>::first_chunk::<SIZE>)
        {
            Some(here) if here == spelled => {}
            _ => return Ok(false),
        }
        let behind_comma = self.at + usize::from(spelled.first() == Some(&b','));
        self.budget = spend(self.budget, behind_comma)?;
        self.at += SIZE;
        self.first = false;
        Ok(true)
    }

    /// Where the quote of a key stands that comes right behind a comma, or behind one blank more.
    #[inline(always)]
    pub(crate) fn quote_behind_comma(&self) -> Option<usize> {
        match self.text.get(self.at..)? {
            [b',', b'"', ..] => Some(self.at + 1),
            [b',', b' ', b'"', ..] => Some(self.at + 2),
            _ => None,
        }
    }

    /// Passes a key spelled just so, with its colon, if it stands at that place behind a comma and may be paid for.
    /// What it says is told by its spelling alone, not by its word.
    #[inline(always)]
    pub(crate) fn key_at_quote<const SIZE: usize>(
        &mut self,
        quote: usize,
        spelled: &[u8; SIZE],
    ) -> Option<Key<'a>> {
        let here = self.text.get(quote..)?.first_chunk::<SIZE>()?;
        if here != spelled {
            return None;
        }
        self.budget = self.budget.checked_sub(1)?;
        self.at = quote + SIZE;
        let string = Str::new(&here[1..SIZE - 2], quote + 1, false);
        let word = const { Word::NONE };
        Some(Key { string, word })
    }

    /// The same with blanks wherever they may stand: a key spelled just so, in its quotes.
    #[inline(always)]
    pub(crate) fn spaced_key_here<const SIZE: usize>(
        &mut self,
        spelled: &[u8; SIZE],
        is_first: bool,
    ) -> Result<bool, Stop> {
        let text = self.text;
        let mut at = scan::near_space(text, self.at);
        let mut place = at;
        if !is_first {
            if text.get(at) != Some(&b',') {
                return Ok(false);
            }
            place = at + 1;
            at = scan::near_space(text, place);
        }
        if text.get(at..).and_then(<[u8]>::first_chunk) != Some(spelled) {
            return Ok(false);
        }
        let colon = scan::near_space(text, at + SIZE);
        if text.get(colon) != Some(&b':') {
            return Ok(false);
        }
        self.budget = spend(self.budget, place)?;
        self.at = scan::near_space(text, colon + 1);
        self.first = false;
        Ok(true)
    }

    /// Whether the array entered last has one more element; if not, it has been left.
    ///
    /// # Errors
    /// When neither an element nor the end is due.
    #[inline]
    pub fn element(&mut self) -> Result<bool, Fault> {
        Ok(if self.first {
            self.opening_element()?
        } else {
            self.later_element()?
        })
    }

    /// Whether the array entered just before has an element.
    #[inline(always)]
    pub(crate) fn opening_element(&mut self) -> Result<bool, Stop> {
        self.first = false;
        let at = scan::space(self.text, self.at);
        self.at = at;
        if self.text.get(at) == Some(&b']') {
            self.leave(at);
            return Ok(false);
        }
        self.budget = spend(self.budget, at)?;
        Ok(true)
    }

    /// Whether there is one behind it, likewise.
    #[inline(always)]
    pub(crate) fn later_element(&mut self) -> Result<bool, Stop> {
        let at = scan::space(self.text, self.at);
        match self.text.get(at) {
            Some(b',') => {}
            Some(b']') => {
                self.leave(at);
                return Ok(false);
            }
            _ => return Err(unexpected(self.text, at)),
        }
        self.at = at + 1;
        self.budget = spend(self.budget, at + 1)?;
        Ok(true)
    }
}
