use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

mod adaptive;
mod guess;
mod pace;

pub use adaptive::Adaptive;

use guess::Guess;

use super::{
    breaker::{Breaker, Breaking, Change},
    keys::{Keys, Nth, take},
    silence::Silence,
};

/// Milliseconds since the router was made.
pub(crate) type Millis = u64;

pub(crate) fn millis(time: Duration) -> Millis {
    // Half of all there is, so that a time may still be added to it.
    const MOST: Millis = Millis::MAX / 2;
    Millis::try_from(time.as_millis()).map_or(MOST, |time| time.min(MOST))
}

/// What is known of one target, shared by all requests.
#[derive(Default)]
pub(crate) struct State {
    in_flight: AtomicU32,
    /// The adaptive concurrency in thousandths; 0 when nothing is known yet.
    ceiling: AtomicU64,
    /// Right behind the time when that was last halved.
    halved: AtomicU64,
    /// Smoothed time to the answer's head in microseconds, failures counted as slow.
    latency: AtomicU64,
    /// The latency and when it was seen in one number: see [`pace_of`](pace::pace_of).
    pace: AtomicU64,
    /// The time that one answer in twenty exceeds, in microseconds.
    slow: AtomicU64,
    /// When the latency was last seen.
    seen: AtomicU64,
    /// When its breaker closed, and it began to get its share again; 0 is never.
    recovered: AtomicU64,
    /// Whether the breaker is open, and until when any key rests, as it was asked to or by guess: looked at
    /// without the lock.
    open: AtomicBool,
    resting: AtomicU64,
    /// Whether any key rests by guess, or did and has not served since.
    guesses: AtomicBool,
    /// Until when any key has nothing left of this target, looked at without the lock too.
    spent: AtomicU64,
    /// The end of the rest that it asked for because it was overloaded, and not limited.
    overloaded: AtomicU64,
    pub(crate) silence: Silence,
    /// Of a model behind a pattern: what all models behind it have together.
    within: Option<Arc<Self>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    breaker: Breaker,
    /// Until when each key rests at this target; the first stands for all where there is no pool.
    rests: Vec<Millis>,
    /// The same of rests that nobody asked for.
    guesses: Vec<Guess>,
    /// Until when each key counts as dead at this target alone.
    spent: Vec<Millis>,
}

/// Whether a target may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Can {
    /// With this key, if there is a pool.
    Yes(Option<Nth>),
    /// It refused too many requests and did not say for how long: with this key when nobody is left who may
    /// be asked at once. This is when its rest is thought to end.
    Unsure(Millis, Option<Nth>),
    /// Its breaker is open, or every key is dead: only when nobody else is left.
    Unwell(Option<Nth>),
    /// It asked for a rest until then.
    Resting(Millis),
    /// It serves as many requests as it may.
    Full,
}

/// Raises the entry of a key.
fn longer(all: &mut Vec<Millis>, key: Nth, until: Millis) {
    let key = usize::from(key);
    if all.len() <= key {
        all.resize(key + 1, 0);
    }
    all[key] = all[key].max(until);
}

impl State {
    /// Of a model behind a pattern. What limits requests at once limits those for all of them together; all
    /// else is this one's own.
    pub(crate) fn within(all: &Arc<Self>) -> Self {
        Self {
            within: Some(Arc::clone(all)),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `barred` has a bit for each key that this request has tried here in vain.
    pub(crate) fn can(&self, now: Millis, limit: u32, keys: &Keys, barred: u64) -> Can {
        if self.in_flight() >= self.ceiling() || self.all_in_flight() >= limit {
            return Can::Full;
        }
        let start = keys.turn();
        if barred == 0 && self.is_quiet(now) && keys.is_free(start, now) {
            return Can::Yes(keys.named(start));
        }
        self.can_by_key(now, keys, start, barred)
    }

    /// Whether nothing speaks against it, whichever its keys are.
    fn is_quiet(&self, now: Millis) -> bool {
        self.resting.load(Ordering::Relaxed) <= now
            && self.spent.load(Ordering::Relaxed) <= now
            && !self.open.load(Ordering::Relaxed)
    }

    /// The same by a look at each of its keys, from this one on.
    #[cold]
    fn can_by_key(&self, now: Millis, keys: &Keys, start: Nth, barred: u64) -> Can {
        let n = keys.len().max(1) as Nth;
        let inner = self.lock();
        let well = inner.breaker.allows(now);
        let (mut soonest, mut dead, mut unsure, mut full) = (None, None, None, false);
        for key in (0..n).map(|i| (start + i) % n) {
            let (named, at) = (keys.named(key), usize::from(key));
            let rest = inner.rests.get(at).copied().unwrap_or(0);
            if barred >> key & 1 == 1 {
                continue;
            }
            if keys.is_full(key) {
                full = true;
            } else if rest > now {
                soonest = Some(rest.min(soonest.unwrap_or(Millis::MAX)));
            } else if keys.is_dead(key, now) || inner.spent.get(at).is_some_and(|it| *it > now) {
                dead = Some(named);
            } else if !well {
                return Can::Unwell(named);
            } else {
                let until = inner.guesses.get(at).map_or(0, Guess::ends);
                if until <= now {
                    return Can::Yes(named);
                }
                if unsure.is_none_or(|(first, _)| until < first) {
                    unsure = Some((until, named));
                }
            }
        }
        if let Some((until, key)) = unsure {
            return Can::Unsure(until, key);
        }
        match (dead, soonest) {
            (Some(key), _) => Can::Unwell(key),
            (None, Some(_)) if full => Can::Full,
            (None, Some(until)) => Can::Resting(until),
            (None, None) => Can::Full,
        }
    }

    fn ceiling(&self) -> u32 {
        match self.ceiling.load(Ordering::Relaxed) {
            0 => u32::MAX,
            thousandths => u32::try_from(thousandths / 1000).unwrap_or(u32::MAX),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(&self, limit: u32) -> bool {
        let Some(all) = &self.within else {
            return take(&self.in_flight, limit.min(self.ceiling()));
        };
        if !take(&self.in_flight, self.ceiling()) {
            return false;
        }
        let entered = take(&all.in_flight, limit);
        if !entered {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    /// Takes the breaker's one probe when that is what it waits for.
    pub(crate) fn probe(&self, now: Millis) -> bool {
        self.open.load(Ordering::Relaxed) && self.lock().breaker.enter(now)
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(all) = &self.within {
            all.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn give_back_probe(&self, sent: Millis) {
        self.lock().breaker.give_back_probe(sent);
    }

    /// The verdict over a request that was sent at `sent`.
    pub(crate) fn record(
        &self,
        good: bool,
        sent: Millis,
        now: Millis,
        config: &Breaking,
    ) -> Option<Change> {
        let mut inner = self.lock();
        let change = inner.breaker.record(good, sent, now, config);
        self.open.store(inner.breaker.is_open(), Ordering::Relaxed);
        if change == Some(Change::Closed) {
            self.recovered.store(now.max(1), Ordering::Relaxed);
        }
        change
    }

    pub(crate) fn rest(&self, key: Option<Nth>, until: Millis) {
        let mut inner = self.lock();
        longer(&mut inner.rests, key.unwrap_or(0), until);
        self.resting.fetch_max(until, Ordering::Relaxed);
    }

    /// A key of which nothing is left at this target: it counts as dead here, and serves elsewhere.
    /// Without a pool there is nothing to remember.
    pub(crate) fn spend(&self, key: Option<Nth>, until: Millis) {
        if let Some(key) = key {
            let mut inner = self.lock();
            longer(&mut inner.spent, key, until);
            self.spent.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// Whether nothing is left of a key here.
    pub(crate) fn is_spent(&self, key: Nth, now: Millis) -> bool {
        self.spent.load(Ordering::Relaxed) > now
            && self
                .lock()
                .spent
                .get(usize::from(key))
                .is_some_and(|it| *it > now)
    }

    /// A key that has served here has something left.
    pub(crate) fn revive(&self, key: Option<Nth>) {
        // Nearly always nothing was ever spent.
        if self.spent.load(Ordering::Relaxed) > 0 {
            let mut inner = self.lock();
            if let Some(until) = key.and_then(|key| inner.spent.get_mut(usize::from(key))) {
                *until = 0;
            }
            let last = inner.spent.iter().max().copied().unwrap_or(0);
            self.spent.store(last, Ordering::Relaxed);
        }
    }

    /// A rest for want of room, not of a key's allowance.
    pub(crate) fn rest_overloaded(&self, key: Option<Nth>, until: Millis) {
        self.overloaded.fetch_max(until, Ordering::Relaxed);
        self.rest(key, until);
    }

    /// Whether a rest that ends then was asked for because it was overloaded.
    pub(crate) fn is_overloaded_until(&self, until: Millis) -> bool {
        self.overloaded.load(Ordering::Relaxed) == until
    }

    /// How loaded it is: less is better.
    #[inline]
    pub(crate) fn load(&self, weight: u32, now: Millis) -> u64 {
        let busy = u64::from(self.all_in_flight()) + 1;
        let latency = self.latency(now).max(1);
        busy.saturating_mul(latency).saturating_mul(1 << 10) / u64::from(weight.max(1))
    }

    /// Whether it takes part in full again after its breaker was open: at first in one case of ten.
    #[inline]
    pub(crate) fn is_warm(&self, now: Millis, random: u64, config: &Breaking) -> bool {
        let recovered = self.recovered.load(Ordering::Relaxed);
        recovered == 0 || self.is_warm_again(recovered, now, random, config)
    }

    #[cold]
    fn is_warm_again(
        &self,
        recovered: Millis,
        now: Millis,
        random: u64,
        config: &Breaking,
    ) -> bool {
        let since = now.saturating_sub(recovered);
        if since >= config.slow_start {
            self.recovered.store(0, Ordering::Relaxed);
            return true;
        }
        let share = (since * 100 / config.slow_start).max(10);
        random % 100 < share
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// With those for other models behind the same pattern.
    #[inline]
    fn all_in_flight(&self) -> u32 {
        let all = self.within.as_deref().unwrap_or(self);
        all.in_flight()
    }

    pub(crate) fn most(&self, limit: u32) -> Option<u32> {
        Some(limit.min(self.ceiling())).filter(|most| *most != u32::MAX)
    }

    /// Whether the breaker is open, and when it lets a probe through.
    pub(crate) fn open_until(&self) -> Option<Millis> {
        if !self.open.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().breaker.until()
    }

    pub(crate) fn resting_until(&self, now: Millis) -> Option<Millis> {
        Some(self.resting.load(Ordering::Relaxed)).filter(|until| *until > now)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("in_flight", &self.in_flight())
            .field("open", &self.open.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
