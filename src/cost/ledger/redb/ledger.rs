//! The ledger itself: decided by the book, written by the thread.

use std::{
    fmt,
    path::Path,
    sync::{Arc, PoisonError},
    thread::JoinHandle,
    time::SystemTime,
};

use redb::Database;
use tokio::sync::oneshot;

use super::{
    RedbExtending, RedbHold, RedbHolding, RedbOptions,
    book::{Book, Work},
    file, record,
    writer::{Shelf, answer},
};
use crate::cost::{
    Amount, Currency, Denied, Entry, HoldId, Ledger, Mismatch, Most, Recovered, Statement,
    StoreError,
};

/// A durable ledger in one file. Clones share it.
///
/// Holds and charges are decided in memory and written by one thread, many in a transaction: one
/// fsync serves them all. A hold is given when it is in the file; a charge is in the file some
/// milliseconds after it was settled, [`flush`](Self::flush) waits for that. Entries are only ever
/// appended, each bound to the one before by SHA-256; [`reconcile`](Self::reconcile) checks them.
///
/// While the file cannot be written no hold is given ([`Denied::Unavailable`]), what is to be
/// charged waits, and the file is opened anew until it can be written again.
///
/// Dropping the last clone, and the last hold, writes what is queued, and blocks for it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use tower_completions::cost::{Ledger, RedbLedger, Amount};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("ledger.redb");
/// let ledger = RedbLedger::open(&path)?;
/// ledger.grant("acme", "5.00".parse()?, "invoice 17").await?;
/// let hold = ledger.hold("acme", Amount::from_pico(900).into()).await?;
/// ledger.settle(hold, Amount::from_pico(300));
/// ledger.flush().await?;
///
/// drop(ledger);
/// let again = RedbLedger::open(&path)?;
/// assert_eq!(again.statement("acme").spent, Amount::from_pico(300));
/// assert!(again.reconcile()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).map_err(|error| error.to_string())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedbLedger(pub(super) Arc<Handle>);

pub(super) struct Handle {
    pub(super) book: Arc<Book>,
    pub(super) shelf: Shelf,
    pub(super) currency: Currency,
    pub(super) recovered: Vec<Recovered>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.book.close();
        if let Some(thread) = self.thread.take() {
            // A panic there was its own end: every hold was denied since.
            let _ = thread.join();
        }
    }
}

impl RedbLedger {
    /// Opens the file, or makes it, as [`RedbOptions`] say by default.
    ///
    /// # Errors
    /// See [`RedbOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        RedbOptions::new(path.as_ref()).open()
    }

    /// The holds that were found open, and what became of them.
    #[must_use]
    pub fn recovered(&self) -> &[Recovered] {
        &self.0.recovered
    }

    /// Credits an account once for each reference, and thereby limits one that was not; whether
    /// that was now. In the file when it returns. Dropped before, it may be booked or not; asking
    /// again with the same reference is safe.
    ///
    /// # Errors
    /// The file cannot be written, a text is longer than 1 KiB, or the amount is below zero.
    pub async fn grant(
        &self,
        account: &str,
        amount: Amount,
        reference: &str,
    ) -> Result<bool, StoreError> {
        let longest = account.len().max(reference.len());
        if longest > record::MOST_TEXT || amount < Amount::ZERO {
            return Err(StoreError::plain(
                "granting less than nothing, or by too long a name,",
            ));
        }
        let done = self.0.book.grant(account, amount, reference);
        answer(done).await
    }

    /// What an account has and has had, with what is decided but not in the file yet.
    #[must_use]
    pub fn statement(&self, account: &str) -> Statement {
        self.0.book.statement(account)
    }

    /// Settles an open hold by its id: what was charged, or `None` when it has ended before. The
    /// hold itself charges nothing when it is settled later.
    pub fn settle_id(&self, account: &str, hold: HoldId, charge: Amount) -> Option<Amount> {
        self.0.book.settle(account, hold, charge)
    }

    /// At most `most` entries in the file whose number is above `after`, oldest first. Blocks while
    /// it reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self, after: u64, most: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| file::entries(db, None, after, most))
    }

    /// As [`entries`](Self::entries), of one account.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries_of(
        &self,
        account: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(|db| file::entries(db, Some(account), after, most))
    }

    /// What each account has used since a moment, charged or not: by the entries in the file, for
    /// holds that were taken since then and have ended. For [`Budgets`](crate::cost::Budgets) after a
    /// restart. Reads no further back than that, and blocks while it reads. What has been pruned
    /// does not count.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spent_since(&self, since: SystemTime) -> Result<Vec<(Arc<str>, Amount)>, StoreError> {
        let spent = self.read(|db| file::spent_since(db, since))?;
        Ok(spent.into_iter().collect())
    }

    /// Checks the file against itself: the chain of entries, what each account's entries add up to,
    /// its open holds. Empty when all agree. Reads all of it, and blocks for that.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn reconcile(&self) -> Result<Vec<Mismatch>, StoreError> {
        self.read(file::reconcile)
    }

    /// Ends when all that was settled, released or granted before is in the file.
    ///
    /// # Errors
    /// The file cannot be written: what is open waits for it still.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.0.book.push(Work::Barrier(sender));
        receiver
            .await
            .map_err(|_| StoreError::plain("writing the ledger's file"))
    }

    /// Removes all but the latest `keep` entries; how many went. What they add up to is kept.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn prune(&self, keep: u64) -> Result<u64, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.0.book.push(Work::Prune(keep, sender));
        answer(receiver).await
    }

    /// Gives unused space back to the file system; whether there was any. Holds wait meanwhile: a
    /// chore for a quiet hour.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn compact(&self) -> Result<bool, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.0.book.push(Work::Compact(sender));
        answer(receiver).await
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let shelf = self.0.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || StoreError::plain("reading the ledger's file");
        read(shelf.as_ref().ok_or_else(closed)?)
    }
}

impl fmt::Debug for RedbLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbLedger")
            .field("accounts", &self.0.book.accounts())
            .finish_non_exhaustive()
    }
}

impl Ledger for RedbLedger {
    type Hold = RedbHold;
    type Future = RedbHolding;
    type Extending = RedbExtending;

    fn currency(&self) -> Currency {
        self.0.currency
    }

    fn hold(&self, account: &str, most: Most) -> RedbHolding {
        let longest = record::MOST_TEXT;
        let hold = if account.len() > longest {
            Err(Denied::Unavailable)
        } else {
            self.0.book.hold(account, most)
        };
        let (hold, written) = match hold {
            Ok((open, written)) => {
                let hold = RedbHold {
                    open: Some(open),
                    _ledger: Arc::clone(&self.0),
                };
                (Ok(hold), written)
            }
            Err(denied) => (Err(denied), None),
        };
        RedbHolding {
            hold: Some(hold),
            written,
        }
    }

    fn extend(&self, hold: &mut RedbHold, by: Amount) -> RedbExtending {
        let open = hold.open.as_mut().ok_or(Denied::Unavailable);
        RedbExtending(open.and_then(|open| open.extend(by)))
    }

    fn settle(&self, mut hold: RedbHold, charge: Amount) -> Amount {
        hold.open
            .take()
            .map(|open| open.settle(charge))
            .unwrap_or_default()
    }
}
