use std::sync::{Mutex, PoisonError};

use super::state::Millis;

/// What retries may be spent: a share of one for every request, and a small reserve.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    thousandths: u64,
    refilled: Millis,
}

impl Budget {
    const ONE: u64 = 1000;
    const RESERVE: u64 = 10 * Self::ONE;
    const MOST: u64 = 100 * Self::ONE;
    /// How long one retry of the reserve takes to come back.
    const REFILL: Millis = 10_000;

    pub(crate) fn new() -> Self {
        Self(Mutex::new(Balance {
            thousandths: Self::RESERVE,
            refilled: 0,
        }))
    }

    pub(crate) fn request(&self, percent: u32) {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let more = u64::from(percent) * Self::ONE / 100;
        balance.thousandths = (balance.thousandths + more).min(Self::MOST);
    }

    /// Takes leave for one retry.
    pub(crate) fn retry(&self, now: Millis) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(balance.refilled);
        balance.refilled = balance.refilled.max(now);
        if balance.thousandths < Self::RESERVE {
            let more = since * Self::ONE / Self::REFILL;
            balance.thousandths = (balance.thousandths + more).min(Self::RESERVE);
        }
        let left = balance.thousandths.checked_sub(Self::ONE);
        balance.thousandths = left.unwrap_or(balance.thousandths);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_requests() {
        let budget = Budget::new();
        let spent = (0..10_000).filter(|_| {
            budget.request(10);
            budget.retry(0)
        });
        assert_eq!(spent.count(), 1_010);
    }

    #[test]
    fn the_reserve_comes_back_slowly_and_is_kept() {
        let budget = Budget::new();
        let spent = |now| std::iter::from_fn(|| budget.retry(now).then_some(())).count();
        assert_eq!(spent(0), 10);
        assert_eq!(spent(25_000), 2);
        assert_eq!(spent(1_000_000), 10);
        assert_eq!(spent(0), 0, "a clock that went back gives nothing");
    }
}
