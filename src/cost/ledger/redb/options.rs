//! How the ledger is opened.

use std::{
    path::PathBuf,
    sync::{Arc, RwLock},
};

use redb::Database;

use super::{
    RedbLedger,
    book::Book,
    file,
    ledger::Handle,
    open::{make, recover},
    writer::{Opener, Shelf, Writer},
};
use crate::cost::{Currency, StoreError};

/// What becomes of a hold that a process has left open when it died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// It is released: the client got an answer that was cut, and it is free.
    #[default]
    Void,
    /// All that it held is charged: the estimate of the most that the request could cost.
    Charge,
}

/// How a [`RedbLedger`] is opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct RedbOptions {
    path: PathBuf,
    recovery: Recovery,
    max_open: usize,
    max_accounts: usize,
    keep_entries: Option<u64>,
    cache_bytes: usize,
    pub(super) last_tries: u32,
    currency: Currency,
}

impl RedbOptions {
    /// The ledger in this file, which is made when it is not there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            recovery: Recovery::Void,
            max_open: 100_000,
            max_accounts: 1_000_000,
            keep_entries: None,
            cache_bytes: 64 << 20,
            last_tries: 20,
            currency: Currency::USD,
        }
    }

    /// What becomes of holds left open by a crash. Default: they are released.
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = recovery;
        self
    }

    /// How many holds may be open at once; whoever comes beyond them is denied as
    /// [`Unavailable`](crate::cost::Denied::Unavailable). Default: 100 000.
    pub fn max_open(mut self, holds: usize) -> Self {
        self.max_open = holds;
        self
    }

    /// How many accounts there may be before callers without a grant share one, named by the empty
    /// text. Grants are never refused. Default: a million.
    pub fn max_accounts(mut self, accounts: usize) -> Self {
        self.max_accounts = accounts;
        self
    }

    /// Prunes the oldest entries when there are more than so many, a thousand at a time. What they
    /// add up to is kept, so that the books can still be reconciled. Default: all are kept.
    pub fn keep_entries(mut self, entries: u64) -> Self {
        self.keep_entries = Some(entries);
        self
    }

    /// Memory for pages of the file, in bytes. Default: 64 MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// What its amounts are of. A file that was made for another currency is refused. Default: US
    /// dollars.
    pub fn currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// Opens the file, ends the holds that a crash has left open, and starts the thread that
    /// writes. Blocks while it reads: after a crash, the whole file.
    ///
    /// # Errors
    /// The file cannot be opened or written, another process has it open, it is no ledger, or one
    /// of another currency.
    pub fn open(self) -> Result<RedbLedger, StoreError> {
        let (path, cache) = (self.path.clone(), self.cache_bytes);
        make(&path, self.currency)
            .map_err(|error| StoreError::new("making the ledger's file", error))?;
        let open = move || {
            Database::builder()
                .set_cache_size(cache)
                .create(&path)
                .map_err(|error| StoreError::new("opening the ledger's file", error))
        };
        self.open_by(Box::new(open))
    }

    pub(super) fn open_by(self, open: Opener) -> Result<RedbLedger, StoreError> {
        let db = open()?;
        let mut durable = file::load(&db, self.currency)?;
        let recovered = recover(&db, &mut durable, self.recovery)?;
        let book = Arc::new(Book::new(&durable, self.max_accounts, self.max_open));
        let shelf: Shelf = Arc::new(RwLock::new(Some(db)));
        let writer = Writer {
            book: Arc::clone(&book),
            shelf: Arc::clone(&shelf),
            open,
            durable,
            keep_entries: self.keep_entries,
            last_tries: self.last_tries,
            currency: self.currency,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::new("starting the ledger's thread", error))?;
        Ok(RedbLedger(Arc::new(Handle {
            book,
            shelf,
            currency: self.currency,
            recovered,
            thread: Some(thread),
        })))
    }
}
