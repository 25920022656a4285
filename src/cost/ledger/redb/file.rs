//! The tables of the file, and one transaction for a batch.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::record::{self, FIRST, Hash};
use crate::cost::{
    Amount, Currency, Entry, HoldId, Mismatch, Statement, StoreError, What, ledger::entry::Count,
};

const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");
/// Open holds only.
const HOLDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("holds");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Where each account's entries are, as far as [`INDEXED`] says.
const BY_ACCOUNT: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("by_account");
const REFERENCES: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("references");
/// Statements of what has been pruned.
const ANCHORS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("anchors");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const VERSION: &str = "version";
const HEAD: &str = "head";
const ANCHOR: &str = "anchor";
/// Absent in files that were made before there was a choice: US dollars.
const CURRENCY: &str = "currency";
const NEXT_HOLD: &str = "next hold";
/// The last entry that the index by account has. Absent in files that were made when it had all.
const INDEXED: &str = "indexed";

/// So many entries are written before the index takes them up, together. Each account has its own
/// place there, so that a page would be written for each account of each transaction.
const INDEXED_AT_ONCE: usize = 1024;

/// The layout of the tables. Another one is refused, not guessed at.
const LAYOUT: u64 = 1;

type Result<T> = std::result::Result<T, StoreError>;

fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::new(doing, error.into())
}

/// What the file says, kept beside it by the one that writes it.
pub(super) struct Durable {
    pub(super) head: u64,
    pub(super) hash: Hash,
    /// The number and hash of the last entry that has been pruned.
    pub(super) anchor: (u64, Hash),
    pub(super) next_hold: u64,
    pub(super) statements: HashMap<Arc<str>, Statement>,
    pub(super) holds: BTreeMap<u64, (Arc<str>, Amount)>,
    indexed: u64,
    /// The entries after that, by account.
    unindexed: Vec<(Arc<str>, u64)>,
}

/// Something to be booked.
pub(super) struct Booking<'a> {
    pub(super) account: &'a Arc<str>,
    pub(super) at: SystemTime,
    pub(super) what: &'a What,
}

/// What a batch has changed; of no effect until its transaction is in the file.
pub(super) struct Batch {
    head: u64,
    hash: Hash,
    next_hold: u64,
    statements: HashMap<Arc<str>, Statement>,
    /// `None` has ended.
    holds: HashMap<u64, Option<(Arc<str>, Amount)>>,
    /// Its entries that are not indexed; `None` when all there are have been.
    unindexed: Option<Vec<(Arc<str>, u64)>>,
    /// What became of each booking: what was written, `None` where there was nothing to write.
    pub(super) written: Vec<Option<What>>,
}

/// Makes the tables of a new file, for this currency, and reads those of an old one; one of another
/// currency is refused.
pub(super) fn load(db: &Database, currency: Currency) -> Result<Durable> {
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

fn number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| damaged())?))
}

fn damaged() -> StoreError {
    StoreError::plain("making sense of the ledger's file")
}

impl Durable {
    /// Takes up what is now in the file.
    pub(super) fn absorb(&mut self, batch: Batch) {
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

/// Holds of this ledger have small numbers.
pub(super) fn short(hold: HoldId) -> u64 {
    u64::try_from(hold.number()).unwrap_or(u64::MAX)
}

/// Writes a batch in one transaction: in the file when this returns, whole or not at all.
pub(super) fn commit<'a>(
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

/// Removes the oldest entries, at most so many; what they add up to stays as the anchor.
pub(super) fn prune(db: &Database, durable: &mut Durable, most: u64) -> Result<u64> {
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

/// Entries after a number, oldest first: of one account, or of all.
pub(super) fn entries(
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
pub(super) fn spent_since(db: &Database, since: SystemTime) -> Result<HashMap<Arc<str>, Amount>> {
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

/// Checks all of it against itself: the chain, each account's entries and its open holds.
pub(super) fn reconcile(db: &Database) -> Result<Vec<Mismatch>> {
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
