//! The token cell: a leaky bucket in exact integers, with refund and debt.

use super::{Rate, gcra::Wait};

/// What is used, in units of one token times the window's nanoseconds, as of a moment.
///
/// In these units the flow of a nanosecond is the amount of the limit itself, so nothing is ever
/// rounded. Used may exceed the capacity: that is debt, from an answer larger than its estimate, and
/// it flows off like everything else.
///
/// A refund takes back what a reservation put in, even where time had let some of it flow off
/// already. So over any span that begins with no reservation open, at most capacity plus flow is
/// used in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    level: u128,
    at: u64,
}

fn scaled(amount: u64, rate: &Rate) -> u128 {
    u128::from(amount) * u128::from(rate.per())
}

impl Bucket {
    /// A bucket with so much used at `now`.
    pub(super) fn used(amount: u128, rate: &Rate, now: u64) -> Self {
        Self {
            level: amount.saturating_mul(u128::from(rate.per())),
            at: now,
        }
    }

    /// Lets flow off what has flowed off by `now`. A clock that went back changes nothing.
    pub(super) fn advance(&mut self, rate: &Rate, now: u64) {
        if let Some(passed) = now.checked_sub(self.at) {
            let flowed = u128::from(passed) * u128::from(rate.amount());
            self.level = self.level.saturating_sub(flowed);
            self.at = now;
        }
    }

    /// Whether `amount` fits; after how many nanoseconds it does, else. Advance first.
    pub(super) fn check(&self, rate: &Rate, amount: u64) -> Result<(), Wait> {
        if amount > rate.capacity() {
            return Err(Wait::Never);
        }
        // Nothing takes no room, but whoever is in debt waits all the same.
        let wanted = self.level.saturating_add(scaled(amount, rate));
        let excess = wanted.saturating_sub(scaled(rate.capacity(), rate));
        if excess == 0 {
            return Ok(());
        }
        let wait = excess.div_ceil(u128::from(rate.amount().max(1)));
        Err(Wait::Nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Adds `amount`, whether it fits or not.
    pub(super) fn add(&mut self, rate: &Rate, amount: u64) {
        self.level = self.level.saturating_add(scaled(amount, rate));
    }

    /// Takes `amount` back, as far as it has not flowed off.
    pub(super) fn refund(&mut self, rate: &Rate, amount: u64) {
        self.level = self.level.saturating_sub(scaled(amount, rate));
    }

    /// What remains, what is owed, and the nanoseconds until all is there. Advance first.
    pub(super) fn peek(&self, rate: &Rate) -> (u64, u64, u64) {
        let capacity = rate.capacity();
        if self.level == 0 {
            return (capacity, 0, 0);
        }
        let whole = |amount: u128| u64::try_from(amount).unwrap_or(u64::MAX);
        // What is used in part cannot be had, and what is owed in part is owed.
        let used = self.amount(rate);
        let remaining = u128::from(capacity).saturating_sub(used);
        let debt = used.saturating_sub(u128::from(capacity));
        let reset = self.level.div_ceil(u128::from(rate.amount().max(1)));
        (whole(remaining), whole(debt), whole(reset))
    }

    /// Whether nothing is used.
    pub(super) fn is_idle(&self) -> bool {
        self.level == 0
    }

    /// What is used, rounded up.
    pub(super) fn amount(&self, rate: &Rate) -> u128 {
        self.level.div_ceil(u128::from(rate.per()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn reserve_settle_and_owe() {
        let rate = Rate::per_minute(600);
        let mut bucket = Bucket::default();
        bucket.add(&rate, 500);
        assert_eq!(bucket.peek(&rate), (100, 0, 50 * SECOND));
        bucket.refund(&rate, 450);
        assert_eq!(bucket.peek(&rate).0, 550);
        bucket.add(&rate, 850);
        assert_eq!(bucket.peek(&rate), (0, 300, 90 * SECOND));
        assert_eq!(bucket.check(&rate, 10), Err(Wait::Nanos(31 * SECOND)));
        assert_eq!(bucket.check(&rate, 601), Err(Wait::Never));
        bucket.advance(&rate, 31 * SECOND);
        assert_eq!(bucket.check(&rate, 10), Ok(()));
        assert_eq!(bucket.check(&rate, 11), Err(Wait::Nanos(SECOND / 10)));
        bucket.advance(&rate, 30 * SECOND);
        assert_eq!(bucket.check(&rate, 10), Ok(()), "a clock that goes back");
    }

    #[test]
    fn what_is_used_in_part_is_gone_and_what_is_owed_in_part_is_owed() {
        let rate = Rate::per_second(3).burst(2);
        let one = u128::from(SECOND);
        for (level, remaining, debt) in [
            (0, 2, 0),
            (1, 1, 0),
            (one, 1, 0),
            (one + 1, 0, 0),
            (2 * one, 0, 0),
            (2 * one + 1, 0, 1),
            (3 * one, 0, 1),
            (u128::MAX, 0, u64::MAX),
        ] {
            let bucket = Bucket { level, at: 0 };
            let peeked = bucket.peek(&rate);
            assert_eq!((peeked.0, peeked.1), (remaining, debt), "{level}");
            assert_eq!(peeked.2 == 0, level == 0);
        }
    }

    #[test]
    fn thirds_lose_nothing() {
        let rate = Rate::per_second(3);
        let mut bucket = Bucket::default();
        bucket.add(&rate, 3);
        // A nanosecond at a time for a third of a second, and one more.
        for now in 1..=333_333 {
            bucket.advance(&rate, now * 1000);
        }
        assert_eq!(bucket.check(&rate, 1), Err(Wait::Nanos(334)));
        bucket.advance(&rate, 333_333_334);
        assert_eq!(bucket.check(&rate, 1), Ok(()));
    }

    #[test]
    fn a_changed_limit_keeps_what_was_used() {
        let (from, to) = (Rate::per_minute(100), Rate::per_hour(1000));
        let mut bucket = Bucket::default();
        bucket.add(&from, 100);
        assert_eq!(Bucket::used(bucket.amount(&from), &to, 0).peek(&to).0, 900);
    }
}
