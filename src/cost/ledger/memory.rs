use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::{Ready, ready},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::{Denied, Entry, HoldId, Ledger, Mismatch, Most, Statement, What, entry::Count};
use crate::cost::{Amount, Currency};

/// Accounts in memory. Clones share them.
///
/// It keeps at most a million accounts ([`with_max_accounts`](Self::with_max_accounts)). Whoever
/// comes beyond them without ever having been granted anything is unlimited, as anybody unknown
/// is, and is booked on one common account, named by the empty text. Each account keeps its latest
/// 64 entries.
#[derive(Clone)]
pub struct MemoryLedger(Arc<Book>);

struct Book {
    accounts: DashMap<Arc<str>, Arc<Account>, RandomState>,
    numbers: AtomicU64,
    max_accounts: usize,
    currency: Currency,
}

/// Entries that an account keeps.
const KEPT: usize = 64;

struct Account {
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    statement: Statement,
    /// What the entries add up to that are no longer kept.
    folded: Statement,
    /// Number, time and content of the latest entries.
    entries: VecDeque<(u64, SystemTime, What)>,
    /// References of all grants, so that each is booked once.
    references: HashSet<Arc<str>>,
}

impl State {
    fn book(&mut self, number: u64, what: What) {
        self.statement.apply(&what);
        if self.entries.len() == KEPT {
            if let Some((_, _, what)) = self.entries.front() {
                self.folded.apply(what);
            }
            self.entries.pop_front();
        }
        self.entries.push_back((number, SystemTime::now(), what));
    }
}

impl Account {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLedger {
    /// No accounts; one that is not known is unlimited.
    #[must_use]
    pub fn new() -> Self {
        Self::make(1_000_000, Currency::USD)
    }

    /// As [`new`](Self::new), with another limit to the number of accounts. Grants are never
    /// refused: they are the operator's, and make accounts beyond it.
    #[must_use]
    pub fn with_max_accounts(max_accounts: usize) -> Self {
        Self::make(max_accounts, Currency::USD)
    }

    /// As [`new`](Self::new), with amounts of another currency than US dollars.
    #[must_use]
    pub fn in_currency(currency: Currency) -> Self {
        Self::make(1_000_000, currency)
    }

    fn make(max_accounts: usize, currency: Currency) -> Self {
        Self(Arc::new(Book {
            accounts: DashMap::default(),
            numbers: AtomicU64::new(1),
            max_accounts,
            currency,
        }))
    }

    /// Credits an account, and thereby limits one that was not.
    pub fn grant(&self, account: &str, amount: Amount) {
        let number = self.0.number();
        let reference = Arc::from(format!("grant {number}"));
        self.0.granted(account, number, amount, reference);
    }

    /// Credits an account once for each reference; returns whether that was now.
    pub fn grant_once(&self, account: &str, amount: Amount, reference: &str) -> bool {
        let number = self.0.number();
        self.0.granted(account, number, amount, reference.into())
    }

    /// What an account has and has had.
    #[must_use]
    pub fn statement(&self, account: &str) -> Statement {
        self.0
            .find(account)
            .map(|account| account.change(|state| state.statement))
            .unwrap_or_default()
    }

    /// The latest entries of an account, oldest first; at most 64.
    #[must_use]
    pub fn entries(&self, account: &str) -> Vec<Entry> {
        let Some(account) = self.0.find(account) else {
            return Vec::new();
        };
        account.change(|state| {
            let entry = |(number, at, what): &(u64, SystemTime, What)| {
                Entry::new(*number, Arc::clone(&account.name), *at, what.clone())
            };
            state.entries.iter().map(entry).collect()
        })
    }

    /// Checks the books: each account's entries against its statement. Empty when
    /// they agree.
    #[must_use]
    pub fn reconcile(&self) -> Vec<Mismatch> {
        let accounts: Vec<_> = self.0.accounts.iter().map(|it| Arc::clone(&it)).collect();
        let mut count = Count::default();
        for account in accounts {
            account.change(|state| {
                let name = || Arc::clone(&account.name);
                count.keep(name(), state.statement);
                count.anchor(name(), state.folded);
                count.open(name(), state.statement.held);
                for (number, at, what) in &state.entries {
                    count.entry(Entry::new(*number, name(), *at, what.clone()));
                }
            });
        }
        count.mismatches()
    }
}

impl MemoryLedger {
    fn take(&self, account: &str, most: Most) -> Result<MemoryHold, Denied> {
        let account = self.0.of_caller(account);
        let number = self.0.number();
        let id = HoldId::new(number.into());
        let held = account.change(|state| {
            let amount = state.statement.allows(most)?;
            state.book(number, What::Held { hold: id, amount });
            Ok(amount)
        });
        held.map(|amount| MemoryHold {
            id,
            amount,
            account,
            book: Arc::clone(&self.0),
            open: true,
        })
    }
}

impl Book {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.get(name).map(|account| Arc::clone(&account))
    }

    fn create(&self, name: &str) -> Arc<Account> {
        let name: Arc<str> = Arc::from(name);
        let make = || {
            Arc::new(Account {
                name: Arc::clone(&name),
                state: Mutex::default(),
            })
        };
        Arc::clone(&self.accounts.entry(Arc::clone(&name)).or_insert_with(make))
    }

    fn granted(&self, account: &str, number: u64, amount: Amount, reference: Arc<str>) -> bool {
        let account = self.find(account).unwrap_or_else(|| self.create(account));
        account.change(|state| {
            let new = state.references.insert(Arc::clone(&reference));
            if new {
                let used = state.statement.used();
                let what = What::Granted {
                    amount,
                    used,
                    reference,
                };
                state.book(number, what);
            }
            new
        })
    }

    /// Whose account a caller's holds are on.
    fn of_caller(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.find(name) {
            return account;
        }
        let full = self.accounts.len() >= self.max_accounts;
        self.create(if full { "" } else { name })
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("accounts", &self.0.accounts.len())
            .finish()
    }
}

/// An open hold of a [`MemoryLedger`]. Dropping it releases it.
pub struct MemoryHold {
    id: HoldId,
    amount: Amount,
    account: Arc<Account>,
    book: Arc<Book>,
    open: bool,
}

impl MemoryHold {
    /// Its name in the entries.
    #[must_use]
    pub const fn id(&self) -> HoldId {
        self.id
    }

    /// What it holds.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }
}

impl fmt::Debug for MemoryHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHold")
            .field("id", &self.id)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        if self.open {
            let (hold, held) = (self.id, self.amount);
            let number = self.book.number();
            self.account
                .change(|state| state.book(number, What::Released { hold, held }));
        }
    }
}

impl Ledger for MemoryLedger {
    type Hold = MemoryHold;
    type Future = Ready<Result<MemoryHold, Denied>>;
    type Extending = Ready<Result<(), Denied>>;

    fn currency(&self) -> Currency {
        self.0.currency
    }

    fn hold(&self, account: &str, most: Most) -> Self::Future {
        ready(self.take(account, most))
    }

    fn hold_now(&self, account: &str, most: Most) -> Option<Result<MemoryHold, Denied>> {
        Some(self.take(account, most))
    }

    fn extend(&self, hold: &mut MemoryHold, by: Amount) -> Self::Extending {
        let (id, number) = (hold.id, self.0.number());
        let extended = hold.account.change(|state| {
            let amount = state.statement.allows(Most::Amount(by))?;
            state.book(number, What::Extended { hold: id, amount });
            Ok(amount)
        });
        ready(extended.map(|amount| hold.amount = hold.amount.plus(amount)))
    }

    fn settle(&self, mut hold: MemoryHold, charge: Amount) -> Amount {
        hold.open = false;
        let number = self.0.number();
        hold.account.change(|state| {
            let what = state.statement.end(hold.id, hold.amount, charge);
            let charged = what.charged();
            what.log_overrun(&hold.account.name);
            state.book(number, what);
            charged
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn usd(pico: i128) -> Amount {
        Amount::from_pico(pico)
    }

    fn take(ledger: &MemoryLedger, amount: i128) -> Result<MemoryHold, Denied> {
        ledger.hold("a", usd(amount).into()).into_inner()
    }

    #[test]
    fn a_hold_is_released_charged_or_cut() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(10));
        let hold = take(&ledger, 6).expect("enough");
        assert_eq!(
            take(&ledger, 5).expect_err("too much"),
            Denied::Insufficient
        );
        assert_eq!(ledger.statement("a").balance(), Some(usd(4)));
        drop(hold);
        assert_eq!(ledger.statement("a").balance(), Some(usd(10)));
        let hold = take(&ledger, 6).expect("enough");
        assert_eq!(ledger.settle(hold, usd(3)), usd(3));
        let hold = take(&ledger, 7).expect("enough");
        assert_eq!(ledger.settle(hold, usd(9)), usd(7), "never below zero");
        let end = ledger.statement("a");
        assert_eq!(
            (end.balance(), end.held, end.overrun),
            (Some(Amount::ZERO), Amount::ZERO, usd(2))
        );
        let booked: Vec<_> = ledger.entries("a").into_iter().map(|it| it.what).collect();
        assert!(matches!(
            booked[..],
            [
                What::Granted { .. },
                What::Held { .. },
                What::Released { .. },
                What::Held { .. },
                What::Settled { .. },
                What::Held { .. },
                What::Settled { .. }
            ]
        ));
        assert_eq!(ledger.reconcile(), []);
    }

    #[test]
    fn a_hold_grows_while_there_is_money() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(10));
        let mut hold = take(&ledger, 4).expect("enough");
        assert_eq!(ledger.extend(&mut hold, usd(5)).into_inner(), Ok(()));
        assert_eq!(
            ledger.extend(&mut hold, usd(2)).into_inner(),
            Err(Denied::Insufficient)
        );
        assert_eq!(
            (hold.amount(), ledger.statement("a").held),
            (usd(9), usd(9))
        );
        assert_eq!(ledger.settle(hold, usd(8)), usd(8));
        assert_eq!(ledger.statement("a").balance(), Some(usd(2)));
        assert_eq!(ledger.reconcile(), []);
    }

    #[test]
    fn what_has_no_price_is_for_accounts_without_a_limit() {
        let ledger = MemoryLedger::new();
        let hold = ledger.hold("a", Most::Unknown).into_inner().expect("free");
        assert_eq!(ledger.settle(hold, usd(3)), usd(3));
        ledger.grant("a", usd(10));
        let denied = ledger.hold("a", Most::Unknown).into_inner();
        assert_eq!(denied.expect_err("limited"), Denied::Unpriced);
    }

    #[test]
    fn nothing_below_zero_is_held_or_taken() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(10));
        let mut hold = take(&ledger, -5).expect("nothing");
        assert_eq!(ledger.extend(&mut hold, usd(-3)).into_inner(), Ok(()));
        assert_eq!(ledger.statement("a").held, Amount::ZERO);
        assert_eq!(ledger.settle(hold, usd(-7)), Amount::ZERO);
        assert_eq!(ledger.statement("a").balance(), Some(usd(10)));
    }

    #[test]
    fn a_reference_is_granted_once() {
        let ledger = MemoryLedger::new();
        assert!(ledger.grant_once("a", usd(10), "first"));
        assert!(!ledger.grant_once("a", usd(99), "first"));
        assert!(ledger.grant_once("a", usd(1), "second"));
        assert_eq!(ledger.statement("a").granted, Some(usd(11)));
        // What was used before without a limit does not count against the first grant.
        let hold = ledger.hold("b", usd(5).into()).into_inner();
        ledger.settle(hold.expect("unlimited"), usd(7));
        ledger.grant("b", usd(4));
        assert_eq!(ledger.statement("b").balance(), Some(usd(4)));
        assert_eq!(ledger.reconcile(), []);
    }

    #[test]
    fn accounts_beyond_the_most_share_one() {
        let ledger = MemoryLedger::with_max_accounts(2);
        for name in ["a", "b", "c", "d"] {
            let hold = ledger.hold(name, usd(5).into()).into_inner();
            assert_eq!(ledger.settle(hold.expect("unlimited"), usd(5)), usd(5));
        }
        assert_eq!(ledger.statement("b").spent, usd(5));
        assert_eq!(ledger.statement("c").spent, Amount::ZERO);
        assert_eq!(ledger.statement("").spent, usd(10));
        ledger.grant("e", usd(1));
        assert_eq!(ledger.statement("e").granted, Some(usd(1)));
    }

    #[test]
    fn old_entries_are_folded_and_still_add_up() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(1_000));
        for _ in 0..KEPT {
            let hold = take(&ledger, 2).expect("enough");
            ledger.settle(hold, usd(1));
        }
        assert_eq!(ledger.entries("a").len(), KEPT);
        assert_eq!(ledger.reconcile(), []);
    }

    #[test]
    fn a_hundred_at_once_admit_what_the_money_covers() {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(99));
        let held: Vec<_> = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..100).map(|_| scope.spawn(|| take(&ledger, 1))).collect();
            tasks
                .into_iter()
                .filter_map(|task| task.join().expect("no panic").ok())
                .collect()
        });
        assert_eq!(held.len(), 99);
        drop(held);
        assert_eq!(ledger.statement("a").held, Amount::ZERO);
        assert_eq!(ledger.reconcile(), []);
    }
}
