//! Values: texts, numbers, words.

use std::ops::RangeInclusive;

use super::{
    fault::FaultKind,
    known::Words,
    reader::{Null, Read, Reader},
};
use crate::wire::json::{Str, Type, Word};

impl<'a> Reader<'a, '_> {
    #[inline(always)]
    pub(super) fn text(&mut self, null: Null, expected: &'static str) -> Read<Option<Str<'a>>> {
        match self.cursor.string_here()? {
            None => self.other_text(null, expected),
            text => Ok(text),
        }
    }

    #[inline(never)]
    fn other_text(&mut self, null: Null, expected: &'static str) -> Read<Option<Str<'a>>> {
        self.cursor.value_at();
        if let Some(text) = self.cursor.string_here()? {
            return Ok(Some(text));
        }
        if self.want(Type::String, null, expected)? {
            return Ok(Some(self.cursor.next_string()?));
        }
        Ok(None)
    }

    /// A string that is not kept.
    #[inline(never)]
    pub(super) fn any_text(&mut self, null: Null) -> Read {
        self.text(null, "a string").map(drop)
    }

    /// A string of at most so many characters.
    pub(super) fn short_text(&mut self, max: usize, null: Null, expected: &'static str) -> Read {
        if let Some(text) = self.text(null, expected)? {
            if is_longer(text, max) {
                self.fault(text.range().start - 1, FaultKind::Value(expected))?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn bool(&mut self, null: Null) -> Read<Option<bool>> {
        match self.cursor.bool_here() {
            None => self.other_bool(null),
            value => Ok(value),
        }
    }

    #[inline(never)]
    fn other_bool(&mut self, null: Null) -> Read<Option<bool>> {
        if self.want(Type::Bool, null, "a boolean")? {
            return Ok(Some(self.cursor.bool()?));
        }
        Ok(None)
    }

    #[inline(never)]
    pub(super) fn number(&mut self, least: f64, most: f64, expected: &'static str) -> Read {
        let at = self.cursor.at();
        if let Some(value) = self.cursor.decimal_here() {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            self.cursor.back_to(at);
        }
        self.other_number(least, most, expected)
    }

    #[inline(never)]
    fn other_number(&mut self, least: f64, most: f64, expected: &'static str) -> Read {
        if self.want(Type::Number, Null::Absent, expected)? {
            let at = self.cursor.value_at();
            if !(least..=most).contains(&self.cursor.number()?.as_f64()) {
                self.fault(at, FaultKind::Value(expected))?;
            }
        }
        Ok(())
    }

    /// A whole number within a range.
    #[inline(always)]
    pub(super) fn integer(
        &mut self,
        range: RangeInclusive<i64>,
        null: Null,
        expected: &'static str,
    ) -> Read<Option<i64>> {
        let at = self.cursor.at();
        if let Some(value) = self.cursor.integer_here() {
            if range.contains(&value) {
                return Ok(Some(value));
            }
            self.cursor.back_to(at);
        }
        self.other_integer(range, null, expected)
    }

    #[inline(never)]
    fn other_integer(
        &mut self,
        range: RangeInclusive<i64>,
        null: Null,
        expected: &'static str,
    ) -> Read<Option<i64>> {
        if !self.want(Type::Number, null, expected)? {
            return Ok(None);
        }
        let at = self.cursor.at();
        let number = self.cursor.number()?;
        match number.as_i64() {
            Some(value) if range.contains(&value) => return Ok(Some(value)),
            None if !number.is_integer() => self.fault(at, FaultKind::Type(expected))?,
            _ => self.fault(at, FaultKind::Value(expected))?,
        }
        Ok(None)
    }

    /// One of some words: which.
    #[inline(always)]
    pub(super) fn word(
        &mut self,
        words: &'static Words,
        null: Null,
        expected: &'static str,
    ) -> Read<Option<u8>> {
        if let Some((at, word)) = self.cursor.word_here() {
            if let Some(found) = place_of(words, word) {
                return Ok(Some(found));
            }
            // What is wrong is noted elsewhere.
            self.cursor.back_to(at);
        }
        self.other_word(words, null, expected)
    }

    #[inline(never)]
    fn other_word(
        &mut self,
        words: &'static Words,
        null: Null,
        expected: &'static str,
    ) -> Read<Option<u8>> {
        // Behind blanks it may be as short and plain.
        self.cursor.value_at();
        let here = self.cursor.word_here();
        let here = here.or_else(|| self.cursor.any_word_here());
        let (at, word) = match here {
            Some(found) => found,
            None => match self.text(null, expected)? {
                Some(text) => {
                    self.cursor.spend_escaped(text)?;
                    (text.start() - 1, Word::meant_by(text))
                }
                None => return Ok(None),
            },
        };
        let found = place_of(words, word);
        if found.is_none() {
            self.fault(at, FaultKind::Value(expected))?;
        }
        Ok(found)
    }

    /// Elements of a list behind the first, as long as they are words: `each` is given which.
    #[inline(always)]
    pub(super) fn later_words(
        &mut self,
        words: &'static Words,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, Option<u8>),
    ) -> Read {
        while let Some((at, word)) = self.cursor.later_word() {
            let found = place_of(words, word);
            if found.is_none() {
                self.fault(at, FaultKind::Value(expected))?;
            }
            each(self, found);
        }
        Ok(())
    }
}

/// Which of some words it is; no list of them is nearly so long as fits.
#[inline(always)]
pub(super) fn place_of(words: &Words, word: Word) -> Option<u8> {
    let place = words.iter().position(|known| *known == word);
    place.map(|place| place as u8)
}

/// Whether a string means more than so many characters; it is not counted to its end.
pub(super) fn is_longer(text: Str<'_>, max: usize) -> bool {
    // No character takes more than the twelve bytes of two escapes.
    let bytes = text.bytes().len();
    bytes > max && (bytes > 12 * max || text.count() > max)
}
