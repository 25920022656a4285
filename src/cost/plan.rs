use http::response::Parts;
use http_body::Body;

use super::{
    Bill, Ledger, ResponseBody, body::Writer, guard::Guard, member::Carrier, refill::Refill,
};
use crate::{
    dialect::CostMember,
    ext::{Cached, Sending, Served},
    media,
    meter::{Ending, Once, Scanner, Tally},
    observe::{Event, Gate},
};

/// What becomes of an answer, by its head.
pub(super) enum Begun {
    /// It costs nothing, and goes out as it is.
    Passes,
    // In boxes: nearly always somebody inside reads the answer.
    Streams(Option<Box<Scanner>>),
    IsWhole(Option<Box<Scanner>>),
}

/// What is known before the answer.
pub(super) struct Plan<L: Ledger> {
    pub(super) once: Once<Box<Guard<L>>>,
    include_usage: bool,
}

impl<L: Ledger> Plan<L> {
    pub(super) fn new(guard: Box<Guard<L>>, include_usage: bool) -> Self {
        Self {
            once: Once::new(guard),
            include_usage,
        }
    }

    /// Notes what says whether the request has been sent.
    pub(super) fn sent_by(&mut self, sending: Sending) {
        if let Some(guard) = self.once.guard_mut() {
            guard.sending = Some(sending);
        }
    }

    /// Decides by the head what becomes of an answer. The scanner is there where nobody inside reads it.
    #[inline(always)]
    pub(super) fn begin(&mut self, head: &mut Parts) -> Begun {
        self.answered();
        if head.extensions.get::<Cached>().is_some() {
            // Nobody was asked for it: what was held is given back.
            self.once.end(Ending::Failed(None));
            return Begun::Passes;
        }
        let mut tally = head.extensions.get::<Tally>().cloned();
        let mut scanner = None;
        if tally.as_ref().is_none_or(|tally| !tally.is_read()) {
            scanner = Scanner::of(head).map(Box::new);
            tally = head.extensions.get::<Tally>().cloned();
        }
        self.once.attach(tally);
        if let (Some(served), Some(guard)) =
            (head.extensions.get::<Served>(), self.once.guard_mut())
        {
            guard.quote.served(served);
        }
        if !head.status.is_success() || !self.is_priced() {
            // Whatever an upstream has counted for it: the client gets nothing, or what has no price.
            self.once.release();
            return Begun::Passes;
        }
        if media::is_events(&head.headers) {
            Begun::Streams(scanner)
        } else {
            Begun::IsWhole(scanner)
        }
    }

    /// Notes that there is an answer: whoever gave it.
    fn answered(&mut self) {
        if let Some(guard) = self.once.guard_mut() {
            guard.sending = None;
        }
    }

    /// Notes that the inner service is being asked.
    pub(super) fn asked(&mut self) {
        if let Some(guard) = self.once.guard_mut() {
            guard.asked = true;
        }
    }

    /// Whether its answer tells a cost, as far as is known before the hold.
    pub(super) fn is_told(&mut self) -> bool {
        self.once.guard_mut().is_some_and(|guard| guard.is_told())
    }

    /// Whether what answers has a price.
    fn is_priced(&mut self) -> bool {
        self.once.guard_mut().is_none_or(|guard| guard.quote.priced)
    }

    /// Takes the hold that was given.
    pub(super) fn held(&mut self, hold: L::Hold) {
        if let Some(guard) = self.once.guard_mut() {
            if let Some(watch) = &guard.watch {
                let gate = Gate::Balance;
                watch.on(&Event::Admitted { gate });
            }
            guard.hold = Some(hold);
        }
    }

    /// The body of a stream, which settles at its end.
    pub(super) fn stream<R: Body>(
        mut self,
        head: &mut Parts,
        body: R,
        scanner: Option<Box<Scanner>>,
    ) -> ResponseBody<R, L> {
        let tally = self.once.tally().cloned();
        let (mut writer, mut refill) = (None, None);
        if let Some(guard) = self.once.guard_mut() {
            if tally.is_none() {
                guard.quote.unseen_output = guard.quote.extent.most_output;
            }
            let bill = Bill::default();
            head.extensions.insert(bill.clone());
            let carrier = if self.include_usage {
                Carrier::Usage
            } else {
                Carrier::Finish
            };
            // What a request allows is held from the start; only one without a bound may outgrow it.
            if guard.is_bounded() && !guard.quote.extent.bounded {
                let (most, run_out) = (guard.quote.extent.most_output, guard.config.run_out);
                refill = tally
                    .clone()
                    .map(|tally| Box::pin(Refill::new(tally, most, run_out, self.include_usage)));
            }
            // Only who keeps a tally sends whole events in a frame, into which the cost can be put.
            writer = tally
                .filter(|_| guard.config.member != CostMember::Absent && guard.is_told())
                .filter(|_| scanner.is_none())
                .map(|tally| {
                    let (currency, place) = (guard.quote.price.currency(), guard.config.member);
                    Writer::new(tally, bill.clone(), currency, place, carrier)
                })
                .map(Box::new);
            guard.bill = Some(bill);
        }
        let scanner = scanner.map(|scanner| *scanner);
        ResponseBody::stream(body, self.once, scanner, writer, refill)
    }
}
