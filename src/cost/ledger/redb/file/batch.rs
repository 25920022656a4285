//! Bookings, many in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use redb::{Database, ReadableTable};

use super::{
    super::record::{self, Hash},
    durable::Durable,
    table::{
        ACCOUNTS, BY_ACCOUNT, ENTRIES, HEAD, HOLDS, INDEXED, META, NEXT_HOLD, REFERENCES, Result,
        failed,
    },
};
use crate::cost::{Amount, HoldId, Statement, What};

/// So many entries are written before the index takes them up, together. Each account has its own
/// place there, so that a page would be written for each account of each transaction.
const INDEXED_AT_ONCE: usize = 1024;

/// Something to be booked.
pub(in crate::cost::ledger::redb) struct Booking<'a> {
    pub(in crate::cost::ledger::redb) account: &'a Arc<str>,
    pub(in crate::cost::ledger::redb) at: SystemTime,
    pub(in crate::cost::ledger::redb) what: &'a What,
}

/// What a batch has changed; of no effect until its transaction is in the file.
pub(in crate::cost::ledger::redb) struct Batch {
    pub(super) head: u64,
    pub(super) hash: Hash,
    pub(super) next_hold: u64,
    pub(super) statements: HashMap<Arc<str>, Statement>,
    /// `None` has ended.
    pub(super) holds: HashMap<u64, Option<(Arc<str>, Amount)>>,
    /// Its entries that are not indexed; `None` when all there are have been.
    pub(super) unindexed: Option<Vec<(Arc<str>, u64)>>,
    /// What became of each booking: what was written, `None` where there was nothing to write.
    pub(in crate::cost::ledger::redb) written: Vec<Option<What>>,
}

impl Batch {
    fn over(durable: &Durable) -> Self {
        Self {
            head: durable.head,
            hash: durable.hash,
            next_hold: durable.next_hold,
            statements: HashMap::new(),
            holds: HashMap::new(),
            unindexed: None,
            written: Vec::new(),
        }
    }

    fn held(&self, durable: &Durable, id: u64) -> Option<Amount> {
        let hold = match self.holds.get(&id) {
            Some(hold) => hold.as_ref(),
            None => durable.holds.get(&id),
        };
        hold.map(|(_, amount)| *amount)
    }

    /// The entry that is written for a booking. How much an ending hold has is only known here: an
    /// extension before it may have failed.
    fn entry(&self, durable: &Durable, what: &What) -> Option<What> {
        let mut what = what.clone();
        match &mut what {
            What::Settled {
                hold,
                held,
                charged,
                overrun,
            } => {
                *held = self.held(durable, short(*hold)).unwrap_or_default();
                if (*held, *charged, *overrun) == (Amount::ZERO, Amount::ZERO, Amount::ZERO) {
                    return None;
                }
            }
            What::Released { hold, held } | What::Voided { hold, held } => {
                *held = self.held(durable, short(*hold))?;
            }
            What::Granted { .. } | What::Held { .. } | What::Extended { .. } => {}
        }
        Some(what)
    }

    fn apply(&mut self, durable: &Durable, account: &Arc<str>, what: &What) {
        let kept = || durable.statements.get(account).copied();
        self.statements
            .entry(Arc::clone(account))
            .or_insert_with(|| kept().unwrap_or_default())
            .apply(what);
        match *what {
            What::Held { hold, amount } | What::Extended { hold, amount } => {
                let id = short(hold);
                let amount = self.held(durable, id).unwrap_or_default().plus(amount);
                self.holds.insert(id, Some((Arc::clone(account), amount)));
                self.next_hold = self.next_hold.max(id.saturating_add(1));
            }
            What::Settled { hold, .. }
            | What::Released { hold, .. }
            | What::Voided { hold, .. } => {
                self.holds.insert(short(hold), None);
            }
            What::Granted { .. } => {}
        }
    }
}

/// Writes a batch in one transaction: in the file when this returns, whole or not at all.
pub(in crate::cost::ledger::redb) fn commit<'a>(
    db: &Database,
    durable: &Durable,
    bookings: impl Iterator<Item = Booking<'a>>,
) -> Result<Batch> {
    const DOING: &str = "writing the ledger's file";
    let txn = db.begin_write().map_err(failed(DOING))?;
    let mut batch = Batch::over(durable);
    {
        let mut entries = txn.open_table(ENTRIES).map_err(failed(DOING))?;
        let mut fresh = Vec::new();
        let mut references = txn.open_table(REFERENCES).map_err(failed(DOING))?;
        let mut granted = HashSet::new();
        let mut bytes = Vec::new();
        for Booking { account, at, what } in bookings {
            if let What::Granted { reference, .. } = what {
                let key = (&**account, &**reference);
                let before = references.get(key).map_err(failed(DOING))?.is_some();
                if before || !granted.insert((Arc::clone(account), Arc::clone(reference))) {
                    batch.written.push(None);
                    continue;
                }
            }
            let Some(what) = batch.entry(durable, what) else {
                batch.written.push(None);
                continue;
            };
            batch.head += 1;
            bytes.clear();
            batch.hash = record::write(&mut bytes, &batch.hash, account, at, &what);
            entries
                .insert(batch.head, &bytes[..])
                .map_err(failed(DOING))?;
            fresh.push((Arc::clone(account), batch.head));
            if let What::Granted { reference, .. } = &what {
                references
                    .insert((&**account, &**reference), batch.head)
                    .map_err(failed(DOING))?;
            }
            batch.apply(durable, account, &what);
            batch.written.push(Some(what));
        }
        let mut accounts = txn.open_table(ACCOUNTS).map_err(failed(DOING))?;
        for (name, statement) in &batch.statements {
            let bytes = record::write_statement(statement);
            accounts
                .insert(&**name, &bytes[..])
                .map_err(failed(DOING))?;
        }
        let mut holds = txn.open_table(HOLDS).map_err(failed(DOING))?;
        for (id, hold) in &batch.holds {
            match hold {
                Some((account, amount)) => {
                    let bytes = record::write_hold(account, *amount);
                    holds.insert(id, &bytes[..]).map_err(failed(DOING))?;
                }
                // One that began in this very batch is not there.
                None if durable.holds.contains_key(id) => {
                    holds.remove(id).map_err(failed(DOING))?;
                }
                None => {}
            }
        }
        let mut meta = txn.open_table(META).map_err(failed(DOING))?;
        let mark = record::write_mark(batch.head, &batch.hash);
        meta.insert(HEAD, &mark[..]).map_err(failed(DOING))?;
        meta.insert(NEXT_HOLD, &batch.next_hold.to_le_bytes()[..])
            .map_err(failed(DOING))?;
        if durable.unindexed.len() + fresh.len() < INDEXED_AT_ONCE {
            batch.unindexed = Some(fresh);
        } else {
            fresh.extend_from_slice(&durable.unindexed);
            fresh.sort_unstable();
            let mut by_account = txn.open_table(BY_ACCOUNT).map_err(failed(DOING))?;
            for (account, number) in &fresh {
                by_account
                    .insert((&**account, *number), ())
                    .map_err(failed(DOING))?;
            }
            meta.insert(INDEXED, &batch.head.to_le_bytes()[..])
                .map_err(failed(DOING))?;
        }
    }
    txn.commit().map_err(failed(DOING))?;
    Ok(batch)
}

/// Holds of this ledger have small numbers.
pub(in crate::cost::ledger::redb) fn short(hold: HoldId) -> u64 {
    u64::try_from(hold.number()).unwrap_or(u64::MAX)
}
