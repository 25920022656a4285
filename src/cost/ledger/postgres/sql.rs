//! The statements, and rows as values.

use std::{sync::Arc, time::SystemTime};

use tokio_postgres::{Row, types::FromSql};

use crate::cost::{Amount, Currency, Entry, HoldId, Statement, StoreError, What};

pub(super) const HOLD: &str =
    "SELECT completions_hold($1::text::uuid, $2, $3, $4::text::numeric, $5)";
pub(super) const EXTEND: &str =
    "SELECT completions_extend($1::text::uuid, $2, $3, $4::text::numeric)";
pub(super) const SETTLE: &str = "SELECT id::text, account, held::text, charged::text, overrun::text \
     FROM completions_settle($1::text[]::uuid[], $2, $3::text[]::numeric[])";
pub(super) const VOID: &str = "SELECT id::text, account, held::text FROM completions_void($1)";
pub(super) const GRANT: &str = "SELECT completions_grant($1, $2::text::numeric, $3)";
pub(super) const STATEMENT: &str = "SELECT granted::text, held::text, spent::text, overrun::text \
     FROM completions_accounts WHERE name = $1";
pub(super) const ENTRIES: &str = "SELECT number, account, at, kind, hold::text, amount::text, \
     charged::text, overrun::text, used::text, reference FROM completions_entries \
     WHERE number > $1 AND ($2::text IS NULL OR account = $2) ORDER BY number LIMIT $3";
/// The hold's own entry says when it was taken; one of nothing has none.
pub(super) const SPENT: &str = "SELECT e.account, sum(e.charged + e.overrun)::text \
     FROM completions_entries e WHERE e.kind = 'settled' AND e.at >= $1 AND (e.amount = 0 OR EXISTS \
     (SELECT FROM completions_entries h WHERE h.hold = e.hold AND h.kind = 'held' AND h.at >= $1)) \
     GROUP BY e.account";
pub(super) const NODES: &str =
    "SELECT DISTINCT node FROM completions_holds WHERE state = 'open' AND node <> $1";
pub(super) const TIDY: &str = "DELETE FROM completions_holds WHERE id IN (SELECT id \
     FROM completions_holds WHERE state <> 'open' AND changed < now() - interval '1 day' LIMIT 10000)";
pub(super) const ACCOUNTS: &str =
    "SELECT name, granted::text, held::text, spent::text, overrun::text FROM completions_accounts";
pub(super) const OPEN: &str = "SELECT account, sum(amount)::text FROM completions_holds WHERE state = 'open' GROUP BY account";

/// Locks of the session that a node has as long as it lives: this and its number.
pub(super) const NODE_LOCKS: i32 = 0x746f_7763;

/// One node at a time changes the tables.
const MIGRATING: i64 = 0x746f_7765_722d_6c65;

/// The versions of the tables, oldest first. What has been released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
];

/// Brings the tables up to date; several nodes may do so at once. New ones are in this currency, and
/// those of another are refused.
pub(super) async fn migrate(
    client: &mut tokio_postgres::Client,
    currency: Currency,
) -> Result<(), StoreError> {
    const DOING: &str = "making the ledger's tables";
    let failed = |error| StoreError::new(DOING, error);
    let txn = client.transaction().await.map_err(failed)?;
    // Held until the transaction ends. Whoever waits sees the tables of the first.
    txn.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING])
        .await
        .map_err(failed)?;
    txn.batch_execute("CREATE TABLE IF NOT EXISTS completions_version (version integer NOT NULL)")
        .await
        .map_err(failed)?;
    let row = txn
        .query_one(
            "SELECT coalesce(max(version), 0) FROM completions_version",
            &[],
        )
        .await
        .map_err(failed)?;
    let version: i32 = row.get(0);
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    if version > known {
        return Err(StoreError::plain("reading the tables of a later version"));
    }
    for (number, migration) in (1..).zip(MIGRATIONS) {
        if number > version {
            txn.batch_execute(migration).await.map_err(failed)?;
            txn.execute("INSERT INTO completions_version VALUES ($1)", &[&number])
                .await
                .map_err(failed)?;
        }
    }
    let kept = txn
        .query_opt("SELECT code FROM completions_currency", &[])
        .await
        .map_err(failed)?;
    match kept {
        None => {
            const KEEP: &str = "INSERT INTO completions_currency VALUES ($1)";
            let keep = txn.execute(KEEP, &[&currency.code()]).await;
            keep.map_err(failed)?;
        }
        Some(row) if row.get::<_, &str>(0) == currency.code() => {}
        Some(_) => return Err(StoreError::plain("opening a ledger of another currency")),
    }
    txn.commit().await.map_err(failed)
}

/// Whether the database has refused what was written, and would again: its values or what they do to its
/// constraints, not the connection, a lock or the lack of something.
pub(super) fn is_final(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let error = source.and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    let code = error.and_then(tokio_postgres::Error::code);
    // Data, constraints, what a trigger raises, and a view's own check.
    code.is_some_and(|code| {
        let classes = ["22", "23", "44", "P0"];
        classes.iter().any(|class| code.code().starts_with(class))
    })
}

/// An amount as the statements take it.
pub(super) fn text(amount: Amount) -> String {
    amount.pico().to_string()
}

/// An id as the statements take it.
pub(super) fn uuid(hold: HoldId) -> String {
    format!("{:032x}", hold.number())
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at)
        .map_err(|error| StoreError::new("making sense of the ledger's tables", error))
}

fn nonsense() -> StoreError {
    StoreError::plain("making sense of the ledger's tables")
}

/// The first column of the only row.
pub(super) fn only<'a, T: FromSql<'a>>(row: &'a Row) -> Result<T, StoreError> {
    column(row, 0)
}

pub(super) fn usd(row: &Row, at: usize) -> Result<Amount, StoreError> {
    let text: &str = column(row, at)?;
    text.parse().map(Amount::from_pico).map_err(|_| nonsense())
}

pub(super) fn hold(row: &Row, at: usize) -> Result<HoldId, StoreError> {
    let text: &str = column(row, at)?;
    let digits = text.replace('-', "");
    let number = u128::from_str_radix(&digits, 16).map_err(|_| nonsense())?;
    Ok(HoldId::new(number))
}

pub(super) fn name(row: &Row, at: usize) -> Result<Arc<str>, StoreError> {
    column::<&str>(row, at).map(Arc::from)
}

/// A statement in four columns from this one on.
pub(super) fn statement(row: &Row, at: usize) -> Result<Statement, StoreError> {
    let limited: Option<&str> = column(row, at)?;
    let granted = limited.map(|_| usd(row, at)).transpose()?;
    Ok(Statement {
        granted,
        held: usd(row, at + 1)?,
        spent: usd(row, at + 2)?,
        overrun: usd(row, at + 3)?,
    })
}

/// A row of [`ENTRIES`].
pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    let number: i64 = column(row, 0)?;
    let at: SystemTime = column(row, 2)?;
    let (amount, kind) = (usd(row, 5)?, column::<&str>(row, 3)?);
    let what = match kind {
        "granted" => What::Granted {
            amount,
            used: usd(row, 8)?,
            reference: name(row, 9)?,
        },
        "held" => What::Held {
            hold: hold(row, 4)?,
            amount,
        },
        "extended" => What::Extended {
            hold: hold(row, 4)?,
            amount,
        },
        "settled" => What::Settled {
            hold: hold(row, 4)?,
            held: amount,
            charged: usd(row, 6)?,
            overrun: usd(row, 7)?,
        },
        "released" => What::Released {
            hold: hold(row, 4)?,
            held: amount,
        },
        "voided" => What::Voided {
            hold: hold(row, 4)?,
            held: amount,
        },
        _ => return Err(nonsense()),
    };
    let number = u64::try_from(number).map_err(|_| nonsense())?;
    Ok(Entry::new(number, name(row, 1)?, at, what))
}
