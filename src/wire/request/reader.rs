//! What the reading of every object, list and value has in common.

use std::ops::RangeInclusive;

use super::{
    fault::{Fault, FaultKind, Unreadable},
    found::{Early, Kinds, Tag},
    index::{Request, Unknown},
    keys::Distinct,
    message::Parts,
    top::MAX_MEMBERS,
};
use crate::wire::json::{self, Cursor, Stop, Str, Type};

/// How many faults are kept with their place; the rest are counted.
pub const MAX_FAULTS: usize = 32;
/// How many members that the API does not know are remembered, at all levels together.
pub const MAX_UNKNOWN: usize = 1024;

/// The members that one kind of object may have. At most 64.
pub(crate) trait Known: Copy + 'static {
    const NAMES: &'static [&'static str];
    fn find(key: &[u8]) -> Option<Self>;
    fn index(self) -> u32;
}

macro_rules! keys {
    ($name:ident { $($variant:ident = $text:literal,)* }) => {
        #[derive(Clone, Copy)]
        #[allow(clippy::enum_variant_names, reason = "named as in the API")]
        enum $name {
            $($variant,)*
        }

        impl $crate::wire::request::reader::Known for $name {
            const NAMES: &'static [&'static str] = &[$($text,)*];
            #[inline(always)]
            fn find(key: &[u8]) -> Option<Self> {
                $(if key == $text.as_bytes() { return Some(Self::$variant); })*
                None
            }

            fn index(self) -> u32 {
                self as u32
            }
        }
    };
}
pub(super) use keys;

/// A key by its meaning, without resolving its escapes into memory.
#[inline(always)]
pub(super) fn find<K: Known>(key: Str<'_>) -> Option<K> {
    if key.is_escaped() {
        return find_meaning(key);
    }
    K::find(key.bytes())
}

#[cold]
fn find_meaning<K: Known>(key: Str<'_>) -> Option<K> {
    // No name is longer.
    K::find(key.resolve(&mut [0; 64])?)
}

/// Whether a key without escapes is one.
fn is_known<K: Known>(key: &[u8]) -> bool {
    K::find(key).is_some()
}

/// Which members an object had.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) at: usize,
    bits: u64,
}

impl Seen {
    pub(super) fn has<K: Known>(self, key: K) -> bool {
        self.bits & 1 << key.index() != 0
    }
}

/// The state of the one pass.
pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) cursor: Cursor<'a>,
    pub(super) request: Request,
    /// Digests of the ids of the tool calls that may be answered now, in order.
    pub(super) calls: Vec<u64>,
    pub(super) distinct: Distinct,
    pub(super) parts: Parts,
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
pub(super) fn duplicate(key: Str<'_>) -> Box<Unreadable> {
    Box::new(Unreadable::Duplicate(key.range().start))
}

impl<'a> Reader<'a> {
    pub(super) fn fault(&mut self, at: usize, kind: FaultKind) {
        self.request.found.push_fault(Fault { at, kind });
    }

    /// Whether a value of this type comes next. A null is passed where it may stand for absence,
    /// anything else is noted and passed.
    #[inline]
    pub(super) fn want(&mut self, kind: Type, null: Null, expected: &'static str) -> Read<bool> {
        let found = self.cursor.peek()?;
        if found == kind {
            return Ok(true);
        }
        self.mismatch(found, null, expected)?;
        Ok(false)
    }

    /// Passes a value of the wrong type, and notes it unless it is a null that may stand.
    #[cold]
    pub(super) fn mismatch(&mut self, found: Type, null: Null, expected: &'static str) -> Read {
        if found != Type::Null || null == Null::Refused {
            self.fault(self.cursor.at(), FaultKind::Type(expected));
        }
        self.cursor.pass()?;
        Ok(())
    }

    pub(super) fn text(&mut self, null: Null, expected: &'static str) -> Read<Option<Str<'a>>> {
        if self.want(Type::String, null, expected)? {
            return Ok(Some(self.cursor.next_string()?));
        }
        Ok(None)
    }

    /// A string that is not kept.
    pub(super) fn any_text(&mut self, null: Null) -> Read {
        self.text(null, "a string").map(drop)
    }

    /// A string of at most so many characters.
    pub(super) fn short_text(&mut self, max: usize, null: Null, expected: &'static str) -> Read {
        if let Some(text) = self.text(null, expected)? {
            if is_longer(text, max) {
                self.fault(text.range().start - 1, FaultKind::Value(expected));
            }
        }
        Ok(())
    }

    pub(super) fn bool(&mut self, null: Null) -> Read<Option<bool>> {
        if self.want(Type::Bool, null, "a boolean")? {
            return Ok(Some(self.cursor.bool()?));
        }
        Ok(None)
    }

    pub(super) fn number(&mut self, range: RangeInclusive<f64>, expected: &'static str) -> Read {
        if self.want(Type::Number, Null::Absent, expected)? {
            let at = self.cursor.at();
            if !range.contains(&self.cursor.number()?.as_f64()) {
                self.fault(at, FaultKind::Value(expected));
            }
        }
        Ok(())
    }

    pub(super) fn integer(
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
            None if !number.is_integer() => self.fault(at, FaultKind::Type(expected)),
            _ => self.fault(at, FaultKind::Value(expected)),
        }
        Ok(None)
    }

    /// One of some words: which.
    pub(super) fn word(
        &mut self,
        words: &'static [&'static str],
        null: Null,
        expected: &'static str,
    ) -> Read<Option<u8>> {
        let Some(text) = self.text(null, expected)? else {
            return Ok(None);
        };
        let found = if text.is_escaped() {
            words.iter().position(|word| text == **word)
        } else {
            let bytes = text.bytes();
            words.iter().position(|word| bytes == word.as_bytes())
        };
        if found.is_none() {
            self.fault(text.range().start - 1, FaultKind::Value(expected));
        }
        // No list is nearly so long.
        Ok(found.map(|at| at as u8))
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
        self.cursor.array()?;
        let mut found = 0;
        while self.cursor.next_element()? {
            each(self)?;
            found += 1;
        }
        if !count.contains(&found) {
            self.fault(at, FaultKind::Value(expected));
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
        let at = self.cursor.at();
        self.cursor.object()?;
        let strangers = self.distinct.begin();
        let mut bits = 0u64;
        let mut next = self.cursor.next_key()?;
        while let Some(key) = next {
            let Some(known) = find::<K>(key) else {
                next = self.unknown(at, strangers, key, is_known::<K>)?;
                continue;
            };
            let bit = 1 << known.index();
            if bits & bit != 0 {
                return Err(duplicate(key));
            }
            bits |= bit;
            each(self, known)?;
            next = self.cursor.next_key()?;
        }
        self.distinct.judge(strangers, self.text)?;
        Ok(Seen { at, bits })
    }

    pub(super) fn require<K: Known>(&mut self, seen: Seen, key: K) {
        if !seen.has(key) {
            let name = K::NAMES[key.index() as usize];
            self.fault(seen.at, FaultKind::Missing(name));
        }
    }

    /// Remembers a member that the API does not know, and those that follow it up to one that it does,
    /// and passes their values; the next key. Of those beyond the limit it is only known that there
    /// are some.
    #[inline(never)]
    pub(super) fn unknown(
        &mut self,
        object: usize,
        strangers: usize,
        mut key: Str<'a>,
        is_known: fn(&[u8]) -> bool,
    ) -> Read<Option<Str<'a>>> {
        loop {
            self.note_unknown(object, strangers, key)?;
            match self.cursor.pass_to_key()? {
                Some(next) if !next.is_escaped() && !is_known(next.bytes()) => key = next,
                next => return Ok(next),
            }
        }
    }

    #[inline(always)]
    pub(super) fn note_unknown(&mut self, object: usize, strangers: usize, key: Str<'a>) -> Read {
        if !self.distinct.push(strangers, MAX_MEMBERS, key, self.text) {
            return Err(Box::new(Unreadable::TooManyMembers));
        }
        self.request.found.push_unknown(Unknown {
            object: object as u32,
            key: (key.start() - 1) as u32,
        });
        Ok(())
    }

    /// Reads a member that counts only in objects of some kinds. What is found in it is kept apart
    /// while the kind is not known, and forgotten when it is another: nothing is read twice. A key
    /// that stands in it twice ends everything in any case.
    pub(super) fn only_in(
        &mut self,
        kinds: Kinds,
        tag: Tag,
        early: &mut Early,
        read: impl FnOnce(&mut Self) -> Read,
    ) -> Read {
        if let Tag::Is(kind) = tag {
            if kinds >> kind & 1 == 1 {
                return read(self);
            }
        }
        let outside = std::mem::take(&mut self.request.found);
        let done = read(self);
        let found = std::mem::replace(&mut self.request.found, outside);
        done?;
        if tag == Tag::Open {
            early.push(kinds, found);
        }
        Ok(())
    }

    /// Reads the member that tells the kind of its object, a word, and takes what was found before it
    /// and counts.
    pub(super) fn tag(
        &mut self,
        words: &'static [&'static str],
        expected: &'static str,
        early: &mut Early,
    ) -> Read<Tag> {
        let Some(kind) = self.word(words, Null::Refused, expected)? else {
            return Ok(Tag::Wrong);
        };
        early.settle(kind, &mut self.request.found);
        Ok(Tag::Is(kind))
    }
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
    bytes > max && (bytes > 12 * max || text.chars().nth(max).is_some())
}

/// FNV-1a over the meaning of a string: only ever compared with digests of the same request, and
/// only to find what is then compared in full, or to tell a wrong id from a right one.
pub(super) fn digest(text: Str<'_>) -> u64 {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let start = 0xcbf2_9ce4_8422_2325;
    if !text.is_escaped() {
        return text.bytes().iter().copied().fold(start, step);
    }
    let mut buffer = [0; 4];
    text.chars().fold(start, |sum, c| {
        c.encode_utf8(&mut buffer).bytes().fold(sum, step)
    })
}
