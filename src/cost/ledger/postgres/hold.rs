//! A hold of the ledger, and how one is taken.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{ledger::Handle, queue::Open, sql};
use crate::cost::{Amount, Denied, HoldId, Most};

/// The longest name of an account, in bytes.
const LONGEST_NAME: usize = 1024;

/// An open hold of a [`PostgresLedger`](super::PostgresLedger). Dropping it releases it.
pub struct PostgresHold {
    pub(super) open: Open,
    pub(super) limited: bool,
    /// What the database has said that it holds; shared with an extension under way.
    pub(super) amount: Arc<Mutex<Amount>>,
    /// Keeps the task that writes: dropped after `open`.
    _ledger: Arc<Handle>,
}

impl PostgresHold {
    /// Its name in the entries.
    #[must_use]
    pub const fn id(&self) -> HoldId {
        self.open.hold
    }

    /// What it holds.
    #[must_use]
    pub fn amount(&self) -> Amount {
        *self.amount.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PostgresHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHold")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

pub(super) async fn hold(
    ledger: Arc<Handle>,
    account: String,
    most: Most,
) -> Result<PostgresHold, Denied> {
    // What no text of the database can hold must not get among the charges of others.
    if account.len() > LONGEST_NAME || account.contains('\0') {
        return Err(Denied::Unavailable);
    }
    let id = id().ok_or(Denied::Unavailable)?;
    let mut open = Open::new(&ledger.queue, id, &account).ok_or(Denied::Unavailable)?;
    let (amount, unknown) = match most {
        Most::Amount(amount) => (amount.max(Amount::ZERO), false),
        Most::Unknown => (Amount::ZERO, true),
    };
    if amount == Amount::ZERO && !unknown {
        // Nothing to ask for; what it is charged all the same, the balance has to give.
        return Ok(PostgresHold {
            open,
            limited: true,
            amount: Arc::default(),
            _ledger: ledger,
        });
    }
    // From here on it may be there, whatever we hear of it.
    open.asked = amount > Amount::ZERO;
    let answer = ledger
        .ask(
            sql::HOLD,
            &[
                &sql::uuid(id),
                &account,
                &ledger.node,
                &sql::text(amount),
                &unknown,
            ],
        )
        .await?;
    let denied = match &*answer {
        "limited" | "unlimited" => {
            return Ok(PostgresHold {
                open,
                limited: answer == "limited",
                amount: Arc::new(Mutex::new(amount)),
                _ledger: ledger,
            });
        }
        "unpriced" => Denied::Unpriced,
        _ => Denied::Insufficient,
    };
    open.refused();
    Err(denied)
}

/// A hold's id: random, so that nodes need not agree on it.
fn id() -> Option<HoldId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(HoldId::new(u128::from_le_bytes(random)))
}
