use std::time::Duration;

use super::Zone;

/// So much in so long a time, and how much of it may come at once.
///
/// The allowance flows back evenly: of 60 a minute, one every second. A whole window's allowance may
/// come at once unless [`burst`](Rate::burst) says otherwise.
///
/// ```
/// use tower_completions::limit::Rate;
///
/// let steady = Rate::per_minute(600).burst(20);
/// assert_eq!((steady.amount(), steady.capacity()), (600, 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    amount: u64,
    /// In nanoseconds, never zero.
    per: u64,
    burst: u64,
    /// `per` again, so that whoever shows it need not divide.
    window: Duration,
    pace: Pace,
}

/// How single requests flow back, computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time between two requests that come as fast as they flow back, rounded up so that no
    /// window ever takes more than the limit.
    pub(super) interval: u64,
    /// How many may come at once.
    pub(super) burst: u32,
}

impl Pace {
    fn new(amount: u64, per: u64, burst: u64) -> Self {
        let interval = per.div_ceil(amount.max(1)).max(1);
        // governor multiplies the two unchecked.
        let most = (u64::MAX / 4 / interval).max(1);
        let burst = if amount == 0 { 0 } else { burst };
        let burst = burst.min(most).min(u64::from(u32::MAX));
        Self {
            interval,
            burst: u32::try_from(burst).unwrap_or(u32::MAX),
        }
    }
}

impl Rate {
    /// `amount` in every `per`, which is taken as at least a nanosecond and at most 584 years.
    ///
    /// Nothing ever fits into an amount of zero.
    #[must_use]
    pub fn new(amount: u64, per: Duration) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self {
            amount,
            per,
            burst: amount,
            window: Duration::from_nanos(per),
            pace: Pace::new(amount, per, amount),
        }
    }

    /// So many a second.
    #[must_use]
    pub fn per_second(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(1))
    }

    /// So many a minute.
    #[must_use]
    pub fn per_minute(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(60))
    }

    /// So many an hour.
    #[must_use]
    pub fn per_hour(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(3600))
    }

    /// So many in any day of 24 hours, flowing back evenly. See [`Window::Daily`] for the calendar's.
    #[must_use]
    pub fn per_day(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(86_400))
    }

    /// How much may come at once. Default: the whole amount.
    #[must_use]
    pub fn burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self.pace = Pace::new(self.amount, self.per, burst);
        self
    }

    /// How much flows back in one window.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// How much may come at once.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        // Without any flow nothing would ever come back.
        if self.amount == 0 { 0 } else { self.burst }
    }

    /// The length of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How single requests flow back.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// The length of the window in nanoseconds.
    pub(super) fn per(&self) -> u64 {
        self.per
    }

    /// The same with a part of the amount and of the burst, at least one of each that is not zero.
    pub(super) fn share(self, of: u64) -> Self {
        let part = |whole: u64| {
            if whole == 0 {
                0
            } else {
                (whole / of.max(1)).max(1)
            }
        };
        let (amount, burst) = (part(self.amount), part(self.burst));
        Self {
            amount,
            burst,
            pace: Pace::new(amount, self.per, burst),
            ..self
        }
    }
}

/// The time over which a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// Flows back evenly, at every moment.
    Rolling(Rate),
    /// So much on each day of the calendar; all of it is back at midnight.
    ///
    /// What a request reserves counts on the day of its admission, what it used beyond that on the day
    /// on which it ends, and what is owed on the next day still. A clock that goes back over midnight
    /// begins no second day.
    Daily {
        /// How much on one day.
        amount: u64,
        /// Where midnight is.
        zone: Zone,
    },
}

impl Window {
    /// How much may come at once: what is more can never fit.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        match self {
            Self::Rolling(rate) => rate.capacity(),
            Self::Daily { amount, .. } => *amount,
        }
    }

    /// What is shown as the limit: the amount of one window, whatever may come at once.
    #[must_use]
    pub fn shown(&self) -> u64 {
        match self {
            Self::Rolling(rate) => rate.amount(),
            Self::Daily { amount, .. } => *amount,
        }
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> Duration {
        match self {
            Self::Rolling(rate) => rate.window(),
            Self::Daily { .. } => Duration::from_secs(86_400),
        }
    }

    pub(super) fn share(&self, of: u64) -> Self {
        match self {
            Self::Rolling(rate) => Self::Rolling(rate.share(of)),
            Self::Daily { amount, zone } => Self::Daily {
                amount: if *amount == 0 {
                    0
                } else {
                    (amount / of.max(1)).max(1)
                },
                zone: zone.clone(),
            },
        }
    }
}

impl From<Rate> for Window {
    fn from(rate: Rate) -> Self {
        Self::Rolling(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nothing() {
        let rate = Rate::per_minute(3).share(10);
        assert_eq!((rate.amount(), rate.capacity()), (1, 1));
        assert_eq!(Rate::per_minute(0).share(10).capacity(), 0);
        assert_eq!(Rate::per_minute(0).burst(5).capacity(), 0);
    }
}
