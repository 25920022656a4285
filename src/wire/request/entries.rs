//! The members at the top level, as the index keeps them.

use super::{index::Member, name::Name, top::MAX_MEMBERS};

/// How many have room without an allocation: most requests have no more.
const FEW: usize = 8;

/// How many have room in the first allocation.
const ROOM: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: Option<Name>,
    pub(super) null: bool,
    /// Offset of the key's quote.
    pub(super) key: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

const NONE: Entry = Entry {
    name: None,
    null: false,
    key: 0,
    start: 0,
    end: 0,
};

/// Entries in their order.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    few: [Entry; FEW],
    count: usize,
    /// All of them, once they are more than few.
    many: Vec<Entry>,
}

impl Default for Entries {
    #[inline(always)]
    fn default() -> Self {
        Self {
            few: [NONE; FEW],
            count: 0,
            many: Vec::new(),
        }
    }
}

impl Entries {
    /// One more, to be filled; `None` when there are [`MAX_MEMBERS`].
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<&mut Entry> {
        let at = self.count;
        self.count += 1;
        if at < FEW {
            return Some(&mut self.few[at]);
        }
        Self::next_of_many(&self.few, &mut self.many)
    }

    #[inline(never)]
    fn next_of_many<'a>(few: &[Entry], many: &'a mut Vec<Entry>) -> Option<&'a mut Entry> {
        if many.is_empty() {
            many.reserve(ROOM);
            many.extend_from_slice(few);
        }
        if many.len() == MAX_MEMBERS {
            return None;
        }
        many.push(NONE);
        many.last_mut()
    }

    #[inline]
    pub(super) fn all(&self) -> &[Entry] {
        self.few.get(..self.count).unwrap_or(&self.many)
    }
}

impl Entry {
    pub(super) fn member(&self) -> Member {
        Member {
            name: self.name,
            range: self.key as usize..self.end as usize,
            value: self.start as usize..self.end as usize,
            is_null: self.null,
        }
    }
}
