//! What the file says, read once and kept beside it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use redb::{Database, ReadableTable};

use super::{
    super::record::{self, FIRST, Hash},
    batch::Batch,
    table::{
        ACCOUNTS, ANCHOR, ANCHORS, BY_ACCOUNT, CURRENCY, ENTRIES, HEAD, HOLDS, INDEXED, META,
        NEXT_HOLD, REFERENCES, Result, VERSION, damaged, failed, number,
    },
};
use crate::cost::{Amount, Currency, Statement, StoreError};

/// The layout of the tables. Another one is refused, not guessed at.
const LAYOUT: u64 = 1;

/// What the file says, kept beside it by the one that writes it.
pub(in crate::cost::ledger::redb) struct Durable {
    pub(in crate::cost::ledger::redb) head: u64,
    pub(in crate::cost::ledger::redb) hash: Hash,
    /// The number and hash of the last entry that has been pruned.
    pub(in crate::cost::ledger::redb) anchor: (u64, Hash),
    pub(in crate::cost::ledger::redb) next_hold: u64,
    pub(in crate::cost::ledger::redb) statements: HashMap<Arc<str>, Statement>,
    pub(in crate::cost::ledger::redb) holds: BTreeMap<u64, (Arc<str>, Amount)>,
    pub(super) indexed: u64,
    /// The entries after that, by account.
    pub(super) unindexed: Vec<(Arc<str>, u64)>,
}

impl Durable {
    /// Takes up what is now in the file.
    pub(in crate::cost::ledger::redb) fn absorb(&mut self, batch: Batch) {
        (self.head, self.hash) = (batch.head, batch.hash);
        self.next_hold = batch.next_hold;
        self.statements.extend(batch.statements);
        match batch.unindexed {
            Some(more) => self.unindexed.extend(more),
            None => {
                self.unindexed.clear();
                self.indexed = batch.head;
            }
        }
        for (id, hold) in batch.holds {
            match hold {
                Some(hold) => self.holds.insert(id, hold),
                None => self.holds.remove(&id),
            };
        }
    }
}

/// Makes the tables of a new file, for this currency, and reads those of an old one; one of another
/// currency is refused.
pub(in crate::cost::ledger::redb) fn load(db: &Database, currency: Currency) -> Result<Durable> {
    const DOING: &str = "reading the ledger's file";
    let txn = db.begin_write().map_err(failed(DOING))?;
    let durable = {
        let mut meta = txn.open_table(META).map_err(failed(DOING))?;
        let version = meta
            .get(VERSION)
            .map_err(failed(DOING))?
            .map(|it| it.value().to_vec());
        match version {
            None => {
                meta.insert(VERSION, &LAYOUT.to_le_bytes()[..])
                    .map_err(failed(DOING))?;
                meta.insert(CURRENCY, currency.code().as_bytes())
                    .map_err(failed(DOING))?;
            }
            Some(version) if version == LAYOUT.to_le_bytes() => {}
            Some(_) => return Err(StoreError::plain("reading a ledger of another layout")),
        }
        let kept = meta.get(CURRENCY).map_err(failed(DOING))?;
        let kept = kept.map_or_else(|| b"USD".to_vec(), |it| it.value().to_vec());
        if kept != currency.code().as_bytes() {
            return Err(StoreError::plain("opening a ledger of another currency"));
        }
        let mark = |key| -> Result<(u64, Hash)> {
            let bytes = meta.get(key).map_err(failed(DOING))?;
            bytes.map_or(Ok((0, FIRST)), |it| {
                record::read_mark(it.value()).ok_or_else(damaged)
            })
        };
        let (head, hash) = mark(HEAD)?;
        let anchor = mark(ANCHOR)?;
        let next_hold = match meta.get(NEXT_HOLD).map_err(failed(DOING))? {
            None => 1,
            Some(bytes) => number(bytes.value())?,
        };
        let mut statements = HashMap::new();
        let accounts = txn.open_table(ACCOUNTS).map_err(failed(DOING))?;
        for row in accounts.iter().map_err(failed(DOING))? {
            let (name, bytes) = row.map_err(failed(DOING))?;
            let statement = record::read_statement(bytes.value()).ok_or_else(damaged)?;
            statements.insert(Arc::from(name.value()), statement);
        }
        let mut holds = BTreeMap::new();
        let table = txn.open_table(HOLDS).map_err(failed(DOING))?;
        for row in table.iter().map_err(failed(DOING))? {
            let (id, bytes) = row.map_err(failed(DOING))?;
            let (account, amount) = record::read_hold(bytes.value()).ok_or_else(damaged)?;
            holds.insert(id.value(), (Arc::from(account), amount));
        }
        let indexed = match meta.get(INDEXED).map_err(failed(DOING))? {
            Some(bytes) => Some(number(bytes.value())?),
            None => None,
        };
        let indexed = match indexed {
            Some(indexed) => indexed,
            None => {
                meta.insert(INDEXED, &head.to_le_bytes()[..])
                    .map_err(failed(DOING))?;
                head
            }
        };
        let mut unindexed = Vec::new();
        let entries = txn.open_table(ENTRIES).map_err(failed(DOING))?;
        for row in entries.range(indexed + 1..).map_err(failed(DOING))? {
            let (number, bytes) = row.map_err(failed(DOING))?;
            let (entry, _, _) = record::read(number.value(), bytes.value()).ok_or_else(damaged)?;
            unindexed.push((entry.account, entry.number));
        }
        txn.open_table(BY_ACCOUNT).map_err(failed(DOING))?;
        txn.open_table(REFERENCES).map_err(failed(DOING))?;
        txn.open_table(ANCHORS).map_err(failed(DOING))?;
        Durable {
            head,
            hash,
            anchor,
            next_hold,
            statements,
            holds,
            indexed,
            unindexed,
        }
    };
    txn.commit().map_err(failed(DOING))?;
    Ok(durable)
}
