use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use super::{
    line::{Line, Place, Places, Turn, Woken},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use crate::{
    error::Error,
    limit::{
        Ask, Decision, Demand, Hold, Key, Limit, Refusal, Report, Retry, Store, Unit, Weights,
    },
    time::{DefaultTimer, Timer, after},
};

/// A slot that another node frees is not told here: this is how often to look.
const LOOK: Duration = Duration::from_millis(100);

/// A store whose requests wait for their limits, where that helps, instead of being refused.
///
/// Callers wait in line by the key of the first rule that concerns them: oldest first within a key,
/// and between keys in turns, weighted by [`weight`](Self::weight), as far as they wait for the same
/// limit; nobody waits behind a limit that is not its own. A request is refused when the line of its
/// key is full, when it would have to wait beyond its deadline, or when it can never fit. In
/// [`Mode::Shadow`](super::super::Mode::Shadow) nothing waits.
///
/// A waiting request has taken nothing. Dropped at any time, it leaves the line.
///
/// ```
/// use std::time::Duration;
/// use tower_completions::limit::{Limiter, Memory, Queue, RateLimitLayer};
///
/// let store = Queue::new(Memory::new()).timeout(Duration::from_secs(10)).length(32);
/// let layer = RateLimitLayer::new(Limiter::with_store(store));
/// ```
#[derive(Clone)]
pub struct Queue<St, T = DefaultTimer> {
    store: St,
    timer: T,
    timeout: Duration,
    length: usize,
    total: usize,
    weight: Arc<dyn Fn(&Key) -> u32 + Send + Sync>,
    shared: Arc<Shared>,
}

/// What all clones share.
///
/// Whoever frees a place looks at `waiting` afterwards, whoever is refused writes it and then tries
/// once more: whichever of the two asks the store first, the other sees what it did before. So nobody
/// falls asleep beside a free place (the model of `modelled` shows it), and the stores behind it need
/// only be consistent with themselves.
#[derive(Default)]
struct Shared {
    line: Mutex<Line>,
    /// How many wait: nobody locks an empty line.
    waiting: AtomicUsize,
    waited: AtomicU64,
    expired: AtomicU64,
    full: AtomicU64,
}

/// What became of requests in a [`Queue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Requests that wait now.
    pub waiting: usize,
    /// Requests that have waited and were admitted.
    pub waited: u64,
    /// Requests that were refused at their deadline, or at once because they would have missed it.
    pub expired: u64,
    /// Requests that were refused because the line was full.
    pub full: u64,
}

impl<St> Queue<St> {
    /// In front of a store, on the default timer.
    pub fn new(store: St) -> Self {
        Self::with_timer(store, DefaultTimer::default())
    }
}

impl<St, T> Queue<St, T> {
    /// In front of a store, on a clock of your own.
    pub fn with_timer(store: St, timer: T) -> Self {
        Self {
            store,
            timer,
            timeout: Duration::from_secs(30),
            length: 100,
            total: 10_000,
            weight: Arc::new(|_| 1),
            shared: Arc::default(),
        }
    }

    /// How long a request waits at most. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests of one key wait at most. Default: 100.
    #[must_use]
    pub fn length(mut self, requests: usize) -> Self {
        self.length = requests;
        self
    }

    /// How many requests of all keys wait at most. Default: 10 000.
    #[must_use]
    pub fn total(mut self, requests: usize) -> Self {
        self.total = requests;
        self
    }

    /// How much of what several keys wait for each gets, beside the others'; zero counts as one.
    /// Called with the line locked: it must not block. Default: one for each.
    #[must_use]
    pub fn weight(mut self, weight: impl Fn(&Key) -> u32 + Send + Sync + 'static) -> Self {
        self.weight = Arc::new(weight);
        self
    }

    /// Whether somebody is at the line just now.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        self.shared.line.try_lock().is_err()
    }

    /// The store behind it.
    pub fn store(&self) -> &St {
        &self.store
    }

    /// What has become of requests so far.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        QueueStats {
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            waited: of(&self.shared.waited),
            expired: of(&self.shared.expired),
            full: of(&self.shared.full),
        }
    }
}

impl<St: fmt::Debug, T> fmt::Debug for Queue<St, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.store)
            .field("timeout", &self.timeout)
            .field("length", &self.length)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Does something with the line, then wakes whose turn has come.
    fn with<R>(&self, change: impl FnOnce(&mut Line) -> (R, Woken)) -> R {
        let (result, woken) = {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let done = change(&mut line);
            self.waiting.store(line.waiting(), Ordering::SeqCst);
            done
        };
        for waker in woken {
            waker.wake();
        }
        result
    }

    fn freed(&self, places: &[Place]) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.with(|line| ((), line.freed(places)));
        }
    }
}

/// A place in line, left when dropped.
struct Ticket {
    lane: Place,
    id: u64,
    shared: Arc<Shared>,
    served: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _waker = self
            .shared
            .with(|line| line.leave(&self.lane, self.id, self.served));
    }
}

impl<St, T> Queue<St, T> {
    /// A place in line; `None` when there is none left.
    fn join(&self, ask: &Ask) -> Result<Ticket, Option<Box<Refusal>>> {
        let places = places(ask);
        let lane = places
            .first()
            .map_or_else(|| place(&ask.demands[0], ask), Place::clone);
        let cost = cost(&ask.weights);
        self.shared.with(|line| {
            if line.waiting() >= self.total || line.waiting_under(&lane) >= self.length {
                return (Err(line.told(&lane).map(Box::new)), Woken::new());
            }
            let weight = (self.weight)(&lane.1);
            let (id, woken) = line.join(lane.clone(), places, cost, weight);
            let ticket = Ticket {
                lane,
                id,
                shared: Arc::clone(&self.shared),
                served: false,
            };
            (Ok(ticket), woken)
        })
    }
}

/// Where a request is limited.
fn places(ask: &Ask) -> Places {
    let limited = |it: &&Demand| {
        let limits = &it.limits;
        let slots = limits.concurrent().is_some() && ask.weights.slot();
        let asked = |limit: &Limit| ask.weights.get(limit.unit).is_some();
        slots || limits.list().iter().any(asked)
    };
    let place = |it| place(it, ask);
    ask.demands.iter().filter(limited).map(place).collect()
}

fn place(demand: &Demand, ask: &Ask) -> Place {
    let rule = Arc::clone(&demand.rule);
    (rule, demand.key.clone(), ask.weights.class())
}

/// What a request takes, as turns between keys count it: its tokens, or one.
fn cost(weights: &Weights) -> u64 {
    let of = |unit| weights.get(unit).unwrap_or(0);
    of(Unit::Tokens)
        .max(of(Unit::InputTokens).saturating_add(of(Unit::OutputTokens)))
        .max(1)
}

impl<St: Store, T: Timer> Store for Queue<St, T> {
    type Hold = QueueHold<St::Hold>;
    type Take = QueueTake<St, T>;

    fn take(&self, ask: Ask) -> Self::Take {
        QueueTake {
            deadline: after(self.timer.now(), self.timeout),
            queue: self.clone(),
            take: None,
            ask,
            begun: false,
            ticket: None,
            sleep: None,
            refusal: None,
        }
    }
}

pin_project! {
    #[project = TakeProj]
    /// A decision of [`Queue`], which may take until its deadline. Dropped, it leaves the line.
    pub struct QueueTake<St: Store, T: Timer> {
        #[pin]
        take: Option<St::Take>,
        queue: Queue<St, T>,
        ask: Ask,
        begun: bool,
        ticket: Option<Ticket>,
        sleep: Option<Pin<Box<T::Sleep>>>,
        refusal: Option<Refusal>,
        deadline: Instant,
    }
}

impl<St: Store, T: Timer> Future for QueueTake<St, T> {
    type Output = Result<Decision<QueueHold<St::Hold>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !mem::replace(this.begun, true) {
            if let Err(refusal) = this.begin() {
                return Poll::Ready(Ok(Decision::Refused(*refusal)));
            }
        }
        loop {
            if let Some(take) = this.take.as_mut().as_pin_mut() {
                let decision = ready!(take.poll(cx));
                this.take.set(None);
                match decision? {
                    Decision::Admitted(hold, report) => {
                        let hold = this.admitted(hold);
                        return Poll::Ready(Ok(Decision::Admitted(hold, report)));
                    }
                    Decision::Refused(refusal) => {
                        if let Err(refusal) = this.refused(Box::new(refusal)) {
                            return Poll::Ready(Ok(Decision::Refused(*refusal)));
                        }
                    }
                }
            }
            if let Err(refusal) = ready!(this.poll_turn(cx)) {
                return Poll::Ready(Ok(Decision::Refused(*refusal)));
            }
        }
    }
}

impl<St: Store, T: Timer> TakeProj<'_, St, T> {
    /// Whether it may wait at all.
    fn waits(&self) -> bool {
        // Without a timer nobody could be told that the deadline is over.
        self.ask.wait
            && !self.ask.peek
            && !self.ask.demands.is_empty()
            && self.queue.timer.can_wait()
    }

    /// Asks the store, or stands in line behind those that wait.
    ///
    /// # Errors
    /// There is no place left in line.
    fn begin(&mut self) -> Result<(), Box<Refusal>> {
        let others = self.queue.shared.waiting.load(Ordering::SeqCst) > 0;
        if others && self.waits() && !places(self.ask).is_empty() {
            let joined = self.queue.join(self.ask);
            let ticket = joined.map_err(|told| self.full(told))?;
            *self.ticket = Some(ticket);
        } else {
            self.ask_store();
        }
        Ok(())
    }

    fn ask_store(&mut self) {
        let take = self.queue.store.take(self.ask.clone());
        self.take.set(Some(take));
    }

    fn admitted(&mut self, hold: St::Hold) -> QueueHold<St::Hold> {
        let shared = &self.queue.shared;
        if let Some(mut ticket) = self.ticket.take() {
            ticket.served = true;
            shared.waited.fetch_add(1, Ordering::Relaxed);
        }
        QueueHold {
            hold: Some(hold),
            places: places(self.ask),
            shared: Arc::clone(shared),
        }
    }

    /// Waits in line for what the store has refused.
    ///
    /// # Errors
    /// To wait does not help, or not in time, or there is no place left in line.
    fn refused(&mut self, refusal: Box<Refusal>) -> Result<(), Box<Refusal>> {
        let (queue, deadline) = (&*self.queue, *self.deadline);
        let now = queue.timer.now();
        let wake = match refusal.retry {
            Retry::After(wait) => after(now, wait),
            Retry::Release => after(now, LOOK).min(deadline),
            Retry::Never => return Err(refusal),
        };
        if !self.waits() {
            return Err(refusal);
        }
        if wake > deadline || now >= deadline {
            queue.shared.expired.fetch_add(1, Ordering::Relaxed);
            *self.ticket = None;
            return Err(refusal);
        }
        match self.ticket {
            // Tries once more from the line: what came free before it stood there, nobody told it.
            None => match queue.join(self.ask) {
                Ok(ticket) => *self.ticket = Some(ticket),
                Err(_) => return Err(self.full(Some(refusal))),
            },
            Some(Ticket { lane, id, .. }) => {
                let on = blocked_on(self.ask, &refusal);
                let told = (*refusal).clone();
                let shared = &queue.shared;
                shared.with(|line| ((), line.block(lane, *id, on, told)));
                *self.sleep = Some(Box::pin(queue.timer.sleep_until(wake)));
            }
        }
        *self.refusal = Some(*refusal);
        Ok(())
    }

    /// Waits until it is its turn, and asks the store again, or until it is time to look whether it is.
    ///
    /// # Errors
    /// The deadline is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Refusal>>> {
        let (queue, deadline) = (&*self.queue, *self.deadline);
        let Ticket { lane, id, .. } = self.ticket.as_ref().expect("polled after completion");
        let (turn, _before) = queue
            .shared
            .with(|line| (line.turn(lane, *id, cx.waker()), Woken::new()));
        if turn == Turn::Try {
            *self.sleep = None;
            self.ask_store();
            return Poll::Ready(Ok(()));
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(queue.timer.sleep_until(deadline)));
        ready!(sleep.as_mut().poll(cx));
        *self.sleep = None;
        if queue.timer.now() < deadline {
            queue.shared.with(|line| ((), line.ready(lane, *id)));
            return Poll::Ready(Ok(()));
        }
        queue.shared.expired.fetch_add(1, Ordering::Relaxed);
        let told = queue.shared.with(|line| (line.told(lane), Woken::new()));
        let refusal = self.refusal.take().or(told);
        *self.ticket = None;
        let refusal = refusal.unwrap_or_else(|| unasked(self.ask));
        Poll::Ready(Err(Box::new(refusal)))
    }

    /// The refusal of a request that has no place in line: what was told, or else that nothing is known.
    fn full(&self, told: Option<Box<Refusal>>) -> Box<Refusal> {
        self.queue.shared.full.fetch_add(1, Ordering::Relaxed);
        told.unwrap_or_else(|| Box::new(unasked(self.ask)))
    }
}

/// The refusal of a request for which the store was never asked.
fn unasked(ask: &Ask) -> Refusal {
    let rule = Arc::clone(&ask.demands[0].rule);
    Refusal::new(rule, None, Retry::Release, Report::default())
}

/// The place of the limit that refused.
fn blocked_on(ask: &Ask, refusal: &Refusal) -> Place {
    let by = |it: &&Demand| it.rule == refusal.rule;
    let demand = ask.demands.iter().find(by).unwrap_or(&ask.demands[0]);
    place(demand, ask)
}

impl<St: Store, T: Timer> fmt::Debug for QueueTake<St, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueTake")
    }
}

/// What one request has taken from the store behind a [`Queue`]. Its end tells those that wait.
pub struct QueueHold<H: Hold> {
    hold: Option<H>,
    places: Places,
    shared: Arc<Shared>,
}

impl<H: Hold> Hold for QueueHold<H> {
    fn settle(mut self, actual: &Weights) {
        if let Some(hold) = self.hold.take() {
            hold.settle(actual);
        }
    }
}

impl<H: Hold> Drop for QueueHold<H> {
    fn drop(&mut self) {
        drop(self.hold.take());
        self.shared.freed(&self.places);
    }
}

impl<H: Hold> fmt::Debug for QueueHold<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueHold")
    }
}
