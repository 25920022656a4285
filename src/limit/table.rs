//! The keys of a store and what is known of each: found by one hash, locked one by one, swept.
//!
//! The locks come from `super::sync`, so that the same file can be run under a model of them.

use std::hash::{BuildHasher, Hasher as _};

use hashbrown::{HashTable, hash_table::Entry as Slot};

use super::{
    Key,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A name of a rule, as an entry keeps it.
type Name = std::sync::Arc<str>;

/// One key of one rule.
pub(super) struct Entry<S> {
    rule: Name,
    key: Key,
    hash: u64,
    state: Mutex<S>,
}

impl<S> Entry<S> {
    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, rule: &str, key: &Key) -> bool {
        // Mostly they are the very same text.
        let same = |a: &str, b: &str| std::ptr::eq(a, b) || a == b;
        same(self.key.as_str(), key.as_str()) && same(&self.rule, rule)
    }
}

type Shard<S> = HashTable<Arc<Entry<S>>>;

/// At most so many entries, divided into parts that are locked apart.
pub(super) struct Table<S, H> {
    shards: Box<[RwLock<Shard<S>>]>,
    len: AtomicUsize,
    hasher: H,
}

impl<S: Default, H: BuildHasher> Table<S, H> {
    /// An empty one, in this number of parts: a power of two.
    pub(super) fn new(shards: usize, hasher: H) -> Self {
        let shard = || RwLock::new(HashTable::new());
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            len: AtomicUsize::new(0),
            hasher,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Of the name of the rule its length and its ends: there are few rules, keys without number.
    #[inline]
    fn hash(&self, rule: &str, key: &Key) -> u64 {
        let rule = rule.as_bytes();
        let end = |byte: Option<&u8>| byte.copied().map_or(0, u64::from);
        let ends = end(rule.first()) << 8 | end(rule.last());
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_str().as_bytes());
        hasher.write_u64((rule.len() as u64) << 16 | ends);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard<S>> {
        // Other bits than those that choose the place within.
        let at = usize::try_from(hash >> 40).unwrap_or(0) & (self.shards.len() - 1);
        &self.shards[at]
    }

    /// The entry of a key, if there is one.
    #[inline]
    pub(super) fn get(&self, rule: &str, key: &Key) -> Option<Arc<Entry<S>>> {
        let hash = self.hash(rule, key);
        let shard: RwLockReadGuard<'_, _> = self
            .shard(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.find(hash, |it| it.is(rule, key)).cloned()
    }

    /// The entry of a key, made when there is none and fewer than `most` of all.
    pub(super) fn insert(&self, rule: &Name, key: &Key, most: usize) -> Option<Arc<Entry<S>>> {
        let hash = self.hash(rule, key);
        let mut shard: RwLockWriteGuard<'_, _> = self
            .shard(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.entry(hash, |it| it.is(rule, key), |it| it.hash) {
            Slot::Occupied(entry) => Some(Arc::clone(entry.get())),
            Slot::Vacant(place) => {
                if self.len.fetch_add(1, Ordering::Relaxed) >= most {
                    self.len.fetch_sub(1, Ordering::Relaxed);
                    return None;
                }
                let entry = Arc::new(Entry {
                    rule: Name::clone(rule),
                    key: key.clone(),
                    hash,
                    state: Mutex::new(S::default()),
                });
                Some(Arc::clone(place.insert(entry).get()))
            }
        }
    }

    /// Forgets what is idle and nobody has a hold of.
    pub(super) fn sweep(&self, mut is_idle: impl FnMut(&mut S) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            // Under the lock of its part nobody can come by a clone of the only reference.
            shard.retain(|entry| Arc::strong_count(entry) > 1 || !is_idle(&mut entry.lock()));
            self.len.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }
}

/// What is done with the entries of one request.
pub(super) trait Act<S, D> {
    /// The first visit: those before it are locked, those after it have not been seen.
    fn check(&mut self, state: &mut S, about: &mut D);

    /// The second: all have been checked, and this one is locked still.
    fn conclude(&mut self, state: &mut S);
}

/// Entries in the order in which every thread locks them, each once.
pub(super) fn in_order<S, D>(targets: &mut [(Arc<Entry<S>>, D)]) {
    if targets.len() > 1 {
        targets.sort_unstable_by_key(|(entry, _)| std::ptr::from_ref(&**entry));
    }
}

/// Visits all entries twice, each locked from its first visit to its second.
#[inline]
pub(super) fn visit<S, D>(targets: &mut [(Arc<Entry<S>>, D)], act: &mut impl Act<S, D>) {
    match targets {
        [] => {}
        // The common case, without the calls of the other.
        [(entry, about)] => {
            let mut state = entry.lock();
            act.check(&mut state, about);
            act.conclude(&mut state);
        }
        several => nested(several, act),
    }
}

#[inline(never)]
fn nested<S, D>(targets: &mut [(Arc<Entry<S>>, D)], act: &mut impl Act<S, D>) {
    let Some(((entry, about), rest)) = targets.split_first_mut() else {
        return;
    };
    let mut state = entry.lock();
    act.check(&mut state, about);
    nested(rest, act);
    act.conclude(&mut state);
}
