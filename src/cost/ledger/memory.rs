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

use super::{Denied, Entry, HoldId, Ledger, Mismatch, Most, Statement, What, mismatch::Count};
use crate::{
    cost::{Amount, Currency},
    time::wall,
};

/// Accounts in memory. Clones share them.
///
/// It keeps at most a million accounts ([`max_accounts`](Self::max_accounts)). Whoever
/// comes beyond them without ever having been granted anything is unlimited, as anybody unknown
/// is, and is booked on one common account, named by the empty text. Each account keeps its latest
/// 64 entries.
///
/// An account that was never granted anything, a name that was misspelt among them, is unlimited,
/// unless the ledger is [`closed`](Self::closed):
///
/// ```
/// use tower_completions::cost::{Currency, MemoryLedger};
///
/// let ledger = MemoryLedger::new().closed().in_currency(Currency::EUR);
/// ledger.grant("demo", "5.00".parse()?);
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone)]
pub struct MemoryLedger {
    book: Arc<Book>,
    rules: Rules,
}

#[derive(Clone, Copy)]
struct Rules {
    max_accounts: usize,
    currency: Currency,
    strangers: Strangers,
}

/// What becomes of accounts that were never granted anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    AreUnlimited,
    AreRefused,
}

struct Book {
    accounts: DashMap<Arc<str>, Arc<Account>, RandomState>,
    numbers: AtomicU64,
}

/// Entries that an account keeps.
const KEPT: usize = 64;

struct Account {
    name: Arc<str>,
    state: Mutex<State>,
}

/// Of an entry: asked for before its account is locked.
#[derive(Clone, Copy)]
struct Line {
    number: u64,
    at: SystemTime,
}

#[derive(Default)]
struct State {
    statement: Statement,
    /// What the entries add up to that are no longer kept.
    folded: Statement,
    /// Number, time and content of the latest entries.
    entries: VecDeque<(u64, SystemTime, What)>,
    /// References of the grants that are to be booked once.
    references: HashSet<Arc<str>>,
}

impl State {
    fn book(&mut self, Line { number, at }: Line, what: What) {
        self.statement.apply(&what);
        if self.entries.len() == KEPT {
            if let Some((_, _, what)) = self.entries.front() {
                self.folded.apply(what);
            }
            self.entries.pop_front();
        }
        self.entries.push_back((number, at, what));
    }

    fn grant(&mut self, line: Line, amount: Amount, reference: Arc<str>) {
        let used = self.statement.used();
        let what = What::Granted {
            amount,
            used,
            reference,
        };
        self.book(line, what);
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
    /// No accounts, and amounts in US dollars; an account that is not known is unlimited.
    #[must_use]
    pub fn new() -> Self {
        Self {
            book: Arc::new(Book {
                accounts: DashMap::default(),
                numbers: AtomicU64::new(1),
            }),
            rules: Rules {
                max_accounts: 1_000_000,
                currency: Currency::USD,
                strangers: Strangers::AreUnlimited,
            },
        }
    }

    /// Refuses (402) whoever was never granted anything, instead of charging without a limit. For its
    /// making, as all that follows: clones from before do not change.
    #[must_use]
    pub const fn closed(mut self) -> Self {
        self.rules.strangers = Strangers::AreRefused;
        self
    }

    /// How many accounts it keeps at most. Grants are never refused: they are the operator's, and make
    /// accounts beyond it. Default: a million.
    #[must_use]
    pub const fn max_accounts(mut self, accounts: usize) -> Self {
        self.rules.max_accounts = accounts;
        self
    }

    /// Of which currency its amounts are. Default: US dollars.
    #[must_use]
    pub const fn in_currency(mut self, currency: Currency) -> Self {
        self.rules.currency = currency;
        self
    }

    /// Credits an account, and thereby limits one that was not.
    pub fn grant(&self, account: &str, amount: Amount) {
        let line = self.book.line();
        let reference = Arc::from(format!("grant {}", line.number));
        let account = self.book.granted(account);
        account.change(|state| state.grant(line, amount, reference));
    }

    /// Credits an account once for each reference; returns whether that was now.
    pub fn grant_once(&self, account: &str, amount: Amount, reference: &str) -> bool {
        let line = self.book.line();
        let reference: Arc<str> = reference.into();
        self.book.granted(account).change(|state| {
            let new = state.references.insert(Arc::clone(&reference));
            if new {
                state.grant(line, amount, reference);
            }
            new
        })
    }

    /// What an account has and has had.
    #[must_use]
    pub fn statement(&self, account: &str) -> Statement {
        self.book
            .find(account)
            .map(|account| account.change(|state| state.statement))
            .unwrap_or_default()
    }

    /// The latest entries of an account, oldest first; at most 64.
    #[must_use]
    pub fn entries(&self, account: &str) -> Vec<Entry> {
        let Some(account) = self.book.find(account) else {
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
        let accounts: Vec<_> = self
            .book
            .accounts
            .iter()
            .map(|it| Arc::clone(&it))
            .collect();
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
        let account = self.book.of_caller(account, self.rules);
        let account = account.ok_or(Denied::Insufficient)?;
        let line = self.book.line();
        let id = HoldId::new(line.number.into());
        let held = account.change(|state| {
            let stranger = state.statement.granted.is_none();
            if stranger && self.rules.strangers == Strangers::AreRefused {
                return Err(Denied::Insufficient);
            }
            let amount = state.statement.allows(most)?;
            state.book(line, What::Held { hold: id, amount });
            Ok(amount)
        });
        held.map(|amount| MemoryHold {
            id,
            amount,
            account,
            book: Arc::clone(&self.book),
            open: true,
        })
    }
}

impl Book {
    /// For the next entry.
    fn line(&self) -> Line {
        Line {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            at: wall(),
        }
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

    /// The account that a grant is for.
    fn granted(&self, name: &str) -> Arc<Account> {
        self.find(name).unwrap_or_else(|| self.create(name))
    }

    /// Whose account a caller's holds are on.
    fn of_caller(&self, name: &str, rules: Rules) -> Option<Arc<Account>> {
        if let Some(account) = self.find(name) {
            return Some(account);
        }
        if rules.strangers == Strangers::AreRefused {
            return None;
        }
        let full = self.accounts.len() >= rules.max_accounts;
        Some(self.create(if full { "" } else { name }))
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("accounts", &self.book.accounts.len())
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
            let line = self.book.line();
            self.account
                .change(|state| state.book(line, What::Released { hold, held }));
        }
    }
}

impl Ledger for MemoryLedger {
    type Hold = MemoryHold;
    type Future = Ready<Result<MemoryHold, Denied>>;
    type Extending = Ready<Result<(), Denied>>;

    fn currency(&self) -> Currency {
        self.rules.currency
    }

    fn hold(&self, account: &str, most: Most) -> Self::Future {
        ready(self.take(account, most))
    }

    fn hold_now(&self, account: &str, most: Most) -> Option<Result<MemoryHold, Denied>> {
        Some(self.take(account, most))
    }

    fn extend(&self, hold: &mut MemoryHold, by: Amount) -> Self::Extending {
        let (id, line) = (hold.id, self.book.line());
        let extended = hold.account.change(|state| {
            let amount = state.statement.allows(Most::Amount(by))?;
            state.book(line, What::Extended { hold: id, amount });
            Ok(amount)
        });
        ready(extended.map(|amount| hold.amount = hold.amount.plus(amount)))
    }

    fn settle(&self, mut hold: MemoryHold, charge: Amount) -> Amount {
        hold.open = false;
        let line = self.book.line();
        hold.account.change(|state| {
            let what = state.statement.end(hold.id, hold.amount, charge);
            let charged = what.charged();
            what.log_overrun(&hold.account.name);
            state.book(line, what);
            charged
        })
    }
}

#[cfg(test)]
mod tests;
