//! Where the days of a calendar begin: shared by limits and budgets.

use std::{fmt, sync::Arc};

const DAY: i64 = 86_400;

/// The farthest that civil time is from UTC, in seconds.
const FARTHEST: i64 = 18 * 3600;

/// A time zone: where the days of a calendar begin.
///
/// ```
/// use tower_completions::limit::Zone;
///
/// let india = Zone::fixed(5 * 3600 + 1800);
/// let day = india.day(1_700_000_000); // 2023-11-14 22:13:20 UTC, already the 15th there
/// assert_eq!(day, (1_699_986_600, 1_700_073_000));
/// ```
#[derive(Clone)]
pub struct Zone(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(i64),
    Rule(Arc<dyn Fn(i64) -> i32 + Send + Sync>),
}

impl Zone {
    /// Days begin at midnight UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self::fixed(0)
    }

    /// A zone that is always so many seconds ahead of UTC. Cut to 18 hours either way.
    #[must_use]
    pub fn fixed(seconds_east: i32) -> Self {
        Self(Kind::Fixed(
            i64::from(seconds_east).clamp(-FARTHEST, FARTHEST),
        ))
    }

    /// A zone with daylight saving: `offset` says for a Unix time in seconds how many seconds the
    /// zone is ahead of UTC then. Ask the application's time zone library there.
    ///
    /// Two such zones are the same when they share the function.
    pub fn rule(offset: impl Fn(i64) -> i32 + Send + Sync + 'static) -> Self {
        Self(Kind::Rule(Arc::new(offset)))
    }

    fn offset(&self, unix: i64) -> i64 {
        match &self.0 {
            Kind::Fixed(offset) => *offset,
            Kind::Rule(rule) => i64::from(rule(unix)).clamp(-FARTHEST, FARTHEST),
        }
    }

    /// The Unix times, in seconds, at which the day of `unix` begins and ends. Where clocks change
    /// that is 23 or 25 hours.
    #[must_use]
    pub fn day(&self, unix: i64) -> (i64, i64) {
        let local = unix.saturating_add(self.offset(unix));
        let midnight = local.div_euclid(DAY).saturating_mul(DAY);
        let begin = self.instant(midnight).min(unix);
        let end = self.instant(midnight.saturating_add(DAY));
        (begin, end.max(unix.saturating_add(1)))
    }

    /// The number of the day that has a Unix time in it, 1970-01-01 being 0.
    pub(crate) fn date(&self, unix: i64) -> i64 {
        unix.saturating_add(self.offset(unix)).div_euclid(DAY)
    }

    /// The Unix time with which the day of this number begins.
    pub(crate) fn begin_of(&self, date: i64) -> i64 {
        self.instant(date.saturating_mul(DAY))
    }

    /// The Unix time of a local one, by the offset that holds then.
    fn instant(&self, local: i64) -> i64 {
        let guess = local.saturating_sub(self.offset(local));
        local.saturating_sub(self.offset(guess))
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Fixed(a), Kind::Fixed(b)) => a == b,
            (Kind::Rule(a), Kind::Rule(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Zone {}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(offset) => write!(f, "Zone(UTC{offset:+}s)"),
            Kind::Rule(_) => f.write_str("Zone(rule)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central Europe in 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
    fn berlin() -> Zone {
        Zone::rule(|unix| {
            if (1_774_746_000..1_792_890_000).contains(&unix) {
                7200
            } else {
                3600
            }
        })
    }

    #[test]
    fn days_are_those_of_the_zone() {
        assert_eq!(Zone::utc().day(0), (0, DAY));
        assert_eq!(Zone::utc().day(-1), (-DAY, 0));
        assert_eq!(Zone::fixed(3600).day(0), (-3600, DAY - 3600));
        assert_eq!(Zone::fixed(-3600).day(0), (3600 - DAY, 3600));
    }

    #[test]
    fn days_on_which_clocks_change_are_shorter_and_longer() {
        let (begin, end) = berlin().day(1_774_746_000);
        assert_eq!((end - begin) / 3600, 23);
        let (begin, end) = berlin().day(1_792_890_000);
        assert_eq!((end - begin) / 3600, 25);
        assert_eq!(berlin().day(end).0, end);
    }
}
