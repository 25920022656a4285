//! The request cell: governor's check on one arrival time, with what governor keeps to itself.

use std::{
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos,
    state::StateStore,
};

use super::Rate;

/// The theoretical arrival time of the next request, in nanoseconds on the store's clock. One that
/// has passed means that everything is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gcra(u64);

/// governor's limiter of a rate, set up once. It keeps nothing: the cell is handed to it as a key.
pub(super) struct Pacer(RateLimiter<One, Handed, Origin, NoOpMiddleware<Nanos>>);

/// The interval and the burst of a rate.
fn pace(rate: &Rate) -> (u64, u32) {
    let pace = rate.pace();
    (pace.interval, pace.burst)
}

impl Pacer {
    /// The limiter of a rate. One whose burst is zero is asked nothing.
    pub(super) fn new(rate: &Rate) -> Self {
        let (interval, burst) = pace(rate);
        let quota = Quota::with_period(Duration::from_nanos(interval))
            .expect("an interval is at least a nanosecond")
            .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        Self(RateLimiter::new(quota, Handed, Origin))
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pacer")
    }
}

impl Gcra {
    /// Asks governor whether one request may pass at `now`; what the cell is to become when it does,
    /// or after how many nanoseconds it may.
    #[inline]
    pub(super) fn check(self, rate: &Rate, pacer: &Pacer, now: u64) -> Result<Self, Wait> {
        if pace(rate).1 == 0 {
            return Err(Wait::Never);
        }
        // Time runs from `now`, so that sums stay far from the end of 64 bits.
        let cell = One(Cell::new(self.0.saturating_sub(now)));
        match pacer.0.check_key(&cell) {
            Ok(()) => Ok(Self(now.saturating_add(cell.0.get()))),
            Err(denied) => Err(Wait::Nanos(earliest(&denied))),
        }
    }

    /// Gives a request back.
    pub(super) fn refund(&mut self, rate: &Rate) {
        self.0 = self.0.saturating_sub(pace(rate).0);
    }

    /// How many requests may pass at `now`, and the nanoseconds until all may.
    #[inline]
    pub(super) fn peek(self, rate: &Rate, now: u64) -> (u64, u64) {
        let (interval, burst) = pace(rate);
        let used = self.0.saturating_sub(now);
        let room = (interval * u64::from(burst)).saturating_sub(used);
        (room / interval, used)
    }

    /// Whether nothing is used at `now`.
    pub(super) fn is_idle(self, now: u64) -> bool {
        self.0 <= now
    }

    /// How many requests are used at `now`, rounded up.
    pub(super) fn amount(self, rate: &Rate, now: u64) -> u128 {
        u128::from(self.0.saturating_sub(now).div_ceil(pace(rate).0))
    }

    /// A cell with so many requests used at `now`.
    pub(super) fn used(amount: u128, rate: &Rate, now: u64) -> Self {
        let ahead = amount.saturating_mul(u128::from(pace(rate).0));
        Self(now.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX)))
    }
}

/// Why something does not pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It may in so many nanoseconds.
    Nanos(u64),
    /// It is larger than the limit itself.
    Never,
}

fn earliest(denied: &NotUntil<Nanos>) -> u64 {
    denied.earliest_possible().as_u64()
}

/// One cell, for as long as governor looks at it.
#[derive(Clone, PartialEq, Eq)]
struct One(Cell<u64>);

/// governor asks for a key that can be hashed; nobody hashes it.
impl Hash for One {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// governor's view of cells that are kept elsewhere.
struct Handed;

impl StateStore for Handed {
    type Key = One;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, cell: &One, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (verdict, next) = decide(Some(Nanos::new(cell.0.get())))?;
        cell.0.set(next.as_u64());
        Ok(verdict)
    }
}

/// A clock that stands at the moment of the decision.
#[derive(Clone, Copy)]
struct Origin;

impl Clock for Origin {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_pace() {
        let rate = Rate::per_minute(60).burst(3);
        let mut cell = Gcra::default();
        for left in [2, 1, 0] {
            cell = cell
                .check(&rate, &Pacer::new(&rate), 0)
                .expect("within the burst");
            assert_eq!(cell.peek(&rate, 0).0, left);
        }
        assert_eq!(
            cell.check(&rate, &Pacer::new(&rate), 0),
            Err(Wait::Nanos(SECOND))
        );
        assert_eq!(
            cell.check(&rate, &Pacer::new(&rate), SECOND - 1),
            Err(Wait::Nanos(1))
        );
        cell = cell
            .check(&rate, &Pacer::new(&rate), SECOND)
            .expect("waited as told");
        assert_eq!(cell.peek(&rate, SECOND), (0, 3 * SECOND));
        assert!(cell.is_idle(4 * SECOND));
    }

    #[test]
    fn a_refund_gives_exactly_one_back() {
        let rate = Rate::per_minute(7);
        let mut cell = Gcra::default();
        for _ in 0..7 {
            cell = cell
                .check(&rate, &Pacer::new(&rate), 5)
                .expect("within the burst");
        }
        cell.refund(&rate);
        assert_eq!(cell.peek(&rate, 5).0, 1);
        cell = cell
            .check(&rate, &Pacer::new(&rate), 5)
            .expect("given back");
        assert!(cell.check(&rate, &Pacer::new(&rate), 5).is_err());
    }

    #[test]
    fn absurd_rates_neither_overflow_nor_pass_nothing() {
        let slow = Rate::per_day(1).burst(u64::MAX);
        assert!(
            Gcra::default()
                .check(&slow, &Pacer::new(&slow), u64::MAX / 2)
                .is_ok()
        );
        let fast = Rate::per_second(u64::MAX);
        let none = Rate::per_minute(0);
        assert!(Gcra::default().check(&fast, &Pacer::new(&fast), 1).is_ok());
        assert_eq!(
            Gcra::default().check(&none, &Pacer::new(&none), 1),
            Err(Wait::Never)
        );
    }

    #[test]
    fn a_raised_limit_keeps_what_was_used() {
        let (from, to) = (Rate::per_minute(10), Rate::per_minute(20));
        let mut cell = Gcra::default();
        for _ in 0..10 {
            cell = cell
                .check(&from, &Pacer::new(&from), 0)
                .expect("within the burst");
        }
        let used = cell.amount(&from, 0);
        assert_eq!(Gcra::used(used, &to, 0).peek(&to, 0).0, 10);
        let less = Rate::per_minute(5);
        assert_eq!(Gcra::used(used, &less, 0).peek(&less, 0).0, 0);
    }
}
