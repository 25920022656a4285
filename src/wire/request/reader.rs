//! What the reading of every object, list and value has in common.

use std::ops::RangeInclusive;

use super::{
    fault::{Fault, FaultKind, Unreadable},
    found::{Early, Found, Held, Kinds, Tag},
    index::{Request, Unknown},
    keys::Distinct,
    known::{Known, Words, find, is_stranger},
    part::Parts,
    top::MAX_MEMBERS,
};
use crate::wire::json::{self, Cursor, Digest, Key, Stop, Str, Type, Word};

/// How many faults are kept with their place; the rest are counted.
pub const MAX_FAULTS: usize = 32;
/// How many faults are counted, unless more are asked for: of a request with one more nothing further
/// is read.
pub const MAX_COUNTED: usize = 256;
/// How many members that the API does not know are remembered, at all levels together.
pub const MAX_UNKNOWN: usize = 1024;

/// Which members an object had.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) at: usize,
    bits: u64,
}

/// An object that is being read.
pub(super) struct Object {
    at: usize,
    /// Where its unknown keys begin among those that are kept.
    strangers: usize,
    bits: u64,
    begun: bool,
    /// Bytes of its unknown members.
    unread: usize,
}

impl Object {
    /// How many bytes of it nobody has read, its members that the API does not know.
    pub(super) const fn unread(&self) -> usize {
        self.unread
    }
}

impl Seen {
    pub(super) fn has<K: Known>(self, key: K) -> bool {
        self.bits & 1 << key.index() != 0
    }
}

/// The state of the one pass.
pub(super) struct Reader<'a, 'r> {
    pub(super) text: &'a [u8],
    pub(super) cursor: Cursor<'a>,
    pub(super) request: &'r mut Request,
    /// Digests of the ids of the tool calls that may be answered now, in order.
    pub(super) calls: Vec<u64>,
    pub(super) distinct: Distinct,
    pub(super) parts: Parts,
    pub(super) held: Held,
}

/// Boxed, so that a result is one word, or two, and travels in registers.
pub(super) type Read<T = ()> = Result<T, Box<Unreadable>>;

impl From<json::Fault> for Box<Unreadable> {
    #[cold]
    fn from(fault: json::Fault) -> Self {
        Self::new(fault.into())
    }
}

impl From<Stop> for Box<Unreadable> {
    #[cold]
    fn from(stop: Stop) -> Self {
        json::Fault::from(stop).into()
    }
}

#[cold]
pub(super) fn duplicate(key: usize) -> Box<Unreadable> {
    Box::new(Unreadable::Duplicate(key))
}

impl<'a, 'r> Reader<'a, 'r> {
    /// At the beginning of a text, with nothing found yet.
    pub(super) fn new(text: &'a [u8], cursor: Cursor<'a>, request: &'r mut Request) -> Self {
        Self {
            text,
            cursor,
            request,
            calls: Vec::new(),
            distinct: Distinct::default(),
            parts: Parts::default(),
            held: Held::default(),
        }
    }

    /// Notes a mistake. One too many ends everything.
    #[cold]
    #[inline(never)]
    pub(super) fn fault(&mut self, at: usize, kind: FaultKind) -> Read {
        self.request.found.push_fault(Fault { at, kind });
        self.bear_faults()
    }

    /// Goes on unless there are more faults than are borne.
    #[inline(always)]
    fn bear_faults(&self) -> Read {
        match self.request.found.unbearable() {
            Some(first) => Err(Box::new(Unreadable::TooManyFaults(first))),
            None => Ok(()),
        }
    }

    /// Digests what an id means: only ever compared with digests of the same request, to tell a wrong id from
    /// a right one.
    pub(super) fn digest(&mut self, id: Str<'a>) -> Read<u64> {
        self.cursor.spend_escaped(id)?;
        Ok(Digest::of(id).sum())
    }

    /// Whether a value of this type comes next. A null is passed where it may stand for absence,
    /// anything else is noted and passed.
    #[inline(always)]
    pub(super) fn want(&mut self, kind: Type, null: Null, expected: &'static str) -> Read<bool> {
        if self.cursor.is_here(kind) {
            return Ok(true);
        }
        let found = self.cursor.peek()?;
        if found == kind {
            return Ok(true);
        }
        self.mismatch(found, null, expected)?;
        Ok(false)
    }

    /// Passes a value of the wrong type, and notes it unless it is a null that may stand.
    #[cold]
    #[inline(never)]
    pub(super) fn mismatch(&mut self, found: Type, null: Null, expected: &'static str) -> Read {
        if found != Type::Null || null == Null::Refused {
            self.fault(self.cursor.at(), FaultKind::Type(expected))?;
        }
        self.cursor.pass()?;
        Ok(())
    }

    /// Passes the elements behind one that is no object and are none either, where their faults are only
    /// to be counted: so many may stand in a member that does not count.
    #[inline(never)]
    pub(super) fn pass_as_wrong(&mut self) -> Read {
        if !self.request.found.only_counts() {
            return Ok(());
        }
        let items = self.cursor.pass_all_but_objects()?;
        self.request.found.fault_count += items as u32;
        Ok(())
    }

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

    /// The elements of an array that is known to come next; how many there were.
    #[inline]
    pub(super) fn items(
        &mut self,
        count: RangeInclusive<usize>,
        expected: &'static str,
        mut each: impl FnMut(&mut Self) -> Read,
    ) -> Read<usize> {
        let at = self.cursor.at();
        self.cursor.enter_here()?;
        let mut found = 0;
        let mut more = self.cursor.opening_element()?;
        while more {
            each(self)?;
            found += 1;
            more = self.cursor.later_element()?;
        }
        if !count.contains(&found) {
            self.fault(at, FaultKind::Value(expected))?;
        }
        Ok(found)
    }

    /// The members of an object that is known to come next: the known are given to `each`, which
    /// reads the value, the unknown are remembered and passed, the doubled end everything.
    #[inline]
    pub(super) fn members<K: Known>(
        &mut self,
        mut each: impl FnMut(&mut Self, K) -> Read,
    ) -> Read<Seen> {
        let mut object = self.object()?;
        while let Some(known) = self.next_member(&mut object)? {
            each(self, known)?;
        }
        self.seen(&object)
    }

    /// Enters an object that is known to come next, for [`next_member`](Self::next_member).
    #[inline(always)]
    pub(super) fn object(&mut self) -> Read<Object> {
        let at = self.cursor.at();
        self.cursor.enter_here()?;
        Ok(Object {
            at,
            strangers: self.distinct.begin(),
            bits: 0,
            begun: false,
            unread: 0,
        })
    }

    /// The next member that the API knows, whose value is to be read.
    #[inline(always)]
    pub(super) fn next_member<K: Known>(&mut self, object: &mut Object) -> Read<Option<K>> {
        loop {
            let next = if std::mem::replace(&mut object.begun, true) {
                self.cursor.later_key()?
            } else {
                self.cursor.opening_key()?
            };
            let Some(key) = next else { return Ok(None) };
            if let Some(known) = find::<K>(key) {
                let bit = 1 << known.index();
                if object.bits & bit != 0 {
                    return Err(duplicate(key.string.start()));
                }
                object.bits |= bit;
                return Ok(Some(known));
            }
            self.cursor.pass_near_space();
            let Key { string, word } = key;
            let (raw, place) = string.parts();
            let stranger = is_stranger::<K>;
            let at = self.cursor.at();
            self.unknown(
                object.at,
                object.strangers,
                raw,
                place,
                word.low,
                word.high,
                stranger,
            )?;
            object.unread += self.cursor.at() - at;
        }
    }

    /// Passes the key of a member that is likely to come next, spelled as nearly all spell it.
    #[inline(always)]
    pub(super) fn is_next<K: Known, const SIZE: usize>(
        &mut self,
        object: &mut Object,
        key: K,
        spelled: &[u8; SIZE],
    ) -> Read<bool> {
        if !self.cursor.key_here(spelled)? {
            return Ok(false);
        }
        object.begun = true;
        object.bits |= 1 << key.index();
        Ok(true)
    }

    /// The same with blanks wherever they may stand; the key comes without its colon and the comma.
    #[inline(always)]
    pub(super) fn is_next_spaced<K: Known, const SIZE: usize>(
        &mut self,
        object: &mut Object,
        key: K,
        spelled: &[u8; SIZE],
    ) -> Read<bool> {
        let bit = 1 << key.index();
        if object.bits & bit != 0 || !self.cursor.spaced_key_here(spelled, !object.begun)? {
            return Ok(false);
        }
        object.begun = true;
        object.bits |= bit;
        Ok(true)
    }

    /// Which members it had, once there is none left.
    #[inline(always)]
    pub(super) fn seen(&mut self, object: &Object) -> Read<Seen> {
        self.distinct.judge(object.strangers, self.text)?;
        Ok(Seen {
            at: object.at,
            bits: object.bits,
        })
    }

    #[inline(always)]
    pub(super) fn require<K: Known>(&mut self, seen: Seen, key: K) -> Read {
        if seen.has(key) {
            return Ok(());
        }
        self.fault(seen.at, FaultKind::Missing(K::NAMES[key.index() as usize]))
    }

    /// Remembers a member that the API does not know, and those that follow it up to one that it does,
    /// and passes their values. Of those beyond the limit it is only known that there are some.
    ///
    /// The key comes in pieces: as a whole it would have to be in memory, wherever keys are read.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "each in a register")]
    fn unknown(
        &mut self,
        object: usize,
        strangers: usize,
        raw: &'a [u8],
        place: usize,
        low: u64,
        high: u64,
        is_stranger: fn(Word, &[u8], bool) -> bool,
    ) -> Read {
        let string = Str::from_parts(raw, place);
        let word = Word { low, high };
        let Self {
            cursor,
            distinct,
            request,
            ..
        } = self;
        let found = &mut request.found;
        note_stranger(distinct, found, object, strangers, Key { string, word })?;
        cursor.pass()?;
        cursor.pass_members(|key| {
            let (raw, escaped) = (key.string.bytes(), key.string.is_escaped());
            let unread = is_stranger(key.word, raw, escaped);
            if unread {
                note_stranger(distinct, found, object, strangers, key)?;
            }
            Ok::<_, Box<Unreadable>>(unread)
        })?;
        Ok(())
    }

    #[inline(always)]
    pub(super) fn note_unknown(&mut self, object: usize, strangers: usize, key: Key<'a>) -> Read {
        let found = &mut self.request.found;
        note_stranger(&mut self.distinct, found, object, strangers, key)
    }

    /// Reads a member that counts only in objects of some kinds. What is found in it is held while the
    /// kind is not known, and forgotten when it is another: nothing is read twice. A key that stands in it
    /// twice ends everything in any case.
    #[inline]
    pub(super) fn only_in(
        &mut self,
        kinds: Kinds,
        tag: Tag,
        read: impl FnOnce(&mut Self) -> Read,
    ) -> Read {
        if let Tag::Is(kind) = tag {
            if kinds >> kind & 1 == 1 {
                return read(self);
            }
        }
        let before = self.request.found.set_apart();
        read(self)?;
        let held = (tag == Tag::Open).then_some((&mut self.held, kinds));
        self.request.found.put_back(before, held);
        Ok(())
    }

    /// Reads the member that tells the kind of its object, a word, and takes what was found before it
    /// and counts.
    pub(super) fn tag(
        &mut self,
        words: &'static Words,
        expected: &'static str,
        early: Early,
    ) -> Read<Tag> {
        let Some(kind) = self.word(words, Null::Refused, expected)? else {
            return Ok(Tag::Wrong);
        };
        if self.held.settle(early, kind, &mut self.request.found) {
            self.bear_faults()?;
        }
        Ok(Tag::Is(kind))
    }
}

/// Which of some words it is; no list of them is nearly so long as fits.
#[inline(always)]
pub(super) fn place_of(words: &Words, word: Word) -> Option<u8> {
    let place = words.iter().position(|known| *known == word);
    place.map(|place| place as u8)
}

/// Remembers a key that the API does not know.
#[inline(always)]
fn note_stranger(
    distinct: &mut Distinct,
    found: &mut Found,
    object: usize,
    strangers: usize,
    key: Key<'_>,
) -> Read {
    if !distinct.push(strangers, MAX_MEMBERS, key) {
        return Err(Box::new(Unreadable::TooManyMembers));
    }
    found.push_unknown(Unknown {
        object: object as u32,
        key: (key.string.start() - 1) as u32,
    });
    Ok(())
}

/// What a null means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// The same as nothing.
    Absent,
    /// A value of the wrong type.
    Refused,
}

/// Whether a string means more than so many characters; it is not counted to its end.
pub(super) fn is_longer(text: Str<'_>, max: usize) -> bool {
    // No character takes more than the twelve bytes of two escapes.
    let bytes = text.bytes().len();
    bytes > max && (bytes > 12 * max || text.count() > max)
}
