//! What the pass notes as it goes, apart from the few values that decide the request.

use std::num::NonZeroU32;

use super::{
    counts::Sums,
    fault::Fault,
    index::Unknown,
    reader::{MAX_FAULTS, MAX_UNKNOWN},
};

/// What was found in the request, or since something that is [set apart](Self::set_apart) in it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) faults: Vec<Fault>,
    pub(super) fault_count: u32,
    /// How many are borne.
    most: u32,
    /// As many faults as are kept, and one of shape among them: no other is kept from now on.
    enough: bool,
    pub(super) unknown: Vec<Unknown>,
    pub(super) unknown_left_out: bool,
    pub(super) sums: Sums,
    /// Where the first image of each kind of address stands.
    pub(super) http_image: Option<NonZeroU32>,
    pub(super) other_image: Option<NonZeroU32>,
    /// How many of those that are kept were found before.
    faults_before: usize,
    unknown_before: usize,
}

/// What had been found when something was set apart.
#[derive(Clone, Copy)]
pub(super) struct Before {
    fault_count: u32,
    most: u32,
    enough: bool,
    unknown_left_out: bool,
    sums: Sums,
    http_image: Option<NonZeroU32>,
    other_image: Option<NonZeroU32>,
    faults_before: usize,
    unknown_before: usize,
    faults: usize,
    unknown: usize,
}

impl Found {
    /// So many faults are borne.
    pub(super) fn bear(&mut self, most: usize) {
        // No text that is read has room for more than fit.
        self.most = u32::try_from(most).unwrap_or(u32::MAX);
    }

    /// Whether a further fault is only to be counted, however many there are.
    pub(super) fn only_counts(&self) -> bool {
        self.enough && self.most == u32::MAX
    }

    /// The fault to tell where there are more than are borne: the first of shape, else the first.
    #[inline(always)]
    pub(super) fn unbearable(&self) -> Option<Fault> {
        if self.fault_count <= self.most {
            return None;
        }
        self.foremost()
    }

    #[cold]
    fn foremost(&self) -> Option<Fault> {
        let of_shape = self.faults.iter().find(|fault| fault.is_of_shape());
        of_shape.or(self.faults.first()).copied()
    }

    #[cold]
    pub(super) fn push_fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.enough {
            return;
        }
        let is_full = |found: &Self| found.faults.len() - found.faults_before == MAX_FAULTS;
        if is_full(self) {
            if !fault.is_of_shape() {
                return;
            }
            // However many values are wrong, a wrong shape is the graver mistake.
            self.faults.pop();
        }
        self.faults.push(fault);
        let kept = &self.faults[self.faults_before..];
        self.enough = is_full(self) && kept.iter().any(Fault::is_of_shape);
    }

    #[inline]
    pub(super) fn push_unknown(&mut self, unknown: Unknown) {
        if self.unknown.len() - self.unknown_before < MAX_UNKNOWN {
            self.unknown.push(unknown);
        } else {
            self.unknown_left_out = true;
        }
    }

    /// What is found from now on is apart from what was found before, until it is
    /// [put back](Self::put_back).
    #[inline(always)]
    pub(super) fn set_apart(&mut self) -> Before {
        let before = Before {
            fault_count: std::mem::take(&mut self.fault_count),
            // It may all turn out not to count.
            most: std::mem::replace(&mut self.most, u32::MAX),
            // Where no more is kept outside, it need not be kept here.
            enough: self.enough,
            unknown_left_out: std::mem::take(&mut self.unknown_left_out),
            sums: std::mem::take(&mut self.sums),
            http_image: self.http_image.take(),
            other_image: self.other_image.take(),
            faults_before: self.faults_before,
            unknown_before: self.unknown_before,
            faults: self.faults.len(),
            unknown: self.unknown.len(),
        };
        self.faults_before = before.faults;
        if before.unknown - before.unknown_before < MAX_UNKNOWN {
            self.unknown_before = before.unknown;
        }
        before
    }

    /// Back to what was found before: what was found since is held for these kinds of its object, or
    /// forgotten.
    #[inline(always)]
    pub(super) fn put_back(&mut self, before: Before, held: Option<(&mut Held, Kinds)>) {
        if let Some((held, kinds)) = held {
            let held = held.0.get_or_insert_default();
            let is_plain = self.fault_count == 0
                && !self.unknown_left_out
                && self.unknown.len() == before.unknown;
            held.members.push(Member {
                kinds,
                is_plain,
                unknown_left_out: self.unknown_left_out,
                fault_count: self.fault_count,
                sums: self.sums,
                http_image: self.http_image,
                other_image: self.other_image,
                faults: held.faults.len(),
                unknown: held.unknown.len(),
            });
            if !is_plain {
                held.faults.extend_from_slice(&self.faults[before.faults..]);
                let unknown = &self.unknown[before.unknown..];
                held.unknown.extend_from_slice(unknown);
            }
        }
        if self.faults.len() + self.unknown.len() > before.faults + before.unknown {
            self.faults.truncate(before.faults);
            self.unknown.truncate(before.unknown);
        }
        self.fault_count = before.fault_count;
        self.most = before.most;
        self.enough = before.enough;
        self.unknown_left_out = before.unknown_left_out;
        self.sums = before.sums;
        self.http_image = before.http_image;
        self.other_image = before.other_image;
        self.faults_before = before.faults_before;
        self.unknown_before = before.unknown_before;
    }
}

/// What was found in the members of the objects that are being read, the innermost last, before it is
/// known whether they count. Most requests have none such, and no room for them.
#[derive(Default)]
pub(super) struct Held(Option<Box<Members>>);

#[derive(Default)]
struct Members {
    members: Vec<Member>,
    faults: Vec<Fault>,
    unknown: Vec<Unknown>,
}

struct Member {
    kinds: Kinds,
    /// Without a fault, and without a member that the API does not know.
    is_plain: bool,
    unknown_left_out: bool,
    fault_count: u32,
    sums: Sums,
    http_image: Option<NonZeroU32>,
    other_image: Option<NonZeroU32>,
    /// Where its own begin among those that are held.
    faults: usize,
    unknown: usize,
}

/// Where the members of an object begin among those that are held.
#[derive(Clone, Copy)]
pub(super) struct Early(usize);

impl Held {
    #[inline(always)]
    pub(super) fn begin(&self) -> Early {
        Early(self.0.as_ref().map_or(0, |held| held.members.len()))
    }

    /// Adds what counts for this kind to what was found outside; whether there may have been something.
    #[inline(always)]
    pub(super) fn settle(&mut self, early: Early, kind: u8, outside: &mut Found) -> bool {
        let Some(held) = &mut self.0 else {
            return false;
        };
        held.settle(early, kind, outside);
        true
    }

    /// Nothing of the object counts any more.
    #[inline(always)]
    pub(super) fn forget(&mut self, early: Early) {
        if let Some(held) = &mut self.0 {
            held.forget(early);
        }
    }
}

impl Member {
    #[inline(always)]
    fn add_plain(&self, outside: &mut Found) {
        outside.sums.add(&self.sums);
        outside.http_image = outside.http_image.or(self.http_image);
        outside.other_image = outside.other_image.or(self.other_image);
    }
}

impl Members {
    /// Mostly there is one such member, and nothing wrong or unknown in it.
    #[inline(never)]
    fn settle(&mut self, early: Early, kind: u8, outside: &mut Found) {
        match self.members.get(early.0..) {
            None | Some([]) => {}
            Some([only]) if only.is_plain => {
                if only.kinds >> kind & 1 == 1 {
                    only.add_plain(outside);
                }
                self.members.truncate(early.0);
            }
            Some(_) => self.settle_all(early, kind, outside),
        }
    }

    #[inline(never)]
    fn settle_all(&mut self, early: Early, kind: u8, outside: &mut Found) {
        for (at, member) in self.members.iter().enumerate().skip(early.0) {
            if member.kinds >> kind & 1 == 0 {
                continue;
            }
            let next = self.members.get(at + 1);
            let faults = next.map_or(self.faults.len(), |next| next.faults);
            let unknown = next.map_or(self.unknown.len(), |next| next.unknown);
            let faults = &self.faults[member.faults..faults];
            outside.fault_count += member.fault_count - faults.len() as u32;
            for fault in faults {
                outside.push_fault(*fault);
            }
            for unknown in &self.unknown[member.unknown..unknown] {
                outside.push_unknown(*unknown);
            }
            outside.unknown_left_out |= member.unknown_left_out;
            member.add_plain(outside);
        }
        self.forget(early);
    }

    #[inline(always)]
    fn forget(&mut self, early: Early) {
        if let Some(first) = self.members.get(early.0) {
            self.faults.truncate(first.faults);
            self.unknown.truncate(first.unknown);
            self.members.truncate(early.0);
        }
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
