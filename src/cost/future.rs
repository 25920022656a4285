use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Bill, Currency, Denied, Ledger, Receipt, ResponseBody,
    body::Writer,
    guard::Guard,
    member::{self, Carrier},
    refill::Refill,
};
use crate::{
    body::{Full, Pieces},
    dialect::{CostMember, Dialect},
    error::{Class, Error, Kind},
    ext::{Cached, Sending, Served},
    media,
    meter::{Ending, Once, Outcome, Scanner, Tally},
    observe::{Event, Gate},
    parse::ChatBody,
    text,
};

pin_project! {
    /// The response of `Cost`: the hold, the inner service, and a whole answer's bytes.
    pub struct ResponseFuture<S, R, L>
    where
        S: Service<Request<ChatBody>>,
        L: Ledger,
    {
        #[pin]
        state: State<R, S::Future, L::Future>,
        // Stays where it is from the call to the end; none for a request without a price.
        plan: Option<Plan<L>>,
        // While a ledger is waited for. In a box: most have decided before.
        waiting: Option<Box<(S, Request<ChatBody>)>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<R, F, H> {
        Answered { response: Option<Box<Response<Full>>> },
        Holding { #[pin] hold: H },
        Calling { #[pin] call: F },
        Collecting { #[pin] body: R, whole: Option<Whole> },
    }
}

/// A whole answer that is being collected.
struct Whole {
    head: Parts,
    answer: Pieces,
    // In a box: nearly always somebody inside reads the answer.
    scanner: Option<Box<Scanner>>,
}

/// What becomes of an answer, by its head.
enum Begun {
    /// It costs nothing, and goes out as it is.
    Passes,
    // In boxes: nearly always somebody inside reads the answer.
    Streams(Option<Box<Scanner>>),
    IsWhole(Option<Box<Scanner>>),
}

/// What is known before the answer.
pub(super) struct Plan<L: Ledger> {
    once: Once<Box<Guard<L>>>,
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
    fn begin(&mut self, head: &mut Parts) -> Begun {
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
    fn asked(&mut self) {
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
}

impl<S: Service<Request<ChatBody>>, R, L: Ledger> ResponseFuture<S, R, L> {
    const fn new(state: State<R, S::Future, L::Future>, plan: Option<Plan<L>>) -> Self {
        Self {
            state,
            plan,
            waiting: None,
        }
    }

    pub(super) const fn answered(response: Box<Response<Full>>) -> Self {
        let response = Some(response);
        Self::new(State::Answered { response }, None)
    }

    /// Asks once the hold is there. Without a plan the request has no price.
    pub(super) fn holding(
        inner: S,
        request: Request<ChatBody>,
        hold: L::Future,
        plan: Option<Plan<L>>,
    ) -> Self {
        Self {
            waiting: Some(Box::new((inner, request))),
            ..Self::new(State::Holding { hold }, plan)
        }
    }

    /// What is to be held is. Without a plan the request has no price.
    pub(super) const fn calling(call: S::Future, plan: Option<Plan<L>>) -> Self {
        Self::new(State::Calling { call }, plan)
    }
}

impl<S: Service<Request<ChatBody>>, R, L: Ledger> fmt::Debug for ResponseFuture<S, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cost::ResponseFuture")
    }
}

impl<S, R, L> Future for ResponseFuture<S, R, L>
where
    S: Service<Request<ChatBody>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    L: Ledger,
{
    type Output = Result<Response<ResponseBody<R, L>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Answered { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(ResponseBody::own)));
                }
                StateProj::Holding { hold } => {
                    let held = ready!(hold.poll(cx));
                    let waiting = this.waiting.take().expect("polled after completion");
                    let (mut inner, request) = *waiting;
                    match held {
                        Err(denied) => {
                            // What the budgets held is given back.
                            *this.plan = None;
                            let response = denial(denied).response(&Dialect::openai());
                            let response = Some(Box::new(response));
                            State::Answered { response }
                        }
                        Ok(hold) => {
                            if let Some(plan) = this.plan {
                                plan.held(hold);
                            }
                            if let Some(sending) = request.extensions().get::<Sending>() {
                                sending.goes_on();
                            }
                            let call = inner.call(request);
                            State::Calling { call }
                        }
                    }
                }
                StateProj::Calling { call } => {
                    let polled = match this.plan {
                        Some(plan) => {
                            plan.asked();
                            plan.once.polling(|| call.poll(cx))
                        }
                        None => call.poll(cx),
                    };
                    // Taken apart at once: an answer that is moved whole is moved often.
                    let (mut head, body) = match polled {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(response)) => response.into_parts(),
                        Poll::Ready(Err(error)) => {
                            if let Some(plan) = this.plan {
                                plan.once.end(Ending::Failed(None));
                            }
                            return Poll::Ready(Err(error));
                        }
                    };
                    let begun = this.plan.as_mut().map(|plan| plan.begin(&mut head));
                    match begun.unwrap_or(Begun::Passes) {
                        Begun::Passes => {
                            let body = ResponseBody::inner(body);
                            return Poll::Ready(Ok(Response::from_parts(head, body)));
                        }
                        Begun::Streams(scanner) => {
                            let plan = this.plan.take().expect("looked at above");
                            let body = stream(&mut head, body, scanner, plan);
                            return Poll::Ready(Ok(Response::from_parts(head, body)));
                        }
                        Begun::IsWhole(scanner) => {
                            let whole = Some(Whole {
                                head,
                                answer: Pieces::default(),
                                scanner,
                            });
                            // Set here, for each move of a head costs.
                            this.state.set(State::Collecting { body, whole });
                            continue;
                        }
                    }
                }
                StateProj::Collecting {
                    body,
                    whole: collected,
                } => {
                    let plan = this.plan.as_mut().expect("polled after completion");
                    let whole = collected.as_mut().expect("polled after completion");
                    let read = ready!(whole.poll(body, plan, cx));
                    let whole = collected.take().expect("looked at above");
                    return Poll::Ready(Ok(match read {
                        Ok(()) => whole.finish(plan),
                        Err(error) => {
                            plan.once.release();
                            error.response(&Dialect::openai()).map(ResponseBody::own)
                        }
                    }));
                }
            };
            this.state.set(next);
        }
    }
}

/// The body of a stream, which settles at its end.
fn stream<R: Body, L: Ledger>(
    head: &mut Parts,
    body: R,
    scanner: Option<Box<Scanner>>,
    mut plan: Plan<L>,
) -> ResponseBody<R, L> {
    let tally = plan.once.tally().cloned();
    let (mut writer, mut refill) = (None, None);
    if let Some(guard) = plan.once.guard_mut() {
        if tally.is_none() {
            guard.quote.unseen_output = guard.quote.extent.most_output;
        }
        let bill = Bill::default();
        head.extensions.insert(bill.clone());
        let carrier = if plan.include_usage {
            Carrier::Usage
        } else {
            Carrier::Finish
        };
        // What a request allows is held from the start; only one without a bound may outgrow it.
        if guard.is_bounded() && !guard.quote.extent.bounded {
            let (most, run_out) = (guard.quote.extent.most_output, guard.config.run_out);
            refill = tally
                .clone()
                .map(|tally| Box::pin(Refill::new(tally, most, run_out, plan.include_usage)));
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
    ResponseBody::stream(body, plan.once, scanner, writer, refill)
}

const COST: HeaderName = HeaderName::from_static("x-completion-cost");
const CURRENCY: HeaderName = HeaderName::from_static("x-completion-cost-currency");

impl Whole {
    /// Reads on, to the end.
    #[inline(always)]
    fn poll<R: Body<Data = Bytes>, L: Ledger>(
        &mut self,
        mut body: Pin<&mut R>,
        plan: &mut Plan<L>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let most = plan.once.guard_mut();
        let most = most.map_or(0, |guard| guard.config.max_bytes);
        let broken = loop {
            let polled = plan.once.polling(|| body.as_mut().poll_frame(cx));
            match ready!(polled) {
                None => return Poll::Ready(Ok(())),
                Some(Err(_)) => break "The upstream cut its answer short.",
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.answer.push(chunk);
                    }
                    if self.answer.len() > most {
                        break "The upstream's answer is too large.";
                    }
                }
            }
        };
        let error = Error::new(Kind::BadUpstream, broken).with_class(Class::Transient);
        Poll::Ready(Err(error))
    }

    /// Charged, and told what it cost, where somebody pays.
    fn finish<R, L: Ledger>(self, plan: &mut Plan<L>) -> Response<ResponseBody<R, L>> {
        let Self {
            mut head,
            mut answer,
            scanner,
        } = self;
        let mut answer = answer.take();
        let read_within = scanner.is_none();
        if let Some(mut scanner) = scanner {
            scanner.push(answer.clone());
            scanner.end();
        }
        let seen = plan.once.tally().map(Tally::seen);
        let seen = seen.as_ref();
        if seen.is_some_and(|seen| matches!(seen.outcome, Some(Outcome::Failed(_)))) {
            plan.once.release();
        }
        // It is settled here: nothing is left to do at the end.
        if let Some(mut guard) = plan.once.take() {
            let mut usage = guard.quote.usage(seen);
            let is_counted = seen.is_some_and(|seen| read_within || seen.content_bytes > 0);
            if usage.estimated && !is_counted {
                // Nobody counted: all of the answer is taken for text.
                usage.output = (answer.len() as u64).div_ceil(4);
            }
            let told = guard.is_told();
            let receipt = guard.charge(usage, seen);
            if told {
                answer = tell(&mut head, answer, &receipt, guard.config.member);
            }
            head.extensions.insert(receipt);
        }
        Response::from_parts(head, ResponseBody::own(Full::new(answer)))
    }
}

/// Says the cost in headers, and in the answer's JSON where the dialect has it.
fn tell(head: &mut Parts, mut answer: Bytes, receipt: &Receipt, mut member: CostMember) -> Bytes {
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        // Compressed it has no place for it.
        member = CostMember::Absent;
    }
    let cost = member::Sum {
        amount: receipt.cost,
        currency: receipt.currency,
    };
    if let Some(with) = member::whole(&answer, member, cost) {
        answer = Bytes::from(with);
        // Where no length is said the body knows its own.
        if let Some(said) = head.headers.get_mut(header::CONTENT_LENGTH) {
            *said = HeaderValue::from(answer.len());
        }
    }
    let mut room = [0; 48];
    let amount = receipt.cost.digits(&mut room);
    // Digits and a point are always a header value.
    if let Ok(cost) = HeaderValue::from_maybe_shared(text::copied(amount)) {
        head.headers.insert(COST, cost);
    }
    head.headers.insert(CURRENCY, currency(receipt.currency));
    answer
}

fn currency(of: Currency) -> HeaderValue {
    if of == Currency::USD {
        return HeaderValue::from_static("USD");
    }
    HeaderValue::from_str(of.code()).expect("three letters are a header value")
}

pub(super) fn not_priced() -> Error {
    let message = "The model, or one that may answer in its place, has no price to charge.";
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_priced")
}

pub(super) fn denial(denied: Denied) -> Error {
    match denied {
        Denied::Insufficient => Error::new(
            Kind::Balance,
            "The balance does not cover what this request may cost.",
        ),
        Denied::Unpriced => not_priced(),
        Denied::Unavailable => Error::new(
            Kind::Overloaded,
            "The ledger cannot be reached; nothing was charged.",
        )
        .with_code("ledger_unavailable"),
    }
}
