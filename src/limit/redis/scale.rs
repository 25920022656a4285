//! Limits in numbers that a double holds: what the script in Redis counts with.

use crate::limit::{Limit, Rate, Unit, Window, Zone};

/// No level, cost or capacity is larger: 2⁵¹.
pub(super) const MOST: u64 = 1 << 51;

const NANOS: i64 = 1_000_000_000;

/// How a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// In time: what is used takes so long to flow off.
    Flow {
        /// The amount of one window.
        amount: u64,
        /// The window in nanoseconds.
        per: u64,
        /// Nanoseconds of one tick.
        tick: u64,
        /// Ticks of one unit, where they are used as they are.
        each: Option<u64>,
        /// How many ticks may be used.
        most: u64,
    },
    /// In parts of the amount, each of 2^shift units.
    Day {
        /// The exponent.
        shift: u32,
        /// How many parts a day has.
        most: u64,
    },
}

impl Scale {
    pub(super) fn of(limit: &Limit) -> Self {
        match &limit.window {
            Window::Rolling(rate) => Self::flow(limit.unit, rate),
            Window::Daily { amount, .. } => {
                let shift = (u64::BITS - amount.leading_zeros()).saturating_sub(50);
                Self::Day {
                    shift,
                    most: amount >> shift,
                }
            }
        }
    }

    fn flow(unit: Unit, rate: &Rate) -> Self {
        let amount = rate.amount().max(1);
        let per = rate.per();
        let burst = u128::from(rate.capacity());
        let whole = |tick: u64| burst * u128::from(per) / u128::from(amount) / u128::from(tick);
        let tick = if whole(1).max(u128::from(per)) < 1 << 50 {
            1
        } else {
            1000
        };
        let ticks = per.div_ceil(tick);
        // A request's interval is rounded up, so that no window ever takes more than the limit. Other
        // units count the same way where that makes them slower by a millionth at most.
        let exact = per % tick == 0 && ticks % amount == 0;
        let each = (unit == Unit::Requests || exact || ticks / amount >= 1_000_000)
            .then(|| ticks.div_ceil(amount));
        let mut scale = Self::Flow {
            amount,
            per,
            tick,
            each,
            most: MOST,
        };
        let capacity = scale.cost(rate.capacity());
        if let Self::Flow { most, .. } = &mut scale {
            *most = capacity;
        }
        scale
    }

    /// What so much takes, rounded up.
    pub(super) fn cost(&self, units: u64) -> u64 {
        let wide = match *self {
            Self::Flow {
                each: Some(each), ..
            } => u128::from(units) * u128::from(each),
            Self::Flow {
                amount, per, tick, ..
            } => (u128::from(units) * u128::from(per))
                .div_ceil(u128::from(amount) * u128::from(tick)),
            Self::Day { shift, .. } => u128::from(units).div_ceil(1 << shift),
        };
        u64::try_from(wide).unwrap_or(MOST).min(MOST)
    }

    /// What so much takes, rounded down: no more than that may be given back.
    pub(super) fn back(&self, units: u64) -> u64 {
        let exact = match *self {
            Self::Flow { each: Some(_), .. } => true,
            Self::Flow {
                amount, per, tick, ..
            } => {
                let parts = u128::from(units) * u128::from(per);
                parts % (u128::from(amount) * u128::from(tick)) == 0
            }
            Self::Day { shift, .. } => units.trailing_zeros() >= shift,
        };
        self.cost(units).saturating_sub(u64::from(!exact))
    }

    /// How many whole units so much is.
    pub(super) fn whole(&self, cost: u64) -> u64 {
        self.units(cost, Round::Down)
    }

    /// How many may be used.
    pub(super) const fn most(&self) -> u64 {
        match *self {
            Self::Flow { most, .. } | Self::Day { most, .. } => most,
        }
    }

    /// How many units are what remains of the capacity at this level, rounded down.
    pub(super) fn remaining(&self, level: u64) -> u64 {
        self.units(self.most().saturating_sub(level), Round::Down)
    }

    /// How many units this level is beyond the capacity, rounded up.
    pub(super) fn debt(&self, level: u64) -> u64 {
        self.units(level.saturating_sub(self.most()), Round::Up)
    }

    fn units(&self, cost: u64, round: Round) -> u64 {
        let (over, under) = match *self {
            Self::Flow {
                each: Some(each), ..
            } => (u128::from(cost), u128::from(each)),
            Self::Flow {
                amount, per, tick, ..
            } => (
                u128::from(cost) * u128::from(tick) * u128::from(amount),
                u128::from(per),
            ),
            Self::Day { shift, .. } => (u128::from(cost) << shift, 1),
        };
        let units = match round {
            Round::Down => over / under,
            Round::Up => over.div_ceil(under),
        };
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// The nanoseconds of so many ticks.
    pub(super) const fn nanos(&self, ticks: u64) -> u64 {
        match *self {
            Self::Flow { tick, .. } => ticks.saturating_mul(tick),
            Self::Day { .. } => 0,
        }
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// The day of a moment as the script wants it: where it begins, where it and the next one end, in
/// Unix seconds. The server's clock picks among them, so that one of another node need not agree.
pub(super) fn days(zone: &Zone, unix: i64) -> [i64; 3] {
    let (begin, end) = zone.day(unix.div_euclid(NANOS));
    let (_, after) = zone.day(end);
    [begin, end, after]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(unit: Unit, window: impl Into<Window>) -> Scale {
        Scale::of(&Limit {
            unit,
            window: window.into(),
        })
    }

    #[test]
    fn the_whole_burst_fits_one_by_one_and_no_more() {
        for unit in [Unit::Requests, Unit::Tokens] {
            for amount in [1, 7, 60, 100_000, 500_000] {
                let scale = of(unit, Rate::per_minute(amount));
                let one_by_one = scale.cost(1) * amount;
                assert!(one_by_one >= scale.most(), "{unit:?} {amount}");
                assert!(one_by_one - scale.most() <= amount, "{unit:?} {amount}");
                assert_eq!(scale.remaining(0), amount);
                assert_eq!(scale.remaining(scale.cost(1)), amount - 1);
            }
        }
        // Rounded for each request: what is shown may be one less, and never one more.
        let scale = of(Unit::Tokens, Rate::per_minute(700_001));
        assert_eq!(scale.cost(700_001), scale.most());
        assert!((700_000 - 1..=700_000).contains(&scale.remaining(scale.cost(1))));
    }

    #[test]
    fn money_and_absurd_rates_stay_within_a_double() {
        let hundred_dollars = 100_000_000_000_000;
        let scale = of(Unit::Money, Rate::per_day(hundred_dollars));
        assert_eq!(scale.cost(hundred_dollars), scale.most());
        assert_eq!(scale.remaining(0), hundred_dollars);
        let half = scale.cost(hundred_dollars / 2);
        assert!(hundred_dollars / 2 - scale.remaining(half) < 4);
        for rate in [
            Rate::per_day(1).burst(u64::MAX),
            Rate::per_second(u64::MAX),
            Rate::new(u64::MAX, std::time::Duration::MAX),
            Rate::new(1, std::time::Duration::MAX),
        ] {
            let scale = of(Unit::Tokens, rate);
            assert!(scale.most() <= MOST && scale.cost(u64::MAX) <= MOST);
            assert!(scale.cost(1) >= 1);
        }
    }

    #[test]
    fn a_day_of_more_than_a_double_holds_counts_in_parts() {
        let zone = Zone::utc();
        let amount = u64::MAX;
        let scale = of(Unit::Money, Window::Daily { amount, zone });
        assert!(scale.most() < 1 << 50);
        assert_eq!(scale.cost(1), 1);
        assert!(scale.remaining(0) > amount / 2);
        let plain = of(
            Unit::Tokens,
            Window::Daily {
                amount: 1000,
                zone: Zone::utc(),
            },
        );
        assert_eq!((plain.cost(10), plain.remaining(400)), (10, 600));
        assert_eq!(plain.debt(1500), 500);
    }
}
