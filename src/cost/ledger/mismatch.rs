use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Entry, Statement};
use crate::cost::Amount;

/// The books do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The sum of an account's entries is not its statement.
    Statement {
        /// The account.
        account: Arc<str>,
        /// What the account says.
        kept: Statement,
        /// What its entries add up to.
        counted: Statement,
    },
    /// The sum of an account's open holds is not what it says is held.
    Held {
        /// The account.
        account: Arc<str>,
        /// What the account says.
        kept: Amount,
        /// What its open holds add up to.
        counted: Amount,
    },
    /// More is held and spent than was ever granted.
    Overdrawn {
        /// The account.
        account: Arc<str>,
        /// How it stands.
        kept: Statement,
    },
    /// An entry is missing, or not as it was written.
    Chain {
        /// The first that does not follow from the one before.
        number: u64,
    },
}

impl Mismatch {
    /// What a single account's books show: its own statement, that of its entries, its open holds.
    fn of(account: &Arc<str>, kept: Statement, counted: Statement, open: Amount) -> Vec<Self> {
        let account = || Arc::clone(account);
        let mut found = Vec::new();
        if kept != counted {
            let account = account();
            found.push(Self::Statement {
                account,
                kept,
                counted,
            });
        }
        if kept.held != open {
            found.push(Self::Held {
                account: account(),
                kept: kept.held,
                counted: open,
            });
        }
        if kept.balance().is_some_and(|balance| balance < Amount::ZERO) {
            found.push(Self::Overdrawn {
                account: account(),
                kept,
            });
        }
        found
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement {
                account,
                kept,
                counted,
            } => write!(
                f,
                "{account}: the statement says {kept:?}, its entries {counted:?}"
            ),
            Self::Held {
                account,
                kept,
                counted,
            } => write!(
                f,
                "{account}: {kept} is said to be held, open holds have {counted}"
            ),
            Self::Overdrawn { account, kept } => {
                write!(f, "{account}: more than granted is gone: {kept:?}")
            }
            Self::Chain { number } => {
                write!(f, "entry {number} does not follow from the one before")
            }
        }
    }
}

/// What all accounts keep, and what their entries and open holds add up to.
#[derive(Debug, Default)]
pub(super) struct Count(BTreeMap<Arc<str>, Sums>);

#[derive(Debug, Default)]
struct Sums {
    kept: Statement,
    counted: Statement,
    open: Amount,
}

impl Count {
    /// An account says this of itself.
    pub(super) fn keep(&mut self, account: Arc<str>, kept: Statement) {
        self.0.entry(account).or_default().kept = kept;
    }

    /// What entries add up to that are no longer kept.
    pub(super) fn anchor(&mut self, account: Arc<str>, counted: Statement) {
        self.0.entry(account).or_default().counted = counted;
    }

    /// The next entry.
    pub(super) fn entry(&mut self, entry: Entry) {
        let sums = self.0.entry(entry.account).or_default();
        sums.counted.apply(&entry.what);
    }

    /// An open hold, or the sum of several.
    pub(super) fn open(&mut self, account: Arc<str>, amount: Amount) {
        let sums = self.0.entry(account).or_default();
        sums.open = sums.open.plus(amount);
    }

    /// Where they do not agree.
    pub(super) fn mismatches(&self) -> Vec<Mismatch> {
        let check = |(account, sums): (&Arc<str>, &Sums)| {
            Mismatch::of(account, sums.kept, sums.counted, sums.open)
        };
        self.0.iter().flat_map(check).collect()
    }
}
