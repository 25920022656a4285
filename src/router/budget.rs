use std::sync::{Mutex, PoisonError};

use super::state::Millis;

/// What retries of one model's requests may be spent, to protect its upstreams from being asked again and
/// again when they have too much to do.
///
/// A model of its own has one, and not the router: the retries of one that is down take nothing from the
/// others. It is that of the model which was asked for, also where a fallback answers, so that all
/// retries together are no more than the same share of all answers; a fallback's upstreams get that share of the
/// other model's requests on top. It is not each target's own: a target that only stands in when another
/// one fails answers nothing before, and would have earned no retries.
///
/// Credit is earned by answers: a share of one retry each, and while there is less than a small
/// reserve, one more for each ten seconds since the answer before. Nothing is earned while nothing
/// answers, so when every upstream is down no more is retried than was in the bank, and the bank
/// holds the reserve, or the share of what ten seconds brought where that is more. So there is at
/// most a tenth more attempts than requests over any outage that outlasts ten seconds and a hundred
/// requests. A model that is locked out of retries is let in again by the first answer, and every
/// request has its first attempt without asking here.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    thousandths: u64,
    answered: Millis,
    /// When the present window began, what it earned so far, and what the one before it did.
    window: Millis,
    earned: u64,
    before: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    const ONE: u64 = 1000;
    const RESERVE: u64 = 10 * Self::ONE;
    /// How long one retry of the reserve takes to come back, and how long what is earned is kept.
    const WINDOW: Millis = 10_000;

    pub(crate) fn new() -> Self {
        Self(Mutex::new(Balance {
            thousandths: Self::RESERVE,
            answered: 0,
            window: 0,
            earned: 0,
            before: 0,
        }))
    }

    /// An upstream answered a request.
    pub(crate) fn answered(&self, percent: u32, now: Millis) {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        balance.turn(now);
        let since = now.saturating_sub(balance.answered);
        balance.answered = balance.answered.max(now);
        if balance.thousandths < Self::RESERVE {
            let more = since.saturating_mul(Self::ONE) / Self::WINDOW;
            balance.thousandths = (balance.thousandths + more).min(Self::RESERVE);
        }
        let share = u64::from(percent) * Self::ONE / 100;
        balance.earned = balance.earned.saturating_add(share);
        balance.thousandths = (balance.thousandths + share).min(balance.most());
    }

    /// Takes leave for one retry.
    pub(crate) fn retry(&self, now: Millis) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        balance.turn(now);
        let left = balance.thousandths.checked_sub(Self::ONE);
        balance.thousandths = left.unwrap_or(balance.thousandths);
        left.is_some()
    }
}

impl Balance {
    fn turn(&mut self, now: Millis) {
        let since = now.saturating_sub(self.window);
        if since < Budget::WINDOW {
            return;
        }
        self.before = match since {
            one if one < 2 * Budget::WINDOW => self.earned,
            _ => 0,
        };
        (self.window, self.earned) = (now, 0);
        self.thousandths = self.thousandths.min(self.most());
    }

    fn most(&self) -> u64 {
        self.earned.max(self.before).max(Budget::RESERVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, now: Millis) -> usize {
        std::iter::from_fn(|| budget.retry(now).then_some(())).count()
    }

    #[test]
    fn retries_are_a_tenth_of_answers() {
        let budget = Budget::new();
        let spent = (0..10_000).filter(|_| {
            budget.answered(10, 0);
            budget.retry(0)
        });
        assert_eq!(spent.count(), 1_009);
    }

    #[test]
    fn nothing_is_earned_while_nothing_answers() {
        let budget = Budget::new();
        assert_eq!(spent(&budget, 0), 10);
        assert_eq!(spent(&budget, 86_400_000), 0);
        budget.answered(10, 86_400_000);
        assert_eq!(spent(&budget, 86_400_000), 10);
    }

    #[test]
    fn the_reserve_comes_back_slowly_and_is_kept() {
        let budget = Budget::new();
        assert_eq!(spent(&budget, 0), 10);
        budget.answered(0, 25_000);
        assert_eq!(spent(&budget, 25_000), 2);
        budget.answered(0, 1_000_000);
        assert_eq!(spent(&budget, 1_000_000), 10);
        budget.answered(0, 0);
        assert_eq!(spent(&budget, 0), 0, "a clock that went back gives nothing");
    }

    #[test]
    fn the_bank_holds_what_ten_seconds_brought() {
        // So many answers in each second of an hour, and then none.
        for (rate, bank) in [(1, 10), (10, 10), (100, 100), (1_000, 1_000)] {
            let budget = Budget::new();
            for second in 0..3_600 {
                for _ in 0..rate {
                    budget.answered(10, second * 1_000);
                }
            }
            assert_eq!(spent(&budget, 3_600_000), bank, "{rate}");
        }
        let budget = Budget::new();
        for _ in 0..10_000 {
            budget.answered(10, 0);
        }
        assert_eq!(spent(&budget, 20_000), 10, "and it fades");
    }
}
