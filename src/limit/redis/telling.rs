//! What this node has yet to tell Redis, by key.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many changes to each key wait to be told, or are being told; and who waits for that.
///
/// A request that is refused for what has not been told yet waits until it is, and asks again. Whoever comes
/// meanwhile waits for it before it asks at all: else it could take what the first one waits for, while what
/// it has given back itself is still counted, and so on in turns.
///
/// Keys are known by a hash: two that share one only look later than they are, and are asked again.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Of all keys, so that whoever comes after none looks no further.
    all: AtomicUsize,
    /// Requests that were refused, of all keys too.
    refused: AtomicUsize,
    keys: Mutex<HashMap<u64, Waiting>>,
    hasher: RandomState,
}

/// Of one key.
#[derive(Debug, Default)]
struct Waiting {
    changes: usize,
    refused: usize,
}

/// A request that was refused and asks again, until it is dropped.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    telling: &'a Telling,
    keys: Vec<u64>,
}

impl Telling {
    /// Changes to these keys are to be told.
    pub(super) fn begin<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut waiting = self.lock();
        for key in keys {
            let of = waiting.entry(self.hasher.hash_one(key)).or_default();
            of.changes += 1;
            self.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// They have been told, or never will be.
    pub(super) fn over<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut waiting = self.lock();
        for key in keys {
            let hash = self.hasher.hash_one(key);
            let Some(of) = waiting.get_mut(&hash) else {
                continue;
            };
            of.changes = of.changes.saturating_sub(1);
            forget(&mut waiting, hash);
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether something of one of these keys is yet to be told.
    pub(super) fn has(&self, keys: &[String]) -> bool {
        self.any(keys, |of| of.changes > 0)
    }

    /// Whether any request was refused and asks again.
    pub(super) fn is_anything_waited_for(&self) -> bool {
        self.refused.load(Ordering::Relaxed) > 0
    }

    /// Whether that is so of these keys, and something of them is yet to be told.
    pub(super) fn is_waited_for(&self, keys: &[String]) -> bool {
        self.any(keys, |of| of.changes > 0 && of.refused > 0)
    }

    /// A request was refused under these keys.
    pub(super) fn refused(&self, keys: &[String]) -> Refused<'_> {
        let keys = keys.iter().map(|key| self.hasher.hash_one(key)).collect();
        let refused = Refused {
            telling: self,
            keys,
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.lock();
        for key in &refused.keys {
            waiting.entry(*key).or_default().refused += 1;
        }
        drop(waiting);
        refused
    }

    fn any(&self, keys: &[String], is: impl Fn(&Waiting) -> bool) -> bool {
        if self.all.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let waiting = self.lock();
        keys.iter()
            .any(|key| waiting.get(&self.hasher.hash_one(key)).is_some_and(&is))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(waiting: &mut HashMap<u64, Waiting>, key: u64) {
    let over = |of: &Waiting| of.changes == 0 && of.refused == 0;
    if waiting.get(&key).is_some_and(over) {
        waiting.remove(&key);
    }
}

impl Drop for Refused<'_> {
    fn drop(&mut self) {
        self.telling.refused.fetch_sub(1, Ordering::Relaxed);
        let mut waiting = self.telling.lock();
        for key in &self.keys {
            if let Some(of) = waiting.get_mut(key) {
                of.refused = of.refused.saturating_sub(1);
            }
            forget(&mut waiting, *key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_behind_until_all_its_changes_are_told() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let telling = Telling::default();
        assert!(!telling.has(&keys));
        telling.begin(keys.iter());
        telling.begin(keys[..1].iter());
        assert!(telling.has(&keys[..1]) && telling.has(&keys[1..]));
        telling.over(keys.iter());
        assert!(telling.has(&keys[..1]) && !telling.has(&keys[1..]));
        telling.over(keys.iter());
        assert!(!telling.has(&keys));
        assert!(telling.lock().is_empty());
    }

    #[test]
    fn changes_are_waited_for_as_long_as_a_refused_request_is_there() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let telling = Telling::default();
        let refused = telling.refused(&keys[..1]);
        assert!(!telling.is_waited_for(&keys), "nothing is to be told");
        telling.begin(keys.iter());
        assert!(telling.is_waited_for(&keys) && !telling.is_waited_for(&keys[1..]));
        drop(refused);
        assert!(!telling.is_waited_for(&keys));
        telling.over(keys.iter());
        drop(telling.refused(&keys));
        assert!(telling.lock().is_empty());
    }
}
