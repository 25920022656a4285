//! Whether a key stands twice in its object.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::reader::{Read, duplicate};
use crate::wire::json::{Cursor, Key, Str, Word};

/// How many keys are compared each with each.
const FEW: usize = 6;
/// Places in the table; at most a quarter of them are taken.
const PLACES: usize = 1024;

/// Tells the keys of an object apart that the API does not know; those that it knows take a bit each
/// and have no place here.
///
/// Its seed is what digests begin with: nobody outside can know it, so nobody can choose keys that
/// have the same digest and are slow to tell apart.
#[derive(Default)]
pub(super) struct Distinct {
    seed: Option<u64>,
    /// The keys of the objects that are being read, the innermost last: digest and place.
    keys: Vec<u64>,
    /// Digests, each with the round that put it there, so that no round has to empty it: made when an
    /// object has more than a few keys that nobody knows.
    table: Vec<u64>,
    round: u32,
}

impl Distinct {
    /// Where the keys of the object begin that is read next.
    pub(super) fn begin(&self) -> usize {
        self.keys.len()
    }

    /// Takes a key of the object whose keys begin there, with its place and its digest; whether it is not
    /// one too many.
    #[inline(always)]
    pub(super) fn push(&mut self, begin: usize, max: usize, place: usize, digest: u32) -> bool {
        if self.keys.len() - begin == max {
            return false;
        }
        self.keys.push(u64::from(digest) << 32 | place as u64);
        true
    }

    /// Refuses the later of two keys that mean the same, and forgets those of the object.
    #[inline]
    pub(super) fn judge(&mut self, begin: usize, text: &[u8]) -> Read {
        if self.keys.len() - begin >= 2 {
            self.compare(begin, text)?;
        }
        self.keys.truncate(begin);
        Ok(())
    }

    #[inline(never)]
    fn compare(&mut self, begin: usize, text: &[u8]) -> Read {
        let keys = &self.keys[begin..];
        if keys.len() <= FEW {
            // Mostly no two have as much as these bits in common.
            let (mut seen, mut alike) = (0u64, 0);
            for key in keys {
                let bit = 1 << (key >> 58);
                alike |= seen & bit;
                seen |= bit;
            }
            if alike == 0 {
                return Ok(());
            }
            for (at, later) in keys.iter().enumerate() {
                for earlier in &keys[..at] {
                    if later >> 32 == earlier >> 32 {
                        differ(*earlier, *later, text)?;
                    }
                }
            }
            return Ok(());
        }
        if keys.len() > PLACES / 4 || self.round == u32::MAX {
            return placed_once(keys, text);
        }
        self.table.resize(PLACES, 0);
        self.round += 1;
        placed(keys, text, &mut self.table, self.round)
    }

    /// Digests what a key means.
    #[inline(always)]
    pub(super) fn digest(&mut self, key: Key<'_>) -> u32 {
        if key.word.is_none() {
            return (mixed(key.string, self.seed()) >> 32) as u32;
        }
        let Word { low, high } = key.word;
        let seed = self.seed();
        (fold(low ^ seed, high ^ seed.rotate_left(32)) >> 32) as u32
    }

    #[inline(always)]
    fn seed(&mut self) -> u64 {
        match self.seed {
            Some(seed) => seed,
            None => self.sow(),
        }
    }

    #[cold]
    fn sow(&mut self) -> u64 {
        let random = || RandomState::new().build_hasher().finish();
        *self.seed.get_or_insert_with(random)
    }
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Digests what a string means.
#[inline(never)]
pub(super) fn mixed(text: Str<'_>, seed: u64) -> u64 {
    let (mut sum, mut last, mut bytes) = (seed, [0; 8], 0);
    text.each_piece(|piece| {
        bytes += piece.len() as u64;
        let mut rest = piece;
        while let Some((word, behind)) = rest.split_first_chunk() {
            sum = fold(sum ^ u64::from_le_bytes(*word), STEP);
            rest = behind;
        }
        // None but the last piece leaves some.
        last[..rest.len()].copy_from_slice(rest);
    });
    let sum = fold(sum ^ u64::from_le_bytes(last), STEP);
    fold(sum ^ bytes, seed.rotate_left(32) | 1)
}

/// Tells keys apart by their places in a table, which are a power of two. It has the digests, each with
/// the round that put it there; those of earlier rounds are as good as none.
#[inline(never)]
fn placed(keys: &[u64], text: &[u8], table: &mut [u64], round: u32) -> Read {
    let last = table.len() - 1;
    for (at, key) in keys.iter().enumerate() {
        let digest = key >> 32;
        let entry = u64::from(round) << 32 | digest;
        let mut place = digest as usize & last;
        while let Some(taken) = table.get(place) {
            if taken >> 32 != u64::from(round) {
                break;
            }
            if *taken == entry {
                alike(&keys[..at], *key, text)?;
            }
            place = (place + 1) & last;
        }
        if let Some(free) = table.get_mut(place) {
            *free = entry;
        }
    }
    Ok(())
}

/// The same in a table of its own, for many: smaller entries, and more places for each.
#[inline(never)]
fn placed_once(keys: &[u64], text: &[u8]) -> Read {
    let mut table = vec![0u32; (4 * keys.len()).next_power_of_two()];
    let last = table.len() - 1;
    for (at, key) in keys.iter().enumerate() {
        let digest = (key >> 32) as u32;
        // Zero is no entry.
        let entry = digest | 1;
        let mut place = (digest >> 1) as usize & last;
        while let Some(taken) = table.get(place).filter(|taken| **taken != 0) {
            if *taken == entry {
                alike(&keys[..at], *key, text)?;
            }
            place = (place + 1) & last;
        }
        if let Some(free) = table.get_mut(place) {
            *free = entry;
        }
    }
    Ok(())
}

/// A key of whose digest there was one before.
#[cold]
fn alike(before: &[u64], key: u64, text: &[u8]) -> Read {
    let alike = before.iter().filter(|earlier| **earlier >> 32 == key >> 32);
    alike
        .copied()
        .try_for_each(|earlier| differ(earlier, key, text))
}

/// Two keys of the same digest.
#[cold]
fn differ(earlier: u64, later: u64, text: &[u8]) -> Read {
    let key = |entry: u64| {
        let place = (entry & u64::from(u32::MAX)) as usize;
        Cursor::within(text, place, 0).string()
    };
    let later = key(later)?;
    if key(earlier)? == later {
        return Err(duplicate(later.start()));
    }
    Ok(())
}

/// Both halves of a product, mixed.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
