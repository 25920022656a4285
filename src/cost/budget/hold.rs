use std::{fmt, sync::Arc};

use super::{Account, Amount, Period, Scope};

/// An amount that is held in some budgets. Dropping it gives it back.
pub(in crate::cost) struct BudgetHold {
    pub(super) amount: Amount,
    /// Each with the window in which it was held: what has ended with that is over.
    pub(super) of: Vec<(Arc<Account>, i64)>,
}

impl BudgetHold {
    /// Whether there is a budget to keep within.
    pub(in crate::cost) fn applies(&self) -> bool {
        !self.of.is_empty()
    }

    /// Holds so much more in all of them, or in none. A window that has ended bounds nothing any more.
    ///
    /// # Errors
    /// Whose budget has no room for it.
    pub(in crate::cost) fn extend(&mut self, by: Amount) -> Result<(), (Scope, Period)> {
        for (at, (account, begin)) in self.of.iter().enumerate() {
            let mut window = account.lock();
            if window.begin != *begin {
                continue;
            }
            if window.held.plus(window.spent).plus(by) > account.budget.amount {
                drop(window);
                give_back(&self.of[..at], by);
                return Err((account.budget.scope.clone(), account.budget.period));
            }
            window.held = window.held.plus(by);
        }
        self.amount = self.amount.plus(by);
        Ok(())
    }

    /// Gives back what an extension took.
    pub(in crate::cost) fn shrink(&mut self, by: Amount) {
        give_back(&self.of, by);
        self.amount = self.amount.minus(by);
    }

    /// Charges what was used and gives the rest back.
    pub(in crate::cost) fn settle(&mut self, charge: Amount) {
        self.end(charge);
    }

    fn end(&mut self, charge: Amount) {
        if self.of.is_empty() {
            return;
        }
        for (account, begin) in self.of.drain(..) {
            let mut window = account.lock();
            if window.begin == begin {
                window.held = window.held.minus(self.amount);
                window.spent = window.spent.plus(charge);
            }
        }
    }
}

fn give_back(of: &[(Arc<Account>, i64)], by: Amount) {
    for (account, begin) in of {
        let mut window = account.lock();
        if window.begin == *begin {
            window.held = window.held.minus(by);
        }
    }
}

impl fmt::Debug for BudgetHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetHold")
            .field("amount", &self.amount)
            .field("budgets", &self.of.len())
            .finish_non_exhaustive()
    }
}

impl Drop for BudgetHold {
    fn drop(&mut self) {
        self.end(Amount::ZERO);
    }
}
