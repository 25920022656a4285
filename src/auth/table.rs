//! Callers by the digest of their key: a tree by the digest's digits, each version of which shares
//! with the last whatever has not changed.
//!
//! A digest is as good as random, so the tree is even without being balanced, and nothing is hashed
//! to search it. A change copies the way to its place, some sixteen entries for each digit.

use std::sync::Arc;

use super::Digest;
use crate::ext::Principal;

/// A version of the table. A clone shares everything with it.
#[derive(Clone, Default)]
pub(super) struct Table {
    root: Slot,
    len: usize,
}

/// What is behind a digit.
#[derive(Clone, Default)]
enum Slot {
    #[default]
    Empty,
    /// The only key that begins so.
    Key(Arc<(Digest, Principal)>),
    /// Several, told apart by the next digit.
    Fork(Arc<[Self; 16]>),
}

impl Table {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, digest: &Digest) -> Option<&Principal> {
        let mut slot = &self.root;
        let mut depth = 0;
        loop {
            match slot {
                Slot::Empty => return None,
                Slot::Key(entry) => return (entry.0 == *digest).then_some(&entry.1),
                Slot::Fork(slots) => slot = &slots[digest.digit(depth)],
            }
            depth += 1;
        }
    }

    pub(super) fn insert(&mut self, digest: Digest, principal: Principal) {
        let entry = Arc::new((digest, principal));
        self.len += usize::from(insert(&mut self.root, 0, entry));
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        // Nothing is copied for a key that is not there.
        if self.get(digest).is_some() {
            remove(&mut self.root, 0, digest);
            self.len -= 1;
        }
    }
}

impl FromIterator<(Digest, Principal)> for Table {
    fn from_iter<I: IntoIterator<Item = (Digest, Principal)>>(keys: I) -> Self {
        let mut table = Self::default();
        for (digest, principal) in keys {
            table.insert(digest, principal);
        }
        table
    }
}

/// Puts an entry below a place that so many digits lead to; returns whether its key is new. What no
/// other version has is changed where it is.
fn insert(slot: &mut Slot, depth: usize, entry: Arc<(Digest, Principal)>) -> bool {
    match slot {
        Slot::Empty => {
            *slot = Slot::Key(entry);
            true
        }
        Slot::Key(other) if other.0 == entry.0 => {
            *other = entry;
            false
        }
        Slot::Key(other) => {
            let mut slots: [Slot; 16] = Default::default();
            slots[other.0.digit(depth)] = Slot::Key(Arc::clone(other));
            *slot = Slot::Fork(Arc::new(slots));
            insert(slot, depth, entry)
        }
        Slot::Fork(slots) => {
            let place = &mut Arc::make_mut(slots)[entry.0.digit(depth)];
            insert(place, depth + 1, entry)
        }
    }
}

/// Takes a key out, and forks with it that have nothing to tell apart any more.
fn remove(slot: &mut Slot, depth: usize, digest: &Digest) {
    let Slot::Fork(slots) = slot else {
        *slot = Slot::Empty;
        return;
    };
    let slots = Arc::make_mut(slots);
    remove(&mut slots[digest.digit(depth)], depth + 1, digest);
    let mut left = slots.iter().filter(|slot| !matches!(slot, Slot::Empty));
    let next = match (left.next(), left.next()) {
        (None, _) => Slot::Empty,
        (Some(Slot::Key(entry)), None) => Slot::Key(Arc::clone(entry)),
        _ => return,
    };
    *slot = next;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest of these first digits.
    fn digest(digits: &str) -> Digest {
        format!("{digits:0<64}").parse().expect("hexadecimal")
    }

    #[test]
    fn it_has_what_was_put_in_and_not_taken_out() {
        let names = [
            "",
            "1",
            "12",
            "123",
            "9",
            "90000f",
            "9000f",
            &"0".repeat(63),
            "00000000f",
        ];
        let digests: Vec<_> = names.iter().map(|name| digest(name)).collect();
        let mut last = digest("");
        last.0[31] = 1;
        let digests: Vec<_> = digests.into_iter().chain([last]).collect();
        let mut known: Vec<Digest> = Vec::new();
        let mut table = Table::default();
        let check = |table: &Table, known: &[Digest]| {
            assert_eq!(table.len(), known.len());
            for digest in &digests {
                assert_eq!(table.get(digest).is_some(), known.contains(digest));
            }
        };
        let mut versions = Vec::new();
        for digest in &digests {
            versions.push((table.clone(), known.clone()));
            table.insert(*digest, Principal::new("a"));
            if !known.contains(digest) {
                known.push(*digest);
            }
            check(&table, &known);
        }
        for digest in &digests {
            versions.push((table.clone(), known.clone()));
            table.remove(digest);
            table.remove(digest);
            known.retain(|it| it != digest);
            check(&table, &known);
        }
        assert!(matches!(table.root, Slot::Empty));
        for (table, known) in versions {
            check(&table, &known);
        }
    }

    #[test]
    fn a_key_that_is_put_in_again_stands_for_the_latest_caller() {
        let mut table: Table = ["a", "b"]
            .map(|id| (digest("7"), Principal::new(id)))
            .into_iter()
            .collect();
        assert_eq!(table.len(), 1);
        table.insert(digest("7"), Principal::new("c"));
        assert_eq!(table.get(&digest("7")).expect("known").id(), "c");
    }
}
