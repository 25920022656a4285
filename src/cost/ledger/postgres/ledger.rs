//! The ledger itself: what is asked of the database, and how.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout_at};
use tokio_postgres::IsolationLevel;

use super::{
    PostgresExtending, PostgresHold, PostgresHolding, PostgresOptions, hold,
    pool::Pool,
    queue::{End, Queue},
    sql,
    write::settled,
};
use crate::cost::{
    Amount, Currency, Denied, Entry, HoldId, Ledger, Mismatch, Most, Recovered, Statement,
    StoreError, ledger::mismatch::Count,
};

/// A durable ledger that many nodes share, in PostgreSQL. Clones share its connections.
///
/// A hold is one conditional update, and given when it is committed. Charges are queued in a place
/// that their hold has reserved, written some milliseconds later, many in a statement, and tried
/// again until they are: settling by the hold's id is idempotent. [`flush`](Self::flush) waits for
/// them. A charge that the database refuses (a constraint of the operator's own, say) is logged, counted
/// (`tower_completions.ledger.refused`), set aside, and tried again each minute; those behind it go on, and its
/// hold stays open until then. The tables are made and updated by whoever connects; several may at once.
///
/// Each node has an advisory lock as long as its session lives. Holds of a node without one are
/// released by the next that connects, or after some seconds by any other, and logged. Should that
/// node live after all, its charges still come, from the balance. Poolers that share sessions
/// between clients do not serve.
///
/// While the database cannot be reached, holds are denied ([`Denied::Unavailable`]).
#[derive(Clone)]
pub struct PostgresLedger(pub(super) Arc<Handle>);

pub(super) struct Handle {
    pub(super) pool: Pool,
    pub(super) queue: Arc<Queue>,
    pub(super) node: i32,
    pub(super) timeout: Duration,
    pub(super) settle_timeout: Duration,
    pub(super) currency: Currency,
    pub(super) recovered: Vec<Recovered>,
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
        let client = self.0.pool.client().await?;
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
        let client = self.0.pool.client().await?;
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
        let client = self.0.pool.client().await?;
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
        let client = self.0.pool.client().await?;
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
        let mut client = self.0.pool.client().await?;
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
    /// long as that cannot be reached. What the database had refused is tried once more.
    ///
    /// # Errors
    /// The database refuses some of it, it was given up, or the runtime is shutting down.
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

impl Ledger for PostgresLedger {
    type Hold = PostgresHold;
    type Future = PostgresHolding;
    type Extending = PostgresExtending;

    fn currency(&self) -> Currency {
        self.0.currency
    }

    fn hold(&self, account: &str, most: Most) -> PostgresHolding {
        PostgresHolding(Box::pin(hold::hold(
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

impl Handle {
    /// Asks the database, for as long as is allowed.
    pub(super) async fn ask(
        &self,
        statement: &str,
        with: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<String, Denied> {
        self.answer(statement, with).await.map_err(|error| {
            #[cfg(feature = "tracing")]
            {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "no hold: the ledger cannot be reached");
            }
            let _ = error;
            Denied::Unavailable
        })
    }

    async fn answer(
        &self,
        statement: &str,
        with: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<String, StoreError> {
        let until = Instant::now() + self.timeout;
        let late = |_| StoreError::plain("asking the ledger in time");
        let client = timeout_at(until, self.pool.client())
            .await
            .map_err(late)??;
        let asked = async {
            let failed = |error| StoreError::new("asking the ledger", error);
            let statement = client.prepare_cached(statement).await.map_err(failed)?;
            let row = client.query_one(&statement, with).await.map_err(failed)?;
            sql::only(&row)
        };
        let asked = timeout_at(until, asked).await.map_err(late);
        if asked.is_err() {
            self.pool.stop(client, self.timeout);
        }
        asked?
    }
}
