//! Whether a key stands twice in its object.

use super::reader::{Read, duplicate};
use crate::wire::json::{Cursor, Key};

/// How many keys are compared each with each.
const FEW: usize = 6;
/// Places in the table; at most a quarter of them are taken.
const PLACES: usize = 1024;

/// Tells the keys of an object apart that the API does not know; those that it knows take a bit each
/// and have no place here.
#[derive(Default)]
pub(super) struct Distinct {
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

    /// Takes a key of the object whose keys begin there; whether it is not one too many.
    #[inline(always)]
    pub(super) fn push(&mut self, begin: usize, max: usize, key: Key<'_>) -> bool {
        if self.keys.len() - begin == max {
            return false;
        }
        let place = key.string.start() - 1;
        self.keys
            .push(u64::from(key.word.digest()) << 32 | place as u64);
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
