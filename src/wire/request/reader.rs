//! What the reading of every object, list and value has in common.

use std::ops::RangeInclusive;

use super::{
    chosen::Chosen,
    fault::{Fault, FaultKind, Unreadable},
    found::{Early, Held, Kinds, Tag},
    index::Request,
    keys::Distinct,
    known::Words,
    part::Parts,
};
use crate::wire::json::{self, Cursor, Digest, Stop, Str, Type};

/// How many faults are kept with their place; the rest are counted.
pub const MAX_FAULTS: usize = 32;
/// How many faults are counted, unless more are asked for: of a request with one more nothing further
/// is read.
pub const MAX_COUNTED: usize = 256;
/// How many members that the API does not know are remembered, at all levels together.
pub const MAX_UNKNOWN: usize = 1024;

/// What is expected where an object is.
pub(super) const OBJECT: &str = "an object";

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
    pub(super) chosen: Chosen,
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
            chosen: Chosen::default(),
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

/// What a null means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// The same as nothing.
    Absent,
    /// A value of the wrong type.
    Refused,
}
