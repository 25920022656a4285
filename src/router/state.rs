use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// Milliseconds since the router was made.
pub(crate) type Millis = u64;

/// When a target's breaker opens, and for how long.
#[derive(Clone, Debug)]
#[must_use]
pub struct Breaking {
    pub(crate) consecutive: u32,
    pub(crate) open: Millis,
    pub(crate) longest: Millis,
    pub(crate) window: Millis,
    pub(crate) samples: u32,
}

impl Default for Breaking {
    fn default() -> Self {
        Self {
            consecutive: 5,
            open: 5_000,
            longest: 60_000,
            window: 10_000,
            samples: 20,
        }
    }
}

impl Breaking {
    /// After how many failures in a row it opens. Default: 5.
    pub fn consecutive(mut self, failures: std::num::NonZeroU32) -> Self {
        self.consecutive = failures.get();
        self
    }

    /// From how many outcomes within ten seconds on it opens when half of them are failures.
    /// Default: 20.
    pub fn samples(mut self, outcomes: std::num::NonZeroU32) -> Self {
        self.samples = outcomes.get();
        self
    }
}

/// A circuit breaker: a plain machine that is told the time.
#[derive(Debug, Default)]
struct Breaker {
    failures_in_row: u32,
    /// Failures and outcomes since `since`.
    failures: u32,
    outcomes: u32,
    since: Millis,
    /// Not closed: refuses until then, then lets one probe through.
    open_until: Option<Millis>,
    times_opened: u32,
    probing: bool,
}

impl Breaker {
    fn allows(&self, now: Millis) -> bool {
        self.open_until
            .is_none_or(|until| now >= until && !self.probing)
    }

    fn record(&mut self, good: bool, now: Millis, config: &Breaking) {
        self.probing = false;
        if good {
            *self = Self {
                since: now,
                ..Self::default()
            };
            return;
        }
        if now.saturating_sub(self.since) > config.window {
            (self.failures, self.outcomes, self.since) = (0, 0, now);
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        self.outcomes = self.outcomes.saturating_add(1);
        let too_many = self.failures_in_row >= config.consecutive;
        let too_often = self.outcomes >= config.samples && self.failures * 2 >= self.outcomes;
        // A late failure while open says nothing new; one after that time is the probe's.
        if self
            .open_until
            .map_or(too_many || too_often, |until| now >= until)
        {
            let longer = config.open << self.times_opened.min(16);
            self.open_until = Some(now + longer.min(config.longest));
            self.times_opened = self.times_opened.saturating_add(1);
        }
    }
}

#[derive(Default)]
struct Inner {
    breaker: Breaker,
    /// Until when each key rests at this target; the first stands for all where there is no pool.
    rests: Vec<Millis>,
}

/// What is known of one target, shared by all requests.
#[derive(Default)]
pub(crate) struct State {
    in_flight: AtomicU32,
    /// Smoothed time to the answer's head in microseconds, failures counted as slow.
    latency: AtomicU64,
    inner: Mutex<Inner>,
}

/// Whether a target may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Can {
    /// With this key, if there is a pool.
    Yes(Option<usize>),
    /// Its breaker is open, or every key is dead: only when nobody else is left.
    Unwell(Option<usize>),
    /// It asked for a rest until then.
    Resting(Millis),
    /// It serves as many requests as it may.
    Full,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn can(&self, now: Millis, limit: u32, keys: &Keys, barred: &[bool]) -> Can {
        if self.in_flight.load(Ordering::Relaxed) >= limit {
            return Can::Full;
        }
        let inner = self.lock();
        let rest = |key: usize| inner.rests.get(key).copied().unwrap_or(0);
        let well = inner.breaker.allows(now);
        let (mut soonest, mut dead) = (None, None);
        let n = keys.dead.len();
        let start = keys.next();
        for key in (0..n.max(1)).map(|i| (start + i) % n.max(1)) {
            let barred = barred.get(key).copied().unwrap_or(false);
            let named = (n > 0).then_some(key);
            if barred {
                continue;
            }
            if rest(key) > now {
                soonest = Some(rest(key).min(soonest.unwrap_or(Millis::MAX)));
            } else if n > 0 && keys.dead[key].load(Ordering::Relaxed) > now {
                dead = Some(named);
            } else if well {
                return Can::Yes(named);
            } else {
                return Can::Unwell(named);
            }
        }
        match (dead, soonest) {
            (Some(key), _) => Can::Unwell(key),
            (None, Some(until)) => Can::Resting(until),
            (None, None) => Can::Full,
        }
    }

    /// Takes a place; the breaker's one probe with it when that is what it waits for.
    pub(crate) fn enter(&self) -> bool {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.lock();
        let probe = inner.breaker.open_until.is_some() && !inner.breaker.probing;
        inner.breaker.probing |= probe;
        probe
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A probe that ended without a verdict makes room for another.
    pub(crate) fn give_back_probe(&self) {
        self.lock().breaker.probing = false;
    }

    pub(crate) fn record(&self, good: bool, now: Millis, config: &Breaking) {
        self.lock().breaker.record(good, now, config);
    }

    pub(crate) fn rest(&self, key: Option<usize>, until: Millis) {
        let mut inner = self.lock();
        let key = key.unwrap_or(0);
        if inner.rests.len() <= key {
            inner.rests.resize(key + 1, 0);
        }
        inner.rests[key] = inner.rests[key].max(until);
    }

    /// A head after this long; one eighth of the difference is taken over, a slower one at once.
    pub(crate) fn took(&self, micros: u64) {
        let old = self.latency.load(Ordering::Relaxed);
        let new = if micros > old {
            micros
        } else {
            old - (old - micros) / 8
        };
        self.latency.store(new, Ordering::Relaxed);
    }

    /// A failure counts as an answer that took at least a second and twice as long as before.
    pub(crate) fn failed(&self) {
        let old = self.latency.load(Ordering::Relaxed);
        let worse = old.saturating_mul(2).clamp(1_000_000, 60_000_000);
        self.latency.store(worse, Ordering::Relaxed);
    }

    /// How loaded it is: less is better.
    pub(crate) fn load(&self, weight: u32) -> u64 {
        let busy = u64::from(self.in_flight.load(Ordering::Relaxed)) + 1;
        let latency = self.latency.load(Ordering::Relaxed).max(1);
        busy.saturating_mul(latency).saturating_mul(1 << 10) / u64::from(weight.max(1))
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().breaker.open_until.is_some()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("in_flight", &self.in_flight())
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// The keys of one provider: until when each counts as dead.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    dead: Box<[AtomicU64]>,
    turn: AtomicU32,
}

impl Keys {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            dead: (0..n).map(|_| AtomicU64::new(0)).collect(),
            turn: AtomicU32::new(0),
        }
    }

    fn next(&self) -> usize {
        if self.dead.len() < 2 {
            return 0;
        }
        self.turn.fetch_add(1, Ordering::Relaxed) as usize % self.dead.len()
    }

    /// Remembers a key that was refused. False without a pool: there is nothing to remember.
    pub(crate) fn bury(&self, key: Option<usize>, until: Millis) -> bool {
        let slot = key.and_then(|key| self.dead.get(key));
        if let Some(slot) = slot {
            slot.store(until, Ordering::Relaxed);
        }
        slot.is_some()
    }
}

/// What retries may be spent: a tenth of one for every request, and a small reserve.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<(u64, Millis)>);

impl Budget {
    const ONE: u64 = 1000;
    const RESERVE: u64 = 10 * Self::ONE;
    const MOST: u64 = 100 * Self::ONE;

    pub(crate) fn new() -> Self {
        Self(Mutex::new((Self::RESERVE, 0)))
    }

    pub(crate) fn request(&self, percent: u32) {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        balance.0 = (balance.0 + u64::from(percent) * Self::ONE / 100).min(Self::MOST);
    }

    /// Takes leave for one retry. The reserve refills by one a second.
    pub(crate) fn retry(&self, now: Millis) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(balance.1);
        balance.1 = now;
        if balance.0 < Self::RESERVE {
            balance.0 = (balance.0 + since).min(Self::RESERVE);
        }
        let left = balance.0.checked_sub(Self::ONE);
        balance.0 = left.unwrap_or(balance.0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_opens_lets_one_probe_through_and_closes() {
        let (state, config, keys) = (State::default(), Breaking::default(), Keys::default());
        for _ in 0..5 {
            assert_eq!(state.can(0, 9, &keys, &[]), Can::Yes(None));
            state.record(false, 0, &config);
        }
        assert_eq!(state.can(4_999, 9, &keys, &[]), Can::Unwell(None));
        assert_eq!(state.can(5_000, 9, &keys, &[]), Can::Yes(None));
        assert!(state.enter());
        assert_eq!(state.can(5_000, 9, &keys, &[]), Can::Unwell(None));
        state.record(false, 5_000, &config);
        assert_eq!(state.can(14_999, 9, &keys, &[]), Can::Unwell(None));
        assert_eq!(state.can(15_000, 9, &keys, &[]), Can::Yes(None));
        state.record(true, 15_000, &config);
        assert!(!state.is_open());
    }

    #[test]
    fn keys_rest_and_die_one_by_one() {
        let (state, keys) = (State::default(), Keys::new(2));
        state.rest(Some(0), 100);
        assert_eq!(state.can(50, 9, &keys, &[]), Can::Yes(Some(1)));
        assert!(keys.bury(Some(1), 1_000));
        assert_eq!(state.can(50, 9, &keys, &[]), Can::Unwell(Some(1)));
        assert_eq!(state.can(50, 9, &keys, &[false, true]), Can::Resting(100));
        assert_eq!(state.can(100, 9, &keys, &[]), Can::Yes(Some(0)));
        assert_eq!(state.can(100, 0, &keys, &[]), Can::Full);
        assert!(!Keys::new(0).bury(None, 9));
    }

    #[test]
    fn retries_are_a_tenth_of_requests() {
        let budget = Budget::new();
        let spent = (0..10_000).filter(|_| {
            budget.request(10);
            budget.retry(0)
        });
        assert!(spent.count() <= 1_010);
    }

    #[test]
    fn a_fast_failing_target_does_not_look_fast() {
        let (good, bad) = (State::default(), State::default());
        good.took(300_000);
        bad.took(1_000);
        bad.failed();
        assert!(bad.load(1) > good.load(1));
    }
}
