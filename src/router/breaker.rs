use super::state::Millis;

/// When a target's breaker opens, for how long, and how a target that has recovered comes back.
#[derive(Clone, Debug)]
#[must_use]
pub struct Breaking {
    pub(crate) consecutive: u32,
    pub(crate) open: Millis,
    pub(crate) longest: Millis,
    pub(crate) window: Millis,
    pub(crate) samples: u32,
    pub(crate) percent: u32,
    pub(crate) slow_start: Millis,
}

impl Default for Breaking {
    fn default() -> Self {
        Self {
            consecutive: 5,
            open: 5_000,
            longest: 60_000,
            window: 10_000,
            samples: 20,
            percent: 50,
            slow_start: 10_000,
        }
    }
}

impl Breaking {
    /// After how many failures in a row it opens. Default: 5.
    pub fn consecutive(mut self, failures: std::num::NonZeroU32) -> Self {
        self.consecutive = failures.get();
        self
    }

    /// How many outcomes within the [`window`](Self::window) say anything of the rate of failures.
    /// Default: 20.
    pub fn samples(mut self, outcomes: std::num::NonZeroU32) -> Self {
        self.samples = outcomes.get();
        self
    }

    /// From which share of failures within the window on it opens, in per cent. Default: 50.
    pub fn percent(mut self, percent: std::num::NonZeroU32) -> Self {
        self.percent = percent.get();
        self
    }

    /// The time over which the rate of failures is taken. Default: 10 s.
    pub fn window(mut self, window: std::time::Duration) -> Self {
        self.window = super::state::millis(window);
        self
    }

    /// How long it stays open at first, and at most: the time doubles as long as probes fail.
    /// Default: 5 s and 60 s.
    pub fn open_for(mut self, first: std::time::Duration, longest: std::time::Duration) -> Self {
        self.open = super::state::millis(first);
        self.longest = super::state::millis(longest).max(self.open);
        self
    }

    /// How long a target that has recovered takes to get its whole share again; zero gives it at
    /// once. Default: 10 s.
    pub fn slow_start(mut self, time: std::time::Duration) -> Self {
        self.slow_start = super::state::millis(time);
        self
    }
}

/// What a verdict has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
}

/// A circuit breaker: a plain machine that is told the time.
///
/// It counts failures in a row, and outcomes in the two halves of a window that moves on by half
/// its length.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_row: u32,
    now: Half,
    before: Half,
    since: Millis,
    open: Option<Open>,
    times_opened: u32,
    closed_at: Millis,
}

#[derive(Clone, Copy, Debug, Default)]
struct Half {
    failures: u32,
    outcomes: u32,
}

/// Not closed: refuses until a time, then lets one probe through.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: Millis,
    until: Millis,
    probing: bool,
}

impl Breaker {
    pub(crate) fn allows(&self, now: Millis) -> bool {
        self.open
            .is_none_or(|open| now >= open.until && !open.probing)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When it will let a probe through.
    pub(crate) fn until(&self) -> Option<Millis> {
        self.open.map(|open| open.until)
    }

    /// A request is about to be sent: whether it is the probe.
    pub(crate) fn enter(&mut self, now: Millis) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| now >= open.until) else {
            return false;
        };
        !std::mem::replace(&mut open.probing, true)
    }

    /// A probe that ended without a verdict makes room for another: one that was sent since it opened,
    /// for it may have been opened anew meanwhile and wait for another one.
    pub(crate) fn give_back_probe(&mut self, sent: Millis) {
        if let Some(open) = self.open.as_mut().filter(|open| sent >= open.at) {
            open.probing = false;
        }
    }

    /// The verdict over a request that was sent at `sent`.
    pub(crate) fn record(
        &mut self,
        good: bool,
        sent: Millis,
        now: Millis,
        config: &Breaking,
    ) -> Option<Change> {
        if let Some(open) = self.open {
            // What was sent before it opened says nothing new.
            if sent < open.at {
                return None;
            }
            if good {
                *self = Self {
                    since: now,
                    closed_at: now,
                    times_opened: self.times_opened,
                    ..Self::default()
                };
                return Some(Change::Closed);
            }
            // One that was sent for want of a better target is no probe.
            if now >= open.until || open.probing {
                self.open_again(now, config);
                return Some(Change::Opened);
            }
            return None;
        }
        self.turn(now, config.window.max(2) / 2);
        self.now.outcomes = self.now.outcomes.saturating_add(1);
        if good {
            self.in_row = 0;
            return None;
        }
        self.in_row = self.in_row.saturating_add(1);
        self.now.failures = self.now.failures.saturating_add(1);
        let outcomes = u64::from(self.now.outcomes) + u64::from(self.before.outcomes);
        let failures = u64::from(self.now.failures) + u64::from(self.before.failures);
        let too_often = outcomes >= u64::from(config.samples)
            && failures * 100 >= outcomes * u64::from(config.percent);
        if self.in_row < config.consecutive && !too_often {
            return None;
        }
        // One that has been well for long starts anew with the short time.
        if now.saturating_sub(self.closed_at) > config.longest {
            self.times_opened = 0;
        }
        self.open_again(now, config);
        Some(Change::Opened)
    }

    fn open_again(&mut self, now: Millis, config: &Breaking) {
        let longer = config.open.saturating_mul(1 << self.times_opened.min(16));
        self.open = Some(Open {
            at: now,
            until: now.saturating_add(longer.min(config.longest)),
            probing: false,
        });
        self.times_opened = self.times_opened.saturating_add(1);
    }

    fn turn(&mut self, now: Millis, half: Millis) {
        let passed = now.saturating_sub(self.since) / half;
        if passed > 0 {
            self.before = if passed == 1 {
                self.now
            } else {
                Half::default()
            };
            self.now = Half::default();
            self.since += passed * half;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, now: Millis) -> Option<Change> {
        breaker.record(false, now, now, &Breaking::default())
    }

    #[test]
    fn failures_in_a_row_open_it_one_probe_decides() {
        let (mut breaker, config) = (Breaker::default(), Breaking::default());
        for nth in 1..=5 {
            assert!(breaker.allows(0));
            assert_eq!(fail(&mut breaker, 0), (nth == 5).then_some(Change::Opened));
        }
        assert!(!breaker.allows(4_999));
        assert!(breaker.allows(5_000));
        assert!(breaker.enter(5_000) && !breaker.allows(5_000) && !breaker.enter(5_000));
        fail(&mut breaker, 5_000);
        assert!(!breaker.allows(14_999) && breaker.allows(15_000));
        assert!(breaker.enter(15_000));
        breaker.give_back_probe(15_000);
        assert!(breaker.enter(15_000));
        let closed = breaker.record(true, 15_000, 15_100, &config);
        assert_eq!(closed, Some(Change::Closed));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_of_an_earlier_opening_makes_no_room_for_another() {
        let (mut breaker, config) = (Breaker::default(), Breaking::default());
        for _ in 0..5 {
            fail(&mut breaker, 0);
        }
        assert!(breaker.enter(5_000));
        // One that was asked for want of a better opens it anew; the next probe is another.
        breaker.record(false, 6_000, 6_000, &config);
        assert!(breaker.enter(16_000));
        breaker.give_back_probe(5_000);
        assert!(!breaker.enter(16_000), "one at a time");
        breaker.give_back_probe(16_000);
        assert!(breaker.enter(16_000));
    }

    #[test]
    fn a_rate_of_failures_opens_it_though_never_many_in_a_row() {
        let (mut breaker, config) = (Breaker::default(), Breaking::default());
        let mut opened = None;
        for at in 0..40 {
            let now = at * 100;
            let change = breaker.record(at % 2 == 0, now, now, &config);
            opened = opened.or(change.map(|_| at));
        }
        assert_eq!(opened, Some(19));
        // The same failures spread over more than the window say nothing.
        let mut breaker = Breaker::default();
        for at in 0..40 {
            let now = at * 1_000;
            assert_eq!(breaker.record(at % 2 == 0, now, now, &config), None);
        }
    }

    #[test]
    fn what_was_sent_before_it_opened_changes_nothing() {
        let (mut breaker, config) = (Breaker::default(), Breaking::default());
        for _ in 0..5 {
            fail(&mut breaker, 100);
        }
        assert_eq!(breaker.record(true, 50, 200, &config), None);
        assert!(breaker.is_open());
        assert_eq!(breaker.record(false, 50, 6_000, &config), None);
        assert!(breaker.allows(5_100));
        // Asked for want of a better one, and well: that is as good as a probe.
        let closed = breaker.record(true, 150, 200, &config);
        assert_eq!(closed, Some(Change::Closed));
    }

    #[test]
    fn one_that_fails_again_soon_stays_away_longer() {
        let (mut breaker, config) = (Breaker::default(), Breaking::default());
        let mut now = 0;
        let mut away = Vec::new();
        for _ in 0..6 {
            while fail(&mut breaker, now).is_none() {}
            let until = breaker.until().expect("open");
            away.push(until - now);
            now = until;
            breaker.record(true, now, now, &config);
        }
        assert_eq!(away, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
        now += 60_001;
        while fail(&mut breaker, now).is_none() {}
        assert_eq!(breaker.until(), Some(now + 5_000));
    }
}
