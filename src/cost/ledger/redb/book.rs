//! The accounts in memory, where holds and charges are decided, and the queue of what is to be written.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use dashmap::DashMap;
use tokio::sync::oneshot;

use super::file::{Durable, short};
use crate::cost::{Amount, Denied, HoldId, Most, Statement, StoreError, What};

pub(super) type Granted = Result<bool, StoreError>;

/// Who waits for a booking.
pub(super) enum Ack {
    Nobody,
    /// A hold or an extension: it is in memory already.
    Hold(oneshot::Sender<Result<(), Denied>>),
    /// A grant: it comes into memory once it is in the file; the first one of an account has.
    Grant {
        first: bool,
        sender: oneshot::Sender<Granted>,
    },
}

/// Something to be booked.
pub(super) struct Op {
    pub(super) account: Arc<Account>,
    pub(super) at: SystemTime,
    pub(super) what: What,
    pub(super) ack: Ack,
    /// Whether the place of a hold is free again once this is in the file.
    pub(super) frees: bool,
}

/// What the writer is asked to do.
pub(super) enum Work {
    Book(Op),
    /// To say when all before it is in the file.
    Barrier(oneshot::Sender<()>),
    Prune(u64, oneshot::Sender<Result<u64, StoreError>>),
    Compact(oneshot::Sender<Result<bool, StoreError>>),
}

pub(super) struct Account {
    pub(super) name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    statement: Statement,
    open: HashMap<u64, Amount>,
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back what is not in the file: a hold, a part of one, an account's first grant.
    pub(super) fn revert(&self, what: &What, first: bool) {
        if let (What::Granted { .. }, true) = (what, first) {
            self.lock().statement.granted = None;
        }
        if let What::Held { hold, amount } | What::Extended { hold, amount } = *what {
            let state = &mut *self.lock();
            // One that has ended meanwhile has given back all of it.
            if let Some(held) = state.open.get_mut(&short(hold)) {
                *held = held.minus(amount);
                state.statement.held = state.statement.held.minus(amount);
                if matches!(what, What::Held { .. }) {
                    state.open.remove(&short(hold));
                }
            }
        }
    }

    /// Takes up what is in the file.
    pub(super) fn credit(&self, what: &What) {
        self.lock().statement.apply(what);
    }
}

pub(super) struct Book {
    accounts: DashMap<Arc<str>, Arc<Account>>,
    max_accounts: usize,
    next_hold: AtomicU64,
    /// Holds whose end is not in the file yet: each has a place in the queue.
    open: AtomicUsize,
    max_open: usize,
    /// The file cannot be written: no hold is given.
    failing: AtomicBool,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    work: Vec<Work>,
    closing: bool,
}

impl Book {
    pub(super) fn new(durable: &Durable, max_accounts: usize, max_open: usize) -> Self {
        let accounts = DashMap::new();
        for (name, statement) in &durable.statements {
            let state = State {
                statement: *statement,
                open: HashMap::new(),
            };
            let account = Account {
                name: Arc::clone(name),
                state: Mutex::new(state),
            };
            accounts.insert(Arc::clone(name), Arc::new(account));
        }
        Self {
            accounts,
            max_accounts,
            next_hold: AtomicU64::new(durable.next_hold),
            open: AtomicUsize::new(0),
            max_open,
            failing: AtomicBool::new(false),
            queue: Mutex::default(),
            more: Condvar::new(),
        }
    }

    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    pub(super) fn statement(&self, account: &str) -> Statement {
        let account = self.accounts.get(account).map(|it| Arc::clone(&it));
        account.map(|it| it.lock().statement).unwrap_or_default()
    }

    fn account(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.accounts.get(name) {
            return Arc::clone(&account);
        }
        let name: Arc<str> = Arc::from(name);
        let make = || {
            Arc::new(Account {
                name: Arc::clone(&name),
                state: Mutex::default(),
            })
        };
        Arc::clone(&self.accounts.entry(Arc::clone(&name)).or_insert_with(make))
    }

    /// Whose account a caller's holds are on.
    fn of_caller(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.accounts.get(name) {
            return Arc::clone(&account);
        }
        let full = self.accounts.len() >= self.max_accounts;
        self.account(if full { "" } else { name })
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Release);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Opens a hold, in memory now, in the file when the receiver says so. No receiver: there is
    /// nothing to be written.
    #[expect(clippy::type_complexity, reason = "named by its only caller")]
    pub(super) fn hold(
        self: &Arc<Self>,
        account: &str,
        most: Most,
    ) -> Result<(Open, Option<oneshot::Receiver<Result<(), Denied>>>), Denied> {
        if self.is_failing() {
            return Err(Denied::Unavailable);
        }
        let place = |open: usize| (open < self.max_open).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, place)
            .map_err(|_| Denied::Unavailable)?;
        // Its drop gives the place back when the account has too little.
        let mut open = Open {
            id: HoldId::new(self.next_hold.fetch_add(1, Ordering::Relaxed).into()),
            account: self.of_caller(account),
            book: Arc::clone(self),
            entered: false,
            ended: false,
        };
        let account = Arc::clone(&open.account);
        let mut state = account.lock();
        let amount = state.statement.allows(most)?;
        if amount == Amount::ZERO {
            drop(state);
            return Ok((open, None));
        }
        let receiver = open.enter(&mut state, |hold| What::Held { hold, amount }, amount);
        drop(state);
        Ok((open, Some(receiver)))
    }

    /// Credits an account once for a reference.
    pub(super) fn grant(
        &self,
        account: &str,
        amount: Amount,
        reference: &str,
    ) -> oneshot::Receiver<Granted> {
        let (sender, receiver) = oneshot::channel();
        let account = self.account(account);
        let mut state = account.lock();
        let first = state.statement.granted.is_none();
        let what = What::Granted {
            amount,
            used: state.statement.used(),
            reference: reference.into(),
        };
        if first {
            // The limit holds from now on: what is held after it must be within it. Nothing has
            // this reference yet, so it will be booked.
            state.statement.apply(&what);
        }
        self.book(&account, what, Ack::Grant { first, sender }, false);
        drop(state);
        receiver
    }

    /// Settles an open hold that somebody else has; `None` when it has ended before.
    pub(super) fn settle(&self, account: &str, hold: HoldId, charge: Amount) -> Option<Amount> {
        let account = self.accounts.get(account).map(|it| Arc::clone(&it))?;
        let mut state = account.lock();
        let held = state.open.remove(&short(hold))?;
        let what = state.statement.end(hold, held, charge);
        let charged = what.charged();
        what.log_overrun(&account.name);
        state.statement.apply(&what);
        // The place is freed by whoever has the hold.
        self.book(&account, what, Ack::Nobody, false);
        Some(charged)
    }

    /// Queues a booking; with the account locked, so that the file has its entries in order.
    fn book(&self, account: &Arc<Account>, what: What, ack: Ack, frees: bool) {
        self.push(Work::Book(Op {
            account: Arc::clone(account),
            at: SystemTime::now(),
            what,
            ack,
            frees,
        }));
    }

    pub(super) fn push(&self, work: Work) {
        let mut queue = self.queue();
        let sleeping = queue.work.is_empty();
        queue.work.push(work);
        drop(queue);
        if sleeping {
            self.more.notify_one();
        }
    }

    /// Frees the places of so many holds.
    pub(super) fn free(&self, places: usize) {
        self.open.fetch_sub(places, Ordering::AcqRel);
    }

    /// All that is queued; waits for it. `None` when no more will come.
    pub(super) fn take(&self) -> Option<Vec<Work>> {
        let mut queue = self.queue();
        while queue.work.is_empty() {
            if queue.closing {
                return None;
            }
            queue = self
                .more
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut queue.work))
    }

    /// All that is queued now; waits so long, or until the ledger closes, for which it says true.
    pub(super) fn wait(&self, time: Duration) -> (Vec<Work>, bool) {
        let queue = self.queue();
        let (mut queue, _) = self
            .more
            .wait_timeout_while(queue, time, |queue| !queue.closing)
            .unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut queue.work), queue.closing)
    }

    pub(super) fn close(&self) {
        self.queue().closing = true;
        self.more.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold that is open. Dropping it releases it.
pub(super) struct Open {
    pub(super) id: HoldId,
    account: Arc<Account>,
    book: Arc<Book>,
    /// Whether it is among the account's open holds; one of nothing is not.
    entered: bool,
    ended: bool,
}

impl Open {
    fn enter(
        &mut self,
        state: &mut State,
        what: impl FnOnce(HoldId) -> What,
        amount: Amount,
    ) -> oneshot::Receiver<Result<(), Denied>> {
        let what = what(self.id);
        state.statement.apply(&what);
        let held = state.open.entry(short(self.id)).or_default();
        *held = held.plus(amount);
        self.entered = true;
        let (sender, receiver) = oneshot::channel();
        self.book
            .book(&self.account, what, Ack::Hold(sender), false);
        receiver
    }

    /// What it has; nothing once it has been settled by its id.
    pub(super) fn amount(&self) -> Amount {
        let state = self.account.lock();
        state.open.get(&short(self.id)).copied().unwrap_or_default()
    }

    pub(super) fn extend(
        &mut self,
        by: Amount,
    ) -> Result<Option<oneshot::Receiver<Result<(), Denied>>>, Denied> {
        if self.book.is_failing() {
            return Err(Denied::Unavailable);
        }
        let account = Arc::clone(&self.account);
        let mut state = account.lock();
        if self.entered && !state.open.contains_key(&short(self.id)) {
            // Settled by its id, or lost with the file: there is nothing to extend.
            return Err(Denied::Unavailable);
        }
        let amount = state.statement.allows(Most::Amount(by))?;
        if amount == Amount::ZERO {
            return Ok(None);
        }
        let what = |hold| What::Extended { hold, amount };
        let receiver = self.enter(&mut state, what, amount);
        drop(state);
        Ok(Some(receiver))
    }

    pub(super) fn settle(mut self, charge: Amount) -> Amount {
        self.ended = true;
        let mut state = self.account.lock();
        let held = state.open.remove(&short(self.id));
        if self.entered && held.is_none() {
            // Settled before, by its id.
            drop(state);
            self.book.free(1);
            return Amount::ZERO;
        }
        let what = state
            .statement
            .end(self.id, held.unwrap_or_default(), charge);
        let charged = what.charged();
        what.log_overrun(&self.account.name);
        state.statement.apply(&what);
        self.book.book(&self.account, what, Ack::Nobody, true);
        charged
    }

    /// It was not written: nothing is held, only its place is given back.
    pub(super) fn fail(mut self) {
        self.ended = true;
        self.book.free(1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.account.lock();
        let Some(held) = state.open.remove(&short(self.id)) else {
            drop(state);
            self.book.free(1);
            return;
        };
        let hold = self.id;
        let what = What::Released { hold, held };
        state.statement.apply(&what);
        self.book.book(&self.account, what, Ack::Nobody, true);
    }
}
