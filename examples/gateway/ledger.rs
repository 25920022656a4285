//! The ledger that the configuration names.

use std::{
    fmt,
    future::{Future, Ready},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_completions::{
    Principal,
    cost::{
        Amount, Budgets, Currency, Denied, Ledger, MemoryHold, MemoryLedger, Most,
        PostgresExtending, PostgresHold, PostgresHolding, PostgresLedger, PostgresOptions,
        RedbExtending, RedbHold, RedbHolding, RedbLedger, RedbOptions, Statement, StoreError,
    },
};

use crate::money::Store;

/// The reference of the balance in the file: it is granted once.
const FIRST: &str = "configuration";

/// Why the ledger is not there, and which one: a database by its key alone, for its place has a password in it.
#[derive(Debug)]
pub struct Unopened {
    place: String,
    error: StoreError,
}

impl Unopened {
    pub fn new(place: &str, error: StoreError) -> Self {
        let place = match place.starts_with("redb:") {
            true => format!("ledger.store: {place:?}"),
            false => "ledger.store".to_owned(),
        };
        Self { place, error }
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl std::error::Error for Unopened {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[derive(Clone)]
pub enum Books {
    Memory(MemoryLedger),
    Redb(RedbLedger),
    Postgres(PostgresLedger),
}

impl Books {
    pub async fn open(
        store: &Store,
        roots: Option<Vec<u8>>,
        currency: Currency,
    ) -> Result<Self, StoreError> {
        if store.place == "memory" {
            return Ok(Self::Memory(MemoryLedger::new().in_currency(currency)));
        }
        let Some(path) = store.place.strip_prefix("redb:") else {
            let mut options = PostgresOptions::new(store.place.as_str()).currency(currency);
            if let Some(roots) = roots {
                options = options.root_certificates(roots)?;
            }
            return Ok(Self::Postgres(options.connect().await?));
        };
        let mut options = RedbOptions::new(path)
            .currency(currency)
            .recovery(store.recovery);
        if let Some(entries) = store.keep_entries {
            options = options.keep_entries(entries);
        }
        let ledger = options.open()?;
        if store.compact {
            ledger.compact().await?;
        }
        Ok(Self::Redb(ledger))
    }

    /// A durable ledger takes it the first time only and then keeps its own.
    pub async fn first_grant(&self, account: &str, amount: Amount) -> Result<(), StoreError> {
        match self {
            Self::Memory(ledger) => {
                ledger.grant_once(account, amount, FIRST);
            }
            Self::Redb(ledger) => {
                ledger.grant(account, amount, FIRST).await?;
            }
            Self::Postgres(ledger) => {
                ledger.grant(account, amount, FIRST).await?;
            }
        }
        Ok(())
    }

    pub async fn statement(&self, account: &str) -> Result<Statement, StoreError> {
        match self {
            Self::Memory(ledger) => Ok(ledger.statement(account)),
            Self::Redb(ledger) => Ok(ledger.statement(account)),
            Self::Postgres(ledger) => ledger.statement(account).await,
        }
    }

    /// Fills the budgets with what was spent before this start; `caller` says whose an account is.
    pub async fn restore(
        &self,
        budgets: &Budgets,
        caller: impl Fn(&str) -> Principal,
    ) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        for (period, begin) in budgets.windows(now) {
            let begin = UNIX_EPOCH + Duration::from_secs(begin.try_into().unwrap_or(0));
            let spent = match self {
                Self::Memory(_) => Vec::new(),
                Self::Redb(ledger) => ledger.spent_since(begin)?,
                Self::Postgres(ledger) => ledger.spent_since(begin).await?,
            };
            for (account, spent) in spent {
                budgets.restore(&caller(&account), period, spent, now);
            }
        }
        Ok(())
    }

    /// Ends when all that was settled is durable.
    pub async fn flush(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redb(ledger) => ledger.flush().await,
            Self::Postgres(ledger) => ledger.flush().await,
        }
    }
}

/// A hold, with the ledger that gave it.
pub enum Hold {
    Memory(MemoryLedger, MemoryHold),
    Redb(RedbLedger, RedbHold),
    Postgres(PostgresLedger, PostgresHold),
}

pub enum Holding {
    Memory(MemoryLedger, Ready<Result<MemoryHold, Denied>>),
    Redb(RedbLedger, RedbHolding),
    Postgres(PostgresLedger, PostgresHolding),
}

impl Future for Holding {
    type Output = Result<Hold, Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Memory(ledger, hold) => Pin::new(hold)
                .poll(cx)
                .map_ok(|hold| Hold::Memory(ledger.clone(), hold)),
            Self::Redb(ledger, hold) => Pin::new(hold)
                .poll(cx)
                .map_ok(|hold| Hold::Redb(ledger.clone(), hold)),
            Self::Postgres(ledger, hold) => Pin::new(hold)
                .poll(cx)
                .map_ok(|hold| Hold::Postgres(ledger.clone(), hold)),
        }
    }
}

pub enum Extending {
    Memory(Ready<Result<(), Denied>>),
    Redb(RedbExtending),
    Postgres(PostgresExtending),
}

impl Future for Extending {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Memory(extending) => Pin::new(extending).poll(cx),
            Self::Redb(extending) => Pin::new(extending).poll(cx),
            Self::Postgres(extending) => Pin::new(extending).poll(cx),
        }
    }
}

impl Ledger for Books {
    type Hold = Hold;
    type Future = Holding;
    type Extending = Extending;

    fn currency(&self) -> Currency {
        match self {
            Self::Memory(ledger) => ledger.currency(),
            Self::Redb(ledger) => ledger.currency(),
            Self::Postgres(ledger) => ledger.currency(),
        }
    }

    fn hold(&self, account: &str, most: Most) -> Holding {
        match self {
            Self::Memory(ledger) => Holding::Memory(ledger.clone(), ledger.hold(account, most)),
            Self::Redb(ledger) => Holding::Redb(ledger.clone(), ledger.hold(account, most)),
            Self::Postgres(ledger) => Holding::Postgres(ledger.clone(), ledger.hold(account, most)),
        }
    }

    fn hold_now(&self, account: &str, most: Most) -> Option<Result<Hold, Denied>> {
        let Self::Memory(ledger) = self else {
            return None;
        };
        let held = ledger.hold_now(account, most)?;
        Some(held.map(|hold| Hold::Memory(ledger.clone(), hold)))
    }

    fn extend(&self, hold: &mut Hold, by: Amount) -> Extending {
        match hold {
            Hold::Memory(ledger, hold) => Extending::Memory(ledger.extend(hold, by)),
            Hold::Redb(ledger, hold) => Extending::Redb(ledger.extend(hold, by)),
            Hold::Postgres(ledger, hold) => Extending::Postgres(ledger.extend(hold, by)),
        }
    }

    fn settle(&self, hold: Hold, charge: Amount) -> Amount {
        match hold {
            Hold::Memory(ledger, hold) => ledger.settle(hold, charge),
            Hold::Redb(ledger, hold) => ledger.settle(hold, charge),
            Hold::Postgres(ledger, hold) => ledger.settle(hold, charge),
        }
    }
}
