//! The file against itself.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    super::record::{self, FIRST, Hash},
    table::{ACCOUNTS, ANCHOR, ANCHORS, ENTRIES, HEAD, HOLDS, META, Result, damaged, failed},
};
use crate::cost::{Mismatch, ledger::mismatch::Count};

/// Checks all of it against itself: the chain, each account's entries and its open holds.
pub(in crate::cost::ledger::redb) fn reconcile(db: &Database) -> Result<Vec<Mismatch>> {
    const DOING: &str = "reconciling";
    let txn = db.begin_read().map_err(failed(DOING))?;
    let mut found = Vec::new();
    let meta = txn.open_table(META).map_err(failed(DOING))?;
    let mark = |key| -> Result<(u64, Hash)> {
        let bytes = meta.get(key).map_err(failed(DOING))?;
        bytes.map_or(Ok((0, FIRST)), |it| {
            record::read_mark(it.value()).ok_or_else(damaged)
        })
    };
    let mut count = Count::default();
    let anchors = txn.open_table(ANCHORS).map_err(failed(DOING))?;
    for row in anchors.iter().map_err(failed(DOING))? {
        let (name, bytes) = row.map_err(failed(DOING))?;
        let statement = record::read_statement(bytes.value()).ok_or_else(damaged)?;
        count.anchor(Arc::from(name.value()), statement);
    }
    let (mut number, mut hash) = mark(ANCHOR)?;
    let mut broken = None;
    let entries = txn.open_table(ENTRIES).map_err(failed(DOING))?;
    for row in entries.iter().map_err(failed(DOING))? {
        let (key, bytes) = row.map_err(failed(DOING))?;
        let Some((entry, content, kept)) = record::read(key.value(), bytes.value()) else {
            broken.get_or_insert(key.value());
            continue;
        };
        if key.value() != number + 1 || kept != record::follow(&hash, content) {
            broken.get_or_insert(key.value());
        }
        (number, hash) = (key.value(), kept);
        count.entry(entry);
    }
    if (number, hash) != mark(HEAD)? {
        broken.get_or_insert(number + 1);
    }
    found.extend(broken.map(|number| Mismatch::Chain { number }));
    let holds = txn.open_table(HOLDS).map_err(failed(DOING))?;
    for row in holds.iter().map_err(failed(DOING))? {
        let (_, bytes) = row.map_err(failed(DOING))?;
        let (account, amount) = record::read_hold(bytes.value()).ok_or_else(damaged)?;
        count.open(Arc::from(account), amount);
    }
    let accounts = txn.open_table(ACCOUNTS).map_err(failed(DOING))?;
    for row in accounts.iter().map_err(failed(DOING))? {
        let (name, bytes) = row.map_err(failed(DOING))?;
        let kept = record::read_statement(bytes.value()).ok_or_else(damaged)?;
        count.keep(Arc::from(name.value()), kept);
    }
    found.extend(count.mismatches());
    Ok(found)
}
