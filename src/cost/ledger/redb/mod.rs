//! A durable ledger in one file of this process.

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, ready},
    thread::JoinHandle,
    time::SystemTime,
};

use redb::Database;
use tokio::sync::oneshot;

use self::{
    book::{Book, Open, Work},
    file::Booking,
    writer::{Opener, Shelf, Writer, answer},
};
use super::{
    Denied, Entry, HoldId, Ledger, Mismatch, Most, Recovered, Statement, StoreError, What,
};
use crate::cost::{Amount, Currency};

mod book;
mod file;
mod record;
#[cfg(test)]
mod tests;
mod writer;

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
    last_tries: u32,
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
    /// [`Unavailable`](Denied::Unavailable). Default: 100 000.
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

    fn open_by(self, open: Opener) -> Result<RedbLedger, StoreError> {
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

/// Makes the file, unless it is there: under another name first, so that a crash meanwhile leaves
/// no half of one under this.
fn make(path: &Path, currency: Currency) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if path.metadata().is_ok_and(|it| it.len() > 0) {
        return Ok(());
    }
    let mut other = path.as_os_str().to_owned();
    other.push(format!(".{}.new", std::process::id()));
    let other = PathBuf::from(other);
    // What a crash of a process with this number has left.
    let _ = std::fs::remove_file(&other);
    let made = (|| {
        let db = Database::create(&other)?;
        file::load(&db, currency)?;
        db.close()?;
        // An empty file may have been put there for us.
        if path.metadata().is_ok_and(|it| it.len() == 0) {
            std::fs::rename(&other, path)?;
        } else if let Err(error) = std::fs::hard_link(&other, path) {
            // Somebody else was faster: theirs is as good.
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                std::fs::rename(&other, path)?;
            }
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    })();
    let _ = std::fs::remove_file(&other);
    made
}

/// Ends what is open in the file.
fn recover(
    db: &Database,
    durable: &mut file::Durable,
    recovery: Recovery,
) -> Result<Vec<Recovered>, StoreError> {
    let at = SystemTime::now();
    let mut ends = Vec::new();
    for (id, (account, held)) in &durable.holds {
        let (hold, held) = (HoldId::new((*id).into()), *held);
        let what = match recovery {
            Recovery::Void => What::Voided { hold, held },
            Recovery::Charge => What::Settled {
                hold,
                held,
                charged: held,
                overrun: Amount::ZERO,
            },
        };
        ends.push((Arc::clone(account), what));
    }
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let bookings = ends
        .iter()
        .map(|(account, what)| Booking { account, at, what });
    let batch = file::commit(db, durable, bookings)?;
    durable.absorb(batch);
    let recovered = ends.into_iter().filter_map(|(account, what)| {
        let (What::Voided { hold, held } | What::Settled { hold, held, .. }) = what else {
            return None;
        };
        let charged = what.charged();
        #[cfg(feature = "tracing")]
        tracing::warn!(account = &*account, %hold, %held, %charged, "ended a hold left open by a crash");
        Some(Recovered {
            hold,
            account,
            held,
            charged,
        })
    });
    Ok(recovered.collect())
}

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
pub struct RedbLedger(Arc<Handle>);

struct Handle {
    book: Arc<Book>,
    shelf: Shelf,
    currency: Currency,
    recovered: Vec<Recovered>,
    thread: Option<JoinHandle<()>>,
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

/// An open hold of a [`RedbLedger`]. Dropping it releases it.
pub struct RedbHold {
    open: Option<Open>,
    /// Keeps the thread that writes: dropped after `open`.
    _ledger: Arc<Handle>,
}

impl RedbHold {
    /// Its name in the entries.
    #[must_use]
    pub fn id(&self) -> HoldId {
        self.open.as_ref().map_or(HoldId::new(0), |open| open.id)
    }

    /// What it holds; nothing once it was settled by its id.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.open.as_ref().map(Open::amount).unwrap_or_default()
    }
}

impl fmt::Debug for RedbHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbHold")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

type Written = oneshot::Receiver<Result<(), Denied>>;

/// The hold of a [`RedbLedger`] on its way into the file. Dropped before, it is released.
#[derive(Debug)]
pub struct RedbHolding {
    hold: Option<Result<RedbHold, Denied>>,
    written: Option<Written>,
}

impl Future for RedbHolding {
    type Output = Result<RedbHold, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = match &mut self.written {
            None => Ok(()),
            Some(written) => ready!(written_by(written, cx)),
        };
        self.written = None;
        let hold = self.hold.take().expect("polled after completion");
        Poll::Ready(match (hold, written) {
            (Ok(mut hold), Err(denied)) => {
                if let Some(open) = hold.open.take() {
                    open.fail();
                }
                Err(denied)
            }
            (hold, _) => hold,
        })
    }
}

/// An extension of a hold of a [`RedbLedger`] on its way into the file.
#[derive(Debug)]
pub struct RedbExtending(Result<Option<Written>, Denied>);

impl Future for RedbExtending {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Err(denied) => Poll::Ready(Err(*denied)),
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(written)) => written_by(written, cx),
        }
    }
}

fn written_by(written: &mut Written, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
    let written = ready!(Pin::new(written).poll(cx));
    Poll::Ready(written.unwrap_or(Err(Denied::Unavailable)))
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
