//! One limit's state, whichever way it counts.

use std::time::Duration;

use super::{
    Limit, Standing, Unit, Window, Zone,
    bucket::Bucket,
    gcra::{Gcra, Pacer, Wait},
};

/// The moment of a decision.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    /// Nanoseconds on a clock that never goes back.
    pub(super) steady: u64,
    /// Nanoseconds since 1970, or 0 when no calendar is asked for.
    pub(super) unix: i64,
}

const SECOND: i64 = 1_000_000_000;

#[derive(Debug)]
pub(super) enum Cell {
    /// Requests. The second is what the first becomes when the request in hand is admitted.
    Gcra(Gcra, Gcra, Pacer),
    Bucket(Bucket),
    Day(Day),
}

/// What is used of a day, from `begin` to `end` in Unix nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    used: u64,
    begin: i64,
    end: i64,
    /// What was used before days were counted is a part of it, and what of that was reserved comes back to
    /// it.
    carried: bool,
}

impl Day {
    /// Begins a new day when the old one is over. What was owed is owed still.
    fn advance(&mut self, amount: u64, zone: &Zone, unix: i64) {
        if unix < self.end {
            return;
        }
        let (begin, end) = zone.day(unix.div_euclid(SECOND));
        self.used = self.used.saturating_sub(amount);
        (self.begin, self.end) = (begin.saturating_mul(SECOND), end.saturating_mul(SECOND));
        self.carried = false;
    }
}

impl Cell {
    /// A cell that has used `used` before its first moment.
    pub(super) fn new(limit: &Limit, used: u128, now: Now) -> Self {
        match (&limit.window, limit.unit) {
            (Window::Rolling(rate), Unit::Requests) => {
                let cell = Gcra::used(used, rate, now.steady);
                Self::Gcra(cell, cell, Pacer::new(rate))
            }
            (Window::Rolling(rate), _) => Self::Bucket(Bucket::used(used, rate, now.steady)),
            (Window::Daily { amount, zone }, _) => {
                let mut day = Day::default();
                day.advance(*amount, zone, now.unix);
                day.used = u64::try_from(used).unwrap_or(u64::MAX);
                day.carried = true;
                Self::Day(day)
            }
        }
    }

    /// Whether `amount` fits now. Remembers what [`commit`](Self::commit) needs.
    #[inline]
    pub(super) fn check(&mut self, limit: &Limit, amount: u64, now: Now) -> Result<(), Wait> {
        match (self, &limit.window) {
            (Self::Gcra(cell, next, pacer), Window::Rolling(rate)) => {
                *next = if amount == 0 {
                    *cell
                } else {
                    cell.check(rate, pacer, now.steady)?
                };
                Ok(())
            }
            (Self::Bucket(bucket), Window::Rolling(rate)) => {
                bucket.advance(rate, now.steady);
                bucket.check(rate, amount)
            }
            (Self::Day(day), Window::Daily { amount: most, zone }) => {
                day.advance(*most, zone, now.unix);
                if amount > *most {
                    Err(Wait::Never)
                } else if amount > most.saturating_sub(day.used) || day.used > *most {
                    let wait = day.end.saturating_sub(now.unix);
                    Err(Wait::Nanos(u64::try_from(wait).unwrap_or(0).max(1)))
                } else {
                    Ok(())
                }
            }
            _ => Err(Wait::Never),
        }
    }

    /// Where the day begins that is counted, in Unix nanoseconds; 0 where none is.
    pub(super) const fn begin(&self) -> i64 {
        match self {
            Self::Day(day) => day.begin,
            Self::Gcra(..) | Self::Bucket(_) => 0,
        }
    }

    /// Takes what [`check`](Self::check) has found to fit.
    #[inline]
    pub(super) fn commit(&mut self, limit: &Limit, amount: u64) {
        match (self, &limit.window) {
            (Self::Gcra(cell, next, _), _) => *cell = *next,
            (Self::Bucket(bucket), Window::Rolling(rate)) => bucket.add(rate, amount),
            (Self::Day(day), _) => day.used = day.used.saturating_add(amount),
            _ => {}
        }
    }

    /// Corrects what was taken at `since` as `reserved` to what it was in truth.
    pub(super) fn settle(
        &mut self,
        limit: &Limit,
        reserved: u64,
        actual: u64,
        since: Now,
        now: Now,
    ) {
        match (self, &limit.window) {
            (Self::Gcra(cell, ..), Window::Rolling(rate)) if reserved > actual => cell.refund(rate),
            (Self::Bucket(bucket), Window::Rolling(rate)) => {
                bucket.advance(rate, now.steady);
                if actual > reserved {
                    bucket.add(rate, actual - reserved);
                } else {
                    bucket.refund(rate, reserved - actual);
                }
            }
            (Self::Day(day), Window::Daily { amount, zone }) => {
                day.advance(*amount, zone, now.unix);
                if actual > reserved {
                    day.used = day.used.saturating_add(actual - reserved);
                } else if day.begin <= since.unix || (since.unix == 0 && day.carried) {
                    // What an earlier day lent is gone with that day.
                    day.used = day.used.saturating_sub(reserved - actual);
                }
            }
            _ => {}
        }
    }

    /// How the limit stands.
    #[inline]
    pub(super) fn standing(&mut self, limit: &Limit, now: Now) -> Standing {
        let (remaining, debt, reset) = match (self, &limit.window) {
            (Self::Gcra(cell, ..), Window::Rolling(rate)) => {
                let (remaining, reset) = cell.peek(rate, now.steady);
                (remaining, 0, reset)
            }
            (Self::Bucket(bucket), Window::Rolling(rate)) => {
                bucket.advance(rate, now.steady);
                bucket.peek(rate)
            }
            (Self::Day(day), Window::Daily { amount, zone }) => {
                day.advance(*amount, zone, now.unix);
                let reset = if day.used == 0 {
                    0
                } else {
                    u64::try_from(day.end.saturating_sub(now.unix)).unwrap_or(0)
                };
                (
                    amount.saturating_sub(day.used),
                    day.used.saturating_sub(*amount),
                    reset,
                )
            }
            _ => (0, 0, 0),
        };
        Standing {
            unit: limit.unit,
            limit: limit.window.shown(),
            remaining,
            debt,
            reset: Duration::from_nanos(reset),
            window: limit.window.length(),
        }
    }

    /// Whether forgetting the cell would forget nothing.
    pub(super) fn is_idle(&mut self, limit: &Limit, now: Now) -> bool {
        match (self, &limit.window) {
            (Self::Gcra(cell, ..), _) => cell.is_idle(now.steady),
            (Self::Bucket(bucket), Window::Rolling(rate)) => {
                bucket.advance(rate, now.steady);
                bucket.is_idle()
            }
            (Self::Day(day), Window::Daily { amount, zone }) => {
                day.advance(*amount, zone, now.unix);
                day.used == 0
            }
            _ => true,
        }
    }

    /// How much is used, rounded up.
    pub(super) fn used(&mut self, limit: &Limit, now: Now) -> u128 {
        match (self, &limit.window) {
            (Self::Gcra(cell, ..), Window::Rolling(rate)) => cell.amount(rate, now.steady),
            (Self::Bucket(bucket), Window::Rolling(rate)) => {
                bucket.advance(rate, now.steady);
                bucket.amount(rate)
            }
            (Self::Day(day), Window::Daily { amount, zone }) => {
                day.advance(*amount, zone, now.unix);
                u128::from(day.used)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix: i64) -> Now {
        Now {
            steady: u64::try_from(unix * SECOND).expect("after 1970"),
            unix: unix * SECOND,
        }
    }

    #[test]
    fn a_day_ends_at_midnight_and_debt_does_not() {
        let limit = Limit {
            unit: Unit::Tokens,
            window: Window::Daily {
                amount: 100,
                zone: Zone::utc(),
            },
        };
        let mut cell = Cell::new(&limit, 0, at(10));
        assert_eq!(cell.check(&limit, 60, at(10)), Ok(()));
        cell.commit(&limit, 60);
        assert_eq!(
            cell.check(&limit, 41, at(86_399)),
            Err(Wait::Nanos(1_000_000_000))
        );
        assert_eq!(cell.check(&limit, 101, at(11)), Err(Wait::Never));
        cell.settle(&limit, 60, 150, at(10), at(20));
        let standing = cell.standing(&limit, at(20));
        assert_eq!((standing.remaining, standing.debt), (0, 50));
        // The next day begins with the debt, and a refund of yesterday's changes nothing.
        assert_eq!(cell.check(&limit, 50, at(86_400)), Ok(()));
        assert!(cell.check(&limit, 51, at(86_400)).is_err());
        cell.settle(&limit, 40, 0, at(20), at(86_401));
        assert!(cell.check(&limit, 51, at(86_402)).is_err());
    }
}
