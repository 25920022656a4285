//! Entries as they were asked for, and what they add up to.

use std::{
    collections::HashMap,
    ops::Bound,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    super::record,
    table::{BY_ACCOUNT, ENTRIES, INDEXED, META, Result, damaged, failed, number},
};
use crate::cost::{Amount, Entry, What};

/// Entries after a number, oldest first: of one account, or of all.
pub(in crate::cost::ledger::redb) fn entries(
    db: &Database,
    account: Option<&str>,
    after: u64,
    most: usize,
) -> Result<Vec<Entry>> {
    const DOING: &str = "reading entries";
    let txn = db.begin_read().map_err(failed(DOING))?;
    let table = txn.open_table(ENTRIES).map_err(failed(DOING))?;
    let mut found = Vec::new();
    let read = |number, bytes: &[u8]| {
        record::read(number, bytes)
            .map(|(entry, _, _)| entry)
            .ok_or_else(damaged)
    };
    match account {
        None => {
            let range = (Bound::Excluded(after), Bound::Unbounded);
            for row in table.range::<u64>(range).map_err(failed(DOING))?.take(most) {
                let (number, bytes) = row.map_err(failed(DOING))?;
                found.push(read(number.value(), bytes.value())?);
            }
        }
        Some(account) => {
            let index = txn.open_table(BY_ACCOUNT).map_err(failed(DOING))?;
            let range = (
                Bound::Excluded((account, after)),
                Bound::Included((account, u64::MAX)),
            );
            let range = index.range::<(&str, u64)>(range).map_err(failed(DOING))?;
            for row in range.take(most) {
                let number = row.map_err(failed(DOING))?.0.value().1;
                let bytes = table.get(number).map_err(failed(DOING))?;
                found.push(read(number, bytes.ok_or_else(damaged)?.value())?);
            }
            // What the index has not taken up yet comes after all that it has.
            let meta = txn.open_table(META).map_err(failed(DOING))?;
            let indexed = meta.get(INDEXED).map_err(failed(DOING))?;
            let indexed = number(indexed.ok_or_else(damaged)?.value())?;
            let range = (Bound::Excluded(after.max(indexed)), Bound::Unbounded);
            for row in table.range::<u64>(range).map_err(failed(DOING))? {
                if found.len() >= most {
                    break;
                }
                let (number, bytes) = row.map_err(failed(DOING))?;
                let entry = read(number.value(), bytes.value())?;
                if &*entry.account == account {
                    found.push(entry);
                }
            }
        }
    }
    Ok(found)
}

/// How far entries are read on behind a moment, should a clock have been set back.
const CLOCK_SET_BACK: Duration = Duration::from_secs(3600);

/// What the accounts were charged for holds that were taken since a moment.
pub(in crate::cost::ledger::redb) fn spent_since(
    db: &Database,
    since: SystemTime,
) -> Result<HashMap<Arc<str>, Amount>> {
    const DOING: &str = "reading what was spent";
    let earliest = since.checked_sub(CLOCK_SET_BACK).unwrap_or(UNIX_EPOCH);
    let txn = db.begin_read().map_err(failed(DOING))?;
    let table = txn.open_table(ENTRIES).map_err(failed(DOING))?;
    let mut spent: HashMap<Arc<str>, Amount> = HashMap::new();
    let mut add = |account, amount| {
        let sum = spent.entry(account).or_default();
        *sum = sum.plus(amount);
    };
    // From the end on: the end of a hold comes before its beginning.
    let mut ended = HashMap::new();
    for row in table.iter().map_err(failed(DOING))?.rev() {
        let (number, bytes) = row.map_err(failed(DOING))?;
        let (entry, _, _) = record::read(number.value(), bytes.value()).ok_or_else(damaged)?;
        if entry.at < earliest {
            break;
        }
        match entry.what {
            What::Settled {
                hold,
                held,
                charged,
                overrun,
            } => {
                let used = charged.plus(overrun);
                if held != Amount::ZERO {
                    ended.insert(hold, used);
                } else if entry.at >= since {
                    // A hold of nothing has no entry.
                    add(entry.account, used);
                }
            }
            What::Held { hold, .. } if entry.at >= since => {
                if let Some(used) = ended.remove(&hold) {
                    add(entry.account, used);
                }
            }
            _ => {}
        }
    }
    Ok(spent)
}
