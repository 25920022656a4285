use std::{fmt, future::Future};

use super::{Amount, Currency};

mod entry;
mod fault;
mod memory;
mod mismatch;
#[cfg(feature = "ledger-postgres")]
mod postgres;
#[cfg(feature = "ledger-redb")]
mod redb;
mod statement;

pub use entry::{Entry, HoldId, Recovered, What};
pub use fault::StoreError;
pub use memory::{MemoryHold, MemoryLedger};
pub use mismatch::Mismatch;
#[cfg(feature = "ledger-postgres")]
pub use postgres::{
    PostgresExtending, PostgresHold, PostgresHolding, PostgresLedger, PostgresOptions,
};
#[cfg(feature = "ledger-redb")]
pub use redb::{Recovery, RedbExtending, RedbHold, RedbHolding, RedbLedger, RedbOptions};
pub use statement::Statement;

/// Why no hold was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The account does not have so much.
    Insufficient,
    /// The account has a limit, and what it would owe at most is not known.
    Unpriced,
    /// The ledger cannot be reached: the request is refused, never served for free.
    Unavailable,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insufficient => "the account does not have so much",
            Self::Unpriced => "the account has a limit and the price is not known",
            Self::Unavailable => "the ledger cannot be reached",
        })
    }
}

impl std::error::Error for Denied {}

/// What a request may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// This much.
    Amount(Amount),
    /// Nobody knows: something that may answer has no price. An account without a limit is given
    /// a hold of nothing, one that has a limit is denied.
    Unknown,
}

impl From<Amount> for Most {
    fn from(amount: Amount) -> Self {
        Self::Amount(amount)
    }
}

/// Keeps the accounts.
///
/// Taking a hold, and extending it, may be remote, so both return a future. Settling is
/// synchronous, is called from `Drop`, and must neither block nor fail: the place for what it
/// writes is reserved with the hold, so that no full queue loses a charge.
///
/// [`guide::money`](crate::guide::money) has one of one's own, whole.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep accounts",
    label = "not a `Ledger`",
    note = "a ledger is `cost::MemoryLedger`, `RedbLedger` (feature `ledger-redb`) or `PostgresLedger` (feature `ledger-postgres`)"
)]
pub trait Ledger: Clone + Send + Sync + 'static {
    /// A hold that is open. Dropped without being settled it is released, under the same rules as
    /// a settlement.
    type Hold: Send + 'static;
    /// Ends with the hold. Dropping it, at whatever point, leaves nothing held.
    type Future: Future<Output = Result<Self::Hold, Denied>> + Send;
    /// Ends when the hold is larger. Dropping it leaves the hold as it was or larger: what it then
    /// has is settled or released with it.
    type Extending: Future<Output = Result<(), Denied>> + Send + 'static;

    /// What the amounts of all accounts are of: only prices in this currency can be charged here.
    /// Always the same. Default: US dollars.
    fn currency(&self) -> Currency {
        Currency::USD
    }

    /// Holds an amount, if the account has it.
    fn hold(&self, account: &str, most: Most) -> Self::Future;

    /// The same, where it is decided at once; `None` has done nothing, and [`hold`](Self::hold) is
    /// to be asked. Saves the request a wait that a ledger in memory does not need. Default: `None`.
    fn hold_now(&self, account: &str, most: Most) -> Option<Result<Self::Hold, Denied>> {
        let _ = (account, most);
        None
    }

    /// Adds to an open hold, if the account has so much more; else the hold stays what it was.
    fn extend(&self, hold: &mut Self::Hold, by: Amount) -> Self::Extending;

    /// Charges what was used and releases the rest. At most what hold and balance have is taken.
    ///
    /// Returns what is taken for certain: all of the charge that the hold covers, and what the
    /// balance gives beyond it where the ledger knows the balance at once.
    fn settle(&self, hold: Self::Hold, charge: Amount) -> Amount;
}
