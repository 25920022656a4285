//! A durable ledger of many nodes, in PostgreSQL.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use tokio_postgres::{Config, IsolationLevel, NoTls};

use self::{
    queue::{End, Open, Queue},
    task::settled,
};
use super::{
    Denied, Entry, HoldId, Ledger, Mismatch, Most, Recovered, Statement, StoreError, entry::Count,
};
use crate::cost::{Amount, Currency};

mod queue;
mod sql;
mod task;

type Pool = deadpool_postgres::Pool;

/// How a [`PostgresLedger`] connects.
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresOptions {
    url: String,
    connections: usize,
    timeout: Duration,
    settle_timeout: Duration,
    max_open: usize,
    currency: Currency,
}

impl PostgresOptions {
    /// The database at this `postgres://` URL, or libpq's `key=value` text. Without TLS: for a
    /// database on this machine, in a private network or behind a tunnel.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 16,
            timeout: Duration::from_secs(3),
            settle_timeout: Duration::from_secs(10),
            max_open: 100_000,
            currency: Currency::USD,
        }
    }

    /// How many connections there are at most, beside one that proves this node alive. Default: 16.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long a hold may wait for the database before it is denied. Default: 3 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt to write charges may take before its connection is given up and they are
    /// tried again: the hold's id keeps what was written all the same from counting twice. Default:
    /// 10 seconds.
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.settle_timeout = timeout;
        self
    }

    /// How many holds of this node may be open at once; whoever comes beyond them is denied as
    /// [`Unavailable`](Denied::Unavailable). Default: 100 000.
    pub fn max_open(mut self, holds: usize) -> Self {
        self.max_open = holds;
        self
    }

    /// What its amounts are of. Tables that were made for another currency are refused. Default: US
    /// dollars.
    pub fn currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// Connects, makes or updates the tables, and releases what nodes that are gone have left open.
    /// Call it on a tokio runtime that lives as long as the ledger.
    ///
    /// # Errors
    /// The URL is none, the database cannot be reached, or its tables are of a later version or of another
    /// currency.
    pub async fn connect(self) -> Result<PostgresLedger, StoreError> {
        let reaching = "reaching the ledger";
        let mut config: Config = self
            .url
            .parse()
            .map_err(|error| StoreError::new("reading the ledger's URL", error))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(self.timeout);
        }
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|_| StoreError::plain("finding a number at random"))?;
        let node = i32::from_le_bytes(random);
        let mut client = task::attend(&config, node).await?;
        sql::migrate(&mut client, self.currency).await?;
        let voided = task::sweep_all(&client, node).await?;
        let recovered = voided.into_iter().map(|(hold, account, held)| Recovered {
            hold,
            account,
            held,
            charged: Amount::ZERO,
        });
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config.clone(), NoTls, recycling))
            .max_size(self.connections.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(self.timeout))
            .create_timeout(Some(self.timeout))
            .build()
            .map_err(|error| StoreError::new(reaching, error))?;
        let queue = Arc::new(Queue::new(self.max_open));
        tokio::spawn(task::write(
            pool.clone(),
            Arc::clone(&queue),
            self.settle_timeout,
        ));
        tokio::spawn(task::watch(config, node, client, Arc::downgrade(&queue)));
        Ok(PostgresLedger(Arc::new(Handle {
            pool,
            queue,
            node,
            timeout: self.timeout,
            settle_timeout: self.settle_timeout,
            currency: self.currency,
            recovered: recovered.collect(),
        })))
    }
}

async fn client(pool: &Pool) -> Result<deadpool_postgres::Client, StoreError> {
    pool.get()
        .await
        .map_err(|error| StoreError::new("reaching the ledger", error))
}

/// A durable ledger that many nodes share, in PostgreSQL. Clones share its connections.
///
/// A hold is one conditional update, and given when it is committed. Charges are queued in a place
/// that their hold has reserved, written some milliseconds later, many in a statement, and tried
/// again until they are: settling by the hold's id is idempotent. [`flush`](Self::flush) waits for
/// them. The tables are made and updated by whoever connects; several may at once.
///
/// Each node has an advisory lock as long as its session lives. Holds of a node without one are
/// released by the next that connects, or after some seconds by any other, and logged. Should that
/// node live after all, its charges still come, from the balance. Poolers that share sessions
/// between clients do not serve.
///
/// While the database cannot be reached, holds are denied ([`Denied::Unavailable`]).
#[derive(Clone)]
pub struct PostgresLedger(Arc<Handle>);

struct Handle {
    pool: Pool,
    queue: Arc<Queue>,
    node: i32,
    timeout: Duration,
    settle_timeout: Duration,
    currency: Currency,
    recovered: Vec<Recovered>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The task that writes ends when all is written.
        self.queue.close();
    }
}

impl PostgresLedger {
    /// Connects as [`PostgresOptions`] say by default.
    ///
    /// # Errors
    /// See [`PostgresOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new(url).connect().await
    }

    /// The holds of nodes that were gone, released when this one connected.
    #[must_use]
    pub fn recovered(&self) -> &[Recovered] {
        &self.0.recovered
    }

    /// Credits an account once for each reference, and thereby limits one that was not; whether
    /// that was now. Dropped before it returns, it may be booked or not; asking again with the same
    /// reference is safe.
    ///
    /// # Errors
    /// The database cannot be reached, or the amount is below zero.
    pub async fn grant(
        &self,
        account: &str,
        amount: Amount,
        reference: &str,
    ) -> Result<bool, StoreError> {
        const DOING: &str = "granting";
        if amount < Amount::ZERO {
            return Err(StoreError::plain("granting less than nothing"));
        }
        let client = client(&self.0.pool).await?;
        let failed = |error| StoreError::new(DOING, error);
        let row = client
            .query_one(sql::GRANT, &[&account, &sql::text(amount), &reference])
            .await
            .map_err(failed)?;
        sql::only(&row)
    }

    /// What an account has and has had.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn statement(&self, account: &str) -> Result<Statement, StoreError> {
        let client = client(&self.0.pool).await?;
        let failed = |error| StoreError::new("reading a statement", error);
        let statement = client
            .prepare_cached(sql::STATEMENT)
            .await
            .map_err(failed)?;
        let row = client
            .query_opt(&statement, &[&account])
            .await
            .map_err(failed)?;
        row.map_or(Ok(Statement::default()), |row| sql::statement(&row, 0))
    }

    /// Settles a hold by its id: what was charged, or `None` when it has ended before. The hold
    /// itself charges nothing when it is settled later.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn settle_id(
        &self,
        account: &str,
        hold: HoldId,
        charge: Amount,
    ) -> Result<Option<Amount>, StoreError> {
        let end = End {
            hold,
            account: account.into(),
            charge: Some(charge),
        };
        let rows = settled(&self.0.pool, &[end], self.0.settle_timeout).await?;
        rows.first().map(|row| sql::usd(row, 3)).transpose()
    }

    /// At most `most` entries whose number is above `after`, oldest first: of one account, or of
    /// all.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn entries(
        &self,
        account: Option<&str>,
        after: u64,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let client = client(&self.0.pool).await?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = client
            .query(sql::ENTRIES, &[&after, &account, &most])
            .await
            .map_err(|error| StoreError::new("reading entries", error))?;
        rows.iter().map(sql::entry).collect()
    }

    /// What each account has used since a moment, charged or not, on all nodes: for holds that were
    /// taken since then and have ended. For [`Budgets`](crate::cost::Budgets) after a restart. Reads
    /// all entries.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn spent_since(
        &self,
        since: SystemTime,
    ) -> Result<Vec<(Arc<str>, Amount)>, StoreError> {
        let client = client(&self.0.pool).await?;
        let rows = client.query(sql::SPENT, &[&since]).await;
        let rows = rows.map_err(|error| StoreError::new("reading what was spent", error))?;
        let row = |row| Ok((sql::name(row, 0)?, sql::usd(row, 1)?));
        rows.iter().map(row).collect()
    }

    /// Checks the tables against one another, as they stand at one moment: what each account's
    /// entries add up to, its open holds. Empty when all agree. Reads all entries.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn reconcile(&self) -> Result<Vec<Mismatch>, StoreError> {
        let failed = |error| StoreError::new("reconciling", error);
        let mut client = client(&self.0.pool).await?;
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true);
        let txn = snapshot.start().await.map_err(failed)?;
        let mut count = Count::default();
        for row in txn.query(sql::ACCOUNTS, &[]).await.map_err(failed)? {
            count.keep(sql::name(&row, 0)?, sql::statement(&row, 1)?);
        }
        for row in txn.query(sql::OPEN, &[]).await.map_err(failed)? {
            count.open(sql::name(&row, 0)?, sql::usd(&row, 1)?);
        }
        let (mut after, all) = (0_i64, None::<&str>);
        loop {
            let page = txn
                .query(sql::ENTRIES, &[&after, &all, &10_000_i64])
                .await
                .map_err(failed)?;
            let Some(last) = page.last() else { break };
            after = last.get(0);
            for row in &page {
                count.entry(sql::entry(row)?);
            }
        }
        txn.commit().await.map_err(failed)?;
        Ok(count.mismatches())
    }

    /// Ends when all that was settled or released here before is in the database; waits for it as
    /// long as that cannot be reached.
    ///
    /// # Errors
    /// It was given up, or the runtime is shutting down.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.0
            .queue
            .barrier()
            .await
            .map_err(|_| StoreError::plain("settling"))
    }
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("node", &self.0.node)
            .finish_non_exhaustive()
    }
}

/// An open hold of a [`PostgresLedger`]. Dropping it releases it.
pub struct PostgresHold {
    open: Open,
    limited: bool,
    /// What the database has said that it holds; shared with an extension under way.
    amount: Arc<Mutex<Amount>>,
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

/// The hold of a [`PostgresLedger`] on its way. Dropped before, it is released.
pub struct PostgresHolding(Pin<Box<dyn Future<Output = Result<PostgresHold, Denied>> + Send>>);

impl fmt::Debug for PostgresHolding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresHolding")
    }
}

impl Future for PostgresHolding {
    type Output = Result<PostgresHold, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// An extension of a hold of a [`PostgresLedger`] on its way.
pub struct PostgresExtending(Pin<Box<dyn Future<Output = Result<(), Denied>> + Send>>);

impl fmt::Debug for PostgresExtending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresExtending")
    }
}

impl Future for PostgresExtending {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl Handle {
    /// Asks the database, for as long as is allowed.
    async fn ask(
        &self,
        statement: &str,
        with: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<String, Denied> {
        let asked = async {
            let client = client(&self.pool).await?;
            let failed = |error| StoreError::new("asking the ledger", error);
            let statement = client.prepare_cached(statement).await.map_err(failed)?;
            let row = client.query_one(&statement, with).await.map_err(failed)?;
            sql::only(&row)
        };
        let asked = tokio::time::timeout(self.timeout, asked).await;
        let answer = asked.unwrap_or_else(|_| Err(StoreError::plain("asking the ledger in time")));
        answer.map_err(|error| {
            #[cfg(feature = "tracing")]
            {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "no hold: the ledger cannot be reached");
            }
            let _ = error;
            Denied::Unavailable
        })
    }
}

/// The longest name of an account, in bytes.
const LONGEST_NAME: usize = 1024;

/// A hold's id: random, so that nodes need not agree on it.
fn id() -> Option<HoldId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(HoldId::new(u128::from_le_bytes(random)))
}

async fn hold(ledger: Arc<Handle>, account: String, most: Most) -> Result<PostgresHold, Denied> {
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

impl Ledger for PostgresLedger {
    type Hold = PostgresHold;
    type Future = PostgresHolding;
    type Extending = PostgresExtending;

    fn currency(&self) -> Currency {
        self.0.currency
    }

    fn hold(&self, account: &str, most: Most) -> PostgresHolding {
        PostgresHolding(Box::pin(hold(
            Arc::clone(&self.0),
            account.to_owned(),
            most,
        )))
    }

    fn extend(&self, hold: &mut PostgresHold, by: Amount) -> PostgresExtending {
        let ledger = Arc::clone(&self.0);
        let (id, account) = (hold.id(), Arc::clone(&hold.open.account));
        let amount = Arc::clone(&hold.amount);
        let by = by.max(Amount::ZERO);
        hold.open.asked |= by > Amount::ZERO;
        PostgresExtending(Box::pin(async move {
            if by == Amount::ZERO {
                return Ok(());
            }
            let answer = ledger
                .ask(
                    sql::EXTEND,
                    &[&sql::uuid(id), &&*account, &ledger.node, &sql::text(by)],
                )
                .await?;
            match &*answer {
                "extended" => {
                    let mut amount = amount.lock().unwrap_or_else(PoisonError::into_inner);
                    *amount = amount.plus(by);
                    Ok(())
                }
                "insufficient" => Err(Denied::Insufficient),
                _ => Err(Denied::Unavailable),
            }
        }))
    }

    fn settle(&self, hold: PostgresHold, charge: Amount) -> Amount {
        let charge = charge.max(Amount::ZERO);
        let certain = if hold.limited {
            charge.min(hold.amount())
        } else {
            charge
        };
        hold.open.charge(charge);
        certain
    }
}
