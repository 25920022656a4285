//! Old entries as their sum.

use std::{collections::HashMap, sync::Arc};

use redb::{Database, ReadableTable};

use super::{
    super::record,
    durable::Durable,
    table::{ANCHOR, ANCHORS, BY_ACCOUNT, ENTRIES, META, Result, damaged, failed},
};
use crate::cost::Statement;

/// Removes the oldest entries, at most so many; what they add up to stays as the anchor.
pub(in crate::cost::ledger::redb) fn prune(
    db: &Database,
    durable: &mut Durable,
    most: u64,
) -> Result<u64> {
    const DOING: &str = "pruning the ledger's file";
    let txn = db.begin_write().map_err(failed(DOING))?;
    let (mut number, mut hash) = durable.anchor;
    let mut removed = 0;
    {
        let mut entries = txn.open_table(ENTRIES).map_err(failed(DOING))?;
        let mut by_account = txn.open_table(BY_ACCOUNT).map_err(failed(DOING))?;
        let mut anchors = txn.open_table(ANCHORS).map_err(failed(DOING))?;
        let mut folded: HashMap<Arc<str>, Statement> = HashMap::new();
        while removed < most {
            let Some((key, bytes)) = entries.pop_first().map_err(failed(DOING))? else {
                break;
            };
            number = key.value();
            let (entry, _, kept) = record::read(number, bytes.value()).ok_or_else(damaged)?;
            hash = kept;
            if number <= durable.indexed {
                by_account
                    .remove((&*entry.account, number))
                    .map_err(failed(DOING))?;
            }
            if !folded.contains_key(&entry.account) {
                let kept = anchors.get(&*entry.account).map_err(failed(DOING))?;
                let kept = match kept {
                    Some(bytes) => record::read_statement(bytes.value()).ok_or_else(damaged)?,
                    None => Statement::default(),
                };
                folded.insert(Arc::clone(&entry.account), kept);
            }
            if let Some(statement) = folded.get_mut(&entry.account) {
                statement.apply(&entry.what);
            }
            removed += 1;
        }
        for (account, statement) in &folded {
            let bytes = record::write_statement(statement);
            anchors
                .insert(&**account, &bytes[..])
                .map_err(failed(DOING))?;
        }
        let mut meta = txn.open_table(META).map_err(failed(DOING))?;
        let mark = record::write_mark(number, &hash);
        meta.insert(ANCHOR, &mark[..]).map_err(failed(DOING))?;
    }
    txn.commit().map_err(failed(DOING))?;
    durable.anchor = (number, hash);
    durable.unindexed.retain(|(_, at)| *at > number);
    Ok(removed)
}
