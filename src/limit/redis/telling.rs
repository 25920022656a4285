//! What this node has yet to tell Redis, by key.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many changes to each key wait to be told, or are being told.
///
/// Keys are known by a hash: two that share one only look later than they are, and are asked again.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Of all keys, so that whoever comes after none looks no further.
    all: AtomicUsize,
    keys: Mutex<HashMap<u64, usize>>,
    hasher: RandomState,
}

impl Telling {
    /// Changes to these keys are to be told.
    pub(super) fn begin<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut waiting = self.lock();
        for key in keys {
            *waiting.entry(self.hasher.hash_one(key)).or_default() += 1;
            self.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// They have been told, or never will be.
    pub(super) fn over<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut waiting = self.lock();
        for key in keys {
            let hash = self.hasher.hash_one(key);
            let Some(count) = waiting.get_mut(&hash) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                waiting.remove(&hash);
            }
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether something of one of these keys is yet to be told.
    pub(super) fn has(&self, keys: &[String]) -> bool {
        if self.all.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let waiting = self.lock();
        keys.iter()
            .any(|key| waiting.contains_key(&self.hasher.hash_one(key)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
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
}
