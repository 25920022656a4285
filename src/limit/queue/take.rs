//! One request's decision: it asks the store, and waits its turn to ask again.

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
    hold::QueueHold,
    line::{Turn, Woken},
    places::{blocked_on, places},
    shared::Ticket,
    store::Queue,
    sync::atomic::Ordering,
};
use crate::{
    error::Error,
    limit::{Ask, Decision, Refusal, Report, Retry, Store},
    time::{Timer, after},
};

/// A slot that another node frees is not told here: this is how often to look.
const LOOK: Duration = Duration::from_millis(100);

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

impl<St: Store, T: Timer> QueueTake<St, T> {
    pub(super) fn new(queue: Queue<St, T>, ask: Ask) -> Self {
        Self {
            deadline: after(queue.timer.now(), queue.timeout),
            queue,
            take: None,
            ask,
            begun: false,
            ticket: None,
            sleep: None,
            refusal: None,
        }
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
        QueueHold::new(hold, places(self.ask), Arc::clone(shared))
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

impl<St: Store, T: Timer> fmt::Debug for QueueTake<St, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueTake")
    }
}
