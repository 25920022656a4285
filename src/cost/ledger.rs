use std::{
    fmt,
    future::{Future, Ready, ready},
    sync::{Arc, Mutex, PoisonError},
};

use dashmap::DashMap;

use super::Usd;

/// Why no hold was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The account does not have so much.
    Insufficient,
    /// The ledger cannot be reached: the request is refused, never served for free.
    Unavailable,
}

/// What an account has and has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// Everything ever credited; `None` is an unlimited account.
    pub granted: Option<Usd>,
    /// Held for requests under way.
    pub held: Usd,
    /// Charged.
    pub spent: Usd,
    /// Used beyond what hold and balance had, and not charged.
    pub overrun: Usd,
}

impl Statement {
    /// What can still be held; `None` is without limit.
    #[must_use]
    pub fn balance(&self) -> Option<Usd> {
        self.granted
            .map(|granted| granted.minus(self.held).minus(self.spent))
    }
}

/// Keeps the accounts.
///
/// Taking a hold may be remote, so it returns a future; settling is synchronous, is called from
/// `Drop`, and must neither block nor fail: what it needs is reserved with the hold.
pub trait Ledger: Clone + Send + Sync + 'static {
    /// A hold that is open. Dropped without being settled it is released.
    type Hold: Send + 'static;
    /// Ends with the hold. Dropping it holds nothing.
    type Future: Future<Output = Result<Self::Hold, Denied>> + Send;

    /// Holds an amount, if the account has it.
    fn hold(&self, account: &str, amount: Usd) -> Self::Future;

    /// Charges what was used and releases the rest. At most what hold and balance have is taken;
    /// returns that.
    fn settle(&self, hold: Self::Hold, charge: Usd) -> Usd;

    /// Whether the account has a limit: one that has may not use what has no price.
    fn is_limited(&self, account: &str) -> bool;
}

/// Accounts in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryLedger(Arc<DashMap<Arc<str>, Arc<Account>>>);

#[derive(Default)]
struct Account(Mutex<Statement>);

impl Account {
    fn change<T>(&self, change: impl FnOnce(&mut Statement) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemoryLedger {
    /// No accounts; one that is not known is unlimited.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Credits an account, and thereby limits one that was not.
    pub fn grant(&self, account: &str, amount: Usd) {
        self.account(account).change(|statement| {
            statement.granted = Some(statement.granted.unwrap_or_default().plus(amount));
        });
    }

    /// What an account has and has had.
    #[must_use]
    pub fn statement(&self, account: &str) -> Statement {
        let account = self.0.get(account).map(|account| Arc::clone(&account));
        account
            .map(|account| account.change(|statement| *statement))
            .unwrap_or_default()
    }

    fn account(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.0.get(name) {
            return Arc::clone(&account);
        }
        Arc::clone(&self.0.entry(Arc::from(name)).or_default())
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("accounts", &self.0.len())
            .finish()
    }
}

/// An open hold of a [`MemoryLedger`]. Dropping it releases it.
pub struct MemoryHold {
    account: Arc<Account>,
    amount: Usd,
}

impl fmt::Debug for MemoryHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHold")
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        let amount = std::mem::take(&mut self.amount);
        if amount != Usd::ZERO {
            self.account
                .change(|statement| statement.held = statement.held.minus(amount));
        }
    }
}

impl Ledger for MemoryLedger {
    type Hold = MemoryHold;
    type Future = Ready<Result<MemoryHold, Denied>>;

    fn hold(&self, account: &str, amount: Usd) -> Self::Future {
        let account = self.account(account);
        let held = account.change(|statement| {
            let enough = statement.balance().is_none_or(|balance| balance >= amount);
            if enough {
                statement.held = statement.held.plus(amount);
            }
            enough
        });
        ready(if held {
            Ok(MemoryHold { account, amount })
        } else {
            Err(Denied::Insufficient)
        })
    }

    fn settle(&self, mut hold: MemoryHold, charge: Usd) -> Usd {
        let amount = std::mem::take(&mut hold.amount);
        hold.account.change(|statement| {
            statement.held = statement.held.minus(amount);
            let charged = statement
                .balance()
                .map_or(charge, |balance| charge.min(balance));
            statement.spent = statement.spent.plus(charged);
            statement.overrun = statement.overrun.plus(charge.minus(charged));
            charged
        })
    }

    fn is_limited(&self, account: &str) -> bool {
        self.0
            .get(account)
            .is_some_and(|account| account.change(|s| s.granted.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(ledger: &MemoryLedger, amount: i128) -> Result<MemoryHold, Denied> {
        ledger.hold("a", Usd::from_pico(amount)).into_inner()
    }

    #[test]
    fn a_hold_is_released_charged_or_cut() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", Usd::from_pico(10));
        let hold = take(&ledger, 6).expect("enough");
        assert_eq!(
            take(&ledger, 5).expect_err("too much"),
            Denied::Insufficient
        );
        assert_eq!(ledger.statement("a").balance(), Some(Usd::from_pico(4)));
        drop(hold);
        assert_eq!(ledger.statement("a").balance(), Some(Usd::from_pico(10)));
        let hold = take(&ledger, 6).expect("enough");
        assert_eq!(ledger.settle(hold, Usd::from_pico(3)).pico(), 3);
        let hold = take(&ledger, 7).expect("enough");
        assert_eq!(
            ledger.settle(hold, Usd::from_pico(9)).pico(),
            7,
            "never below zero"
        );
        let end = ledger.statement("a");
        assert_eq!(
            (end.balance(), end.held, end.overrun.pico()),
            (Some(Usd::ZERO), Usd::ZERO, 2)
        );
    }

    #[test]
    fn a_hundred_at_once_admit_what_the_money_covers() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", Usd::from_pico(99));
        let held: Vec<_> = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..100).map(|_| scope.spawn(|| take(&ledger, 1))).collect();
            tasks
                .into_iter()
                .filter_map(|task| task.join().expect("no panic").ok())
                .collect()
        });
        assert_eq!(held.len(), 99);
        drop(held);
        assert_eq!(ledger.statement("a").held, Usd::ZERO);
    }
}
