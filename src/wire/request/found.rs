//! What the pass notes as it goes, apart from the few values that decide the request.

use std::num::NonZeroU32;

use super::{
    counts::Sums,
    fault::Fault,
    index::Unknown,
    reader::{MAX_FAULTS, MAX_UNKNOWN},
};

/// What was found in a part of the request: kept apart while it is not known whether that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) faults: Vec<Fault>,
    pub(super) fault_count: u32,
    /// As many faults as are kept, and one of shape among them: no other is kept from now on.
    enough: bool,
    pub(super) unknown: Vec<Unknown>,
    pub(super) unknown_left_out: bool,
    pub(super) sums: Sums,
    /// Where the first image of each kind of address stands.
    pub(super) http_image: Option<NonZeroU32>,
    pub(super) other_image: Option<NonZeroU32>,
}

impl Found {
    /// Whether a further fault is only to be counted.
    #[inline(always)]
    pub(super) fn has_enough(&self) -> bool {
        self.enough
    }

    #[cold]
    pub(super) fn push_fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() == MAX_FAULTS {
            if self.enough || !fault.is_of_shape() {
                return;
            }
            // However many values are wrong, a wrong shape is the graver mistake.
            self.faults.pop();
        }
        self.faults.push(fault);
        self.enough = self.faults.len() == MAX_FAULTS && self.faults.iter().any(Fault::is_of_shape);
    }

    #[inline]
    pub(super) fn push_unknown(&mut self, unknown: Unknown) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(unknown);
        } else {
            self.unknown_left_out = true;
        }
    }

    /// Takes what was found elsewhere as if it had been found here.
    pub(super) fn add(&mut self, other: Self) {
        if other.fault_count > 0 {
            self.fault_count += other.fault_count - other.faults.len() as u32;
            for fault in other.faults {
                self.push_fault(fault);
            }
        }
        for unknown in other.unknown {
            self.push_unknown(unknown);
        }
        self.unknown_left_out |= other.unknown_left_out;
        self.sums.add(&other.sums);
        self.http_image = self.http_image.or(other.http_image);
        self.other_image = self.other_image.or(other.other_image);
    }
}

/// What is known of the member that tells one kind of object from another, while that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// It has not come yet.
    Open,
    /// It names the kind of this number.
    Is(u8),
    /// It names none.
    Wrong,
}

/// A set of kinds, one bit for each.
pub(super) type Kinds = u8;

/// What was found in the members of an object that came before the one that says whether they count.
#[derive(Default)]
pub(super) struct Early {
    /// Nearly always there is one such member at most.
    first: Option<(Kinds, Found)>,
    more: Vec<(Kinds, Found)>,
}

impl Early {
    #[inline(always)]
    pub(super) fn push(&mut self, kinds: Kinds, found: Found) {
        if self.first.is_none() {
            self.first = Some((kinds, found));
        } else {
            self.more.push((kinds, found));
        }
    }

    /// Gives what counts for this kind to what was found outside.
    #[inline(always)]
    pub(super) fn settle(&mut self, kind: u8, outside: &mut Found) {
        let Some((kinds, found)) = self.first.take() else {
            return;
        };
        if kinds >> kind & 1 == 1 {
            outside.add(found);
        }
        if !self.more.is_empty() {
            for (kinds, found) in std::mem::take(&mut self.more) {
                if kinds >> kind & 1 == 1 {
                    outside.add(found);
                }
            }
        }
    }
}
