use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::state::Millis;

/// The most keys that a pool has; a target's attempts are told apart by a bit each.
pub(crate) const MOST: usize = 64;

/// One of a pool's keys, by its place in it.
pub(crate) type Nth = u8;

/// So often in a row a key is refused what another of its pool may before that is held against the key:
/// a file of one client's may be another key's, and whoever else is served with this one speaks for it.
const DOUBTS: u32 = 3;

/// The keys of one provider: until when each counts as dead, and how many requests use it.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: Box<[Key]>,
    /// Requests at once with one key.
    pub(crate) limit: u32,
    turn: AtomicU32,
}

#[derive(Debug, Default)]
struct Key {
    dead_until: AtomicU64,
    in_flight: AtomicU32,
    /// How often it was refused what another may since it has served.
    doubts: AtomicU32,
}

impl Key {
    fn is_dead(&self, now: Millis) -> bool {
        self.dead_until.load(Ordering::Relaxed) > now
    }

    fn is_full(&self, limit: u32) -> bool {
        self.in_flight.load(Ordering::Relaxed) >= limit
    }
}

impl Keys {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            keys: (0..n.min(MOST)).map(|_| Key::default()).collect(),
            limit: u32::MAX,
            turn: AtomicU32::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Those that there are.
    pub(crate) fn all(&self) -> std::ops::Range<Nth> {
        0..self.keys.len() as Nth
    }

    /// The key whose turn it is; they take turns.
    pub(crate) fn turn(&self) -> Nth {
        if self.keys.len() < 2 {
            return 0;
        }
        (self.turn.fetch_add(1, Ordering::Relaxed) as usize % self.keys.len()) as Nth
    }

    fn get(&self, key: Nth) -> Option<&Key> {
        self.keys.get(usize::from(key))
    }

    pub(crate) fn is_dead(&self, key: Nth, now: Millis) -> bool {
        self.get(key).is_some_and(|key| key.is_dead(now))
    }

    pub(crate) fn is_full(&self, key: Nth) -> bool {
        self.get(key).is_some_and(|key| key.is_full(self.limit))
    }

    /// Whether a key is neither dead nor full; true without a pool.
    pub(crate) fn is_free(&self, key: Nth, now: Millis) -> bool {
        let key = self.get(key);
        key.is_none_or(|key| !key.is_dead(now) && !key.is_full(self.limit))
    }

    /// A key, if there is a pool.
    pub(crate) fn named(&self, key: Nth) -> Option<Nth> {
        (!self.keys.is_empty()).then_some(key)
    }

    /// The first that is neither dead nor `spent`, else the first; none without a pool.
    pub(crate) fn alive(&self, now: Millis, spent: impl Fn(Nth) -> bool) -> Option<Nth> {
        let mut all = self.all();
        let alive = all.find(|key| !self.is_dead(*key, now) && !spent(*key));
        alive.or(self.named(0))
    }

    /// How many are dead or `spent`.
    pub(crate) fn dead(&self, now: Millis, spent: impl Fn(Nth) -> bool) -> usize {
        self.all()
            .filter(|key| self.is_dead(*key, now) || spent(*key))
            .count()
    }

    /// Takes one more request on a key, if it may have one.
    pub(crate) fn enter(&self, key: Option<Nth>) -> bool {
        match key.and_then(|key| self.get(key)) {
            Some(key) => take(&key.in_flight, self.limit),
            None => true,
        }
    }

    pub(crate) fn leave(&self, key: Option<Nth>) {
        if let Some(key) = key.and_then(|key| self.get(key)) {
            key.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A key that has served is not dead, whatever it was refused before.
    pub(crate) fn revive(&self, key: Option<Nth>) {
        if let Some(key) = key.and_then(|key| self.get(key)) {
            // Nearly always it is not: what all requests read is written by none.
            if key.dead_until.load(Ordering::Relaxed) > 0 {
                key.dead_until.store(0, Ordering::Relaxed);
            }
            if key.doubts.load(Ordering::Relaxed) > 0 {
                key.doubts.store(0, Ordering::Relaxed);
            }
        }
    }

    /// A key was refused what another has been served with: it is buried when that goes on.
    pub(crate) fn doubt(&self, key: Option<Nth>, until: Millis) {
        if let Some(key) = key.and_then(|key| self.get(key)) {
            // One that has been buried is looked at anew when its time is over.
            if key.doubts.fetch_add(1, Ordering::Relaxed) + 1 >= DOUBTS {
                key.doubts.store(0, Ordering::Relaxed);
                key.dead_until.store(until, Ordering::Relaxed);
            }
        }
    }

    /// Remembers a key that was refused. False without a pool: there is nothing to remember.
    pub(crate) fn bury(&self, key: Option<Nth>, until: Millis) -> bool {
        let slot = key.and_then(|key| self.get(key));
        if let Some(key) = slot {
            key.dead_until.store(until, Ordering::Relaxed);
        }
        slot.is_some()
    }
}

/// One more, unless that were more than `limit`; two that come at once never get the same last place.
pub(crate) fn take(in_flight: &AtomicU32, limit: u32) -> bool {
    in_flight
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < limit).then_some(now + 1)
        })
        .is_ok()
}
