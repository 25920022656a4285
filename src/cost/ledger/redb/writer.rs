//! The one thread that writes: a transaction, and so one fsync, for all that has come meanwhile.

use std::{
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use redb::Database;
use tokio::sync::oneshot;

use super::{
    book::{Ack, Book, Op, Work},
    file::{self, Booking, Durable},
};
use crate::cost::{Currency, Denied, HoldId, StoreError, What};

/// Opens the file, again after it has failed.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, StoreError> + Send>;

/// The open file; none while it cannot be opened. Compacting takes it for itself.
pub(super) type Shelf = Arc<RwLock<Option<Database>>>;

/// Between the beginnings of two transactions, so that a fast disk is not kept busy with small ones.
const PACE: Duration = Duration::from_millis(2);

/// Entries that one transaction prunes at most.
const PRUNED_AT_ONCE: u64 = 1024;

/// Between two tries to open a file that fails, when the ledger is closing.
const LAST_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    pub(super) book: Arc<Book>,
    pub(super) shelf: Shelf,
    pub(super) open: Opener,
    pub(super) durable: Durable,
    pub(super) keep_entries: Option<u64>,
    /// How often a file that fails is tried when the ledger closes meanwhile.
    pub(super) last_tries: u32,
    pub(super) currency: Currency,
}

/// However the thread ends, no hold is given any more.
struct Ended(Arc<Book>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set_failing(true);
    }
}

impl Writer {
    pub(super) fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.book));
        let mut began: Option<Instant> = None;
        while let Some(mut work) = self.book.take() {
            if let Some(rest) = began.and_then(|began| PACE.checked_sub(began.elapsed())) {
                thread::sleep(rest);
                work.extend(self.book.wait(Duration::ZERO).0);
            }
            began = Some(Instant::now());
            self.serve(work);
        }
        if let Some(db) = self
            .shelf
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            drop(db);
        }
    }

    fn serve(&mut self, work: Vec<Work>) {
        let mut batch = Vec::with_capacity(work.len());
        let mut chores = Vec::new();
        for work in work {
            match work {
                Work::Book(op) => batch.push(op),
                chore => chores.push(chore),
            }
        }
        if !batch.is_empty() && !self.keep(batch) {
            // Nobody is told that it is written.
            return;
        }
        for chore in chores {
            match chore {
                Work::Book(_) => {}
                Work::Barrier(done) => drop(done.send(())),
                Work::Prune(keep, done) => drop(done.send(self.prune(keep))),
                Work::Compact(done) => drop(done.send(self.compact())),
            }
        }
        if let Some(keep) = self.keep_entries {
            let kept = self.durable.head - self.durable.anchor.0;
            if kept >= keep.saturating_add(PRUNED_AT_ONCE) {
                if let Err(error) = self.prune_once(PRUNED_AT_ONCE) {
                    report("old entries stay in the ledger's file", &error);
                }
            }
        }
    }

    /// Returns when the batch is in the file; false when it was given up.
    fn keep(&mut self, mut batch: Vec<Op>) -> bool {
        let mut tries = 0;
        loop {
            match self.commit(&batch) {
                Ok(written) => {
                    self.book.set_failing(false);
                    self.finish(batch, written);
                    return true;
                }
                Err(error) => {
                    if !self.book.is_failing() {
                        report("the ledger's file fails: no hold is given", &error);
                    }
                    self.book.set_failing(true);
                    let Some(rest) = self.recover(batch, &mut tries) else {
                        return false;
                    };
                    batch = rest;
                }
            }
        }
    }

    fn commit(&mut self, batch: &[Op]) -> Result<Vec<Option<What>>, StoreError> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let db = shelf.as_ref().ok_or_else(closed)?;
        let bookings = batch.iter().map(|op| Booking {
            account: &op.account.name,
            at: op.at,
            what: &op.what,
        });
        let mut done = file::commit(db, &self.durable, bookings)?;
        let written = std::mem::take(&mut done.written);
        self.durable.absorb(done);
        Ok(written)
    }

    fn finish(&self, batch: Vec<Op>, written: Vec<Option<What>>) {
        let mut freed = 0;
        for (op, written) in batch.into_iter().zip(written) {
            freed += usize::from(op.frees);
            match op.ack {
                Ack::Nobody => {}
                Ack::Hold(done) => drop(done.send(Ok(()))),
                Ack::Grant { first, sender } => {
                    if let (Some(what), false) = (&written, first) {
                        op.account.credit(what);
                    }
                    let _ = sender.send(Ok(written.is_some()));
                }
            }
        }
        self.book.free(freed);
    }

    /// Opens the file anew, finds out whether the batch that failed is in it all the same, and
    /// returns what is still to be written. Whoever waits is told at once that it failed.
    fn recover(&mut self, batch: Vec<Op>, tries: &mut u32) -> Option<Vec<Op>> {
        let mut doubtful = Vec::new();
        let mut rest = Vec::new();
        for mut op in batch {
            match refuse(&mut op) {
                Some(first) => doubtful.push((op, first)),
                None => rest.push(op),
            }
        }
        let certain = rest.len();
        loop {
            *tries += 1;
            let pause = Duration::from_millis(10 << (*tries).min(6));
            let (work, closing) = self.book.wait(pause);
            if closing && self.last_tries > 0 {
                thread::sleep(LAST_PAUSE);
            }
            for work in work {
                match work {
                    Work::Book(mut op) => {
                        match refuse(&mut op) {
                            // It was not tried to be written.
                            Some(first) => op.account.revert(&op.what, first),
                            None => rest.push(op),
                        }
                    }
                    Work::Barrier(done) => {
                        // Who waits for the file to be written waits in vain for now.
                        drop(done);
                    }
                    Work::Prune(_, done) => drop(done.send(Err(closed()))),
                    Work::Compact(done) => drop(done.send(Err(closed()))),
                }
            }
            match self.reopen() {
                Ok(durable) => {
                    let before = (self.durable.head, self.durable.hash);
                    let kept = (durable.head, durable.hash) != before;
                    self.durable = durable;
                    return Some(self.sort(kept, certain, doubtful, rest));
                }
                Err(error) if closing && *tries >= self.last_tries => {
                    report("the ledger's file cannot be written: this is lost", &error);
                    for op in &rest {
                        lost(op);
                    }
                    return None;
                }
                Err(_) => {}
            }
        }
    }

    /// What is to be written after the file has been opened anew.
    fn sort(
        &self,
        kept: bool,
        certain: usize,
        doubtful: Vec<(Op, bool)>,
        mut rest: Vec<Op>,
    ) -> Vec<Op> {
        if !kept {
            for (op, first) in doubtful {
                op.account.revert(&op.what, first);
            }
            return rest;
        }
        // All of the batch is in the file: the ends are booked, refused holds are to be released.
        for op in rest.drain(..certain) {
            self.book.free(usize::from(op.frees));
        }
        let mut releases = Vec::new();
        for (op, first) in doubtful {
            match op.what {
                What::Held { hold, amount } => {
                    op.account.revert(&op.what, false);
                    releases.push(release(op, hold, amount));
                }
                // It is a part of an open hold, and goes with it.
                What::Extended { .. } => {}
                _ if first => {}
                _ => op.account.credit(&op.what),
            }
        }
        releases.extend(rest);
        releases
    }

    fn reopen(&self) -> Result<Durable, StoreError> {
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        // The old one must be gone before the file can be locked again.
        drop(shelf.take());
        let db = (self.open)()?;
        let durable = file::load(&db, self.currency)?;
        *shelf = Some(db);
        Ok(durable)
    }

    fn prune(&mut self, keep: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let kept = self.durable.head - self.durable.anchor.0;
            let most = kept.saturating_sub(keep).min(PRUNED_AT_ONCE);
            if most == 0 {
                return Ok(removed);
            }
            removed += self.prune_once(most)?;
        }
    }

    fn prune_once(&mut self, most: u64) -> Result<u64, StoreError> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        file::prune(shelf.as_ref().ok_or_else(closed)?, &mut self.durable, most)
    }

    fn compact(&self) -> Result<bool, StoreError> {
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        let db = shelf.as_mut().ok_or_else(closed)?;
        db.compact()
            .map_err(|error| StoreError::new("compacting the ledger's file", error))
    }
}

/// Tells whoever waits that it failed. `None` when nobody does; else whether it was the first
/// grant of its account.
fn refuse(op: &mut Op) -> Option<bool> {
    match std::mem::replace(&mut op.ack, Ack::Nobody) {
        Ack::Nobody => None,
        Ack::Hold(done) => {
            let _ = done.send(Err(Denied::Unavailable));
            Some(false)
        }
        Ack::Grant { first, sender } => {
            let _ = sender.send(Err(closed()));
            Some(first)
        }
    }
}

fn release(op: Op, hold: HoldId, held: crate::cost::Amount) -> Op {
    Op {
        what: What::Released { hold, held },
        ack: Ack::Nobody,
        frees: false,
        ..op
    }
}

fn closed() -> StoreError {
    StoreError::plain("writing the ledger's file")
}

fn report(what: &'static str, error: &StoreError) {
    #[cfg(feature = "tracing")]
    {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, source, "{what}");
    }
    let _ = (what, error);
}

fn lost(op: &Op) {
    #[cfg(feature = "tracing")]
    tracing::error!(account = &*op.account.name, what = ?op.what, "not booked");
    let _ = op;
}

/// Waits for an answer of the writer; none comes when its thread is gone.
pub(super) async fn answer<T>(
    receiver: oneshot::Receiver<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    receiver.await.unwrap_or_else(|_| Err(closed()))
}
