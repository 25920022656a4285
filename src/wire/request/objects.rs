//! Objects: their members, known and unknown.

use super::{
    fault::{FaultKind, Unreadable},
    found::Found,
    index::Unknown,
    keys::Distinct,
    known::{Known, find, is_stranger},
    reader::{Read, Reader, duplicate},
    top::MAX_MEMBERS,
};
use crate::wire::json::{Key, Str, Word};

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

impl<'a> Reader<'a, '_> {
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
