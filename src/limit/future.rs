use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Ask, Decision, Fields, Hold, Limiter, Mode, Refusal, Report, Settings, Store, Unit, Weights,
    guard::Refused, headers, limiter::Counts,
};
use crate::{
    body::{Full, Reply},
    dialect::Dialect,
    error::Error,
    ext::{Principal, Sending},
    meter::{Ending, Metered, Once, Scanner, Settle, Tally},
    observe::{Event, Gate, Watch},
};

/// What carries a hold from admission to the end of the answer's body.
pub trait Carry<H: Hold>: Settle {
    /// Which gate admits.
    const GATE: Gate;
    /// Whether it settles by what was used, so that the answer is to be read when nobody inside tells
    /// that.
    const SCANS: bool;

    /// Takes charge of the hold.
    fn carry(&mut self, hold: H);

    /// The inner service has been asked and is about to be polled.
    fn begin(&mut self);

    /// The head of the answer is there.
    fn answered(&mut self, success: bool, extensions: &Extensions);

    /// What it will settle to, where the head says already that there is no answer to come.
    fn settles_to(&self, tally: Option<&Tally>) -> Option<Weights> {
        let _ = tally;
        None
    }
}

pin_project! {
    /// The response of `RateLimit` and `TokenLimit`: first admission, then the inner service.
    ///
    /// Dropped, it gives back what it holds, as its guard says.
    pub struct ResponseFuture<S, St, Q, G>
    where
        S: Service<Request<Q>>,
        St: Store,
        G: Settle,
    {
        #[pin]
        state: State<S, St, Q, St::Take, S::Future>,
        held: Held<G>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, St, Q, A, C> {
        // In a box: a store in memory has decided before, and the future is moved by each layer around.
        Asking { asking: Pin<Box<Asking<S, St, Q, A>>> },
        Calling { #[pin] call: C },
        Refused { response: Option<Box<Response<Full>>> },
    }
}

pin_project! {
    /// A store that is waited for.
    struct Asking<S, St, Q, A> {
        #[pin]
        take: A,
        waiting: Option<(S, Request<Q>)>,
        limiter: Limiter<St>,
        instead: Option<Ask>,
        first: Option<Refusal>,
    }
}

/// Up to how long a body is read of a caller who owes tokens, in bytes.
const READ_IN_DEBT: u64 = 64 * 1024;

/// What a request asks of the limits.
pub(super) struct Asks {
    pub(super) ask: Ask,
    /// What it takes where tokens alone refuse it and its body is short: a layer further in decides
    /// of those, and knows how long this request has to wait.
    pub(super) instead: Option<Weights>,
}

impl Asks {
    fn is_short(headers: &HeaderMap) -> bool {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
        length.is_some_and(|bytes: u64| bytes <= READ_IN_DEBT)
    }

    /// Whether tokens alone refuse, of all that was asked.
    fn is_open<H>(decision: &Result<Decision<H>, Error>) -> bool {
        let tokens = |refusal: &Refusal| refusal.unit.is_some_and(Unit::is_tokens);
        matches!(decision, Ok(Decision::Refused(refusal)) if tokens(refusal))
    }

    /// What holds after the second question: its answer, with how the tokens stand, or the first
    /// refusal, which is to be waited for longer than a second one.
    fn closed<H>(
        first: Result<Decision<H>, Error>,
        second: Result<Decision<H>, Error>,
    ) -> Result<Decision<H>, Error> {
        match (first, second) {
            (Ok(Decision::Refused(first)), Ok(Decision::Admitted(hold, mut report))) => {
                report.tokens = first.report.tokens;
                Ok(Decision::Admitted(hold, report))
            }
            (first, Ok(Decision::Refused(_))) => first,
            (_, second) => second,
        }
    }
}

impl<S, St, Q, G> ResponseFuture<S, St, Q, G>
where
    S: Service<Request<Q>> + Clone,
    St: Store,
    G: Carry<St::Hold>,
{
    pub(super) fn new(
        inner: &mut S,
        request: Request<Q>,
        asks: Asks,
        guard: G,
        limiter: &Limiter<St>,
        settings: &Settings,
    ) -> Self {
        let Asks { mut ask, instead } = asks;
        let mut held = Held::new(guard, settings, ask.weights);
        let instead = instead.filter(|_| settings.mode == Mode::Enforce);
        let short = || Asks::is_short(request.headers());
        if !ask.demands.is_empty() {
            // What is not to be refused need not wait either.
            ask.wait = settings.mode == Mode::Enforce;
            let mut decision = limiter.store().take_now(&ask);
            let again = instead.filter(|_| decision.as_ref().is_some_and(Asks::is_open));
            if let Some(weights) = again.filter(|_| short()) {
                ask.weights = weights;
                let second = limiter.store().take_now(&ask);
                decision = decision
                    .zip(second)
                    .map(|(first, second)| Asks::closed(first, second));
            }
            match decision {
                // Taken apart here, not moved whole.
                Some(Ok(Decision::Admitted(hold, report))) => {
                    held.admitted(hold, report, limiter.counts());
                }
                Some(decision) => {
                    if let Err(refusal) = held.decided::<St>(decision, limiter.counts()) {
                        // What was made ready goes, with whatever it keeps free for a request.
                        *inner = inner.clone();
                        let response = Some(refusal);
                        let state = State::Refused { response };
                        return Self { state, held };
                    }
                }
                None => {
                    let instead = instead.filter(|_| short()).map(|weights| Ask {
                        weights,
                        ..ask.clone()
                    });
                    let take = limiter.store().take(ask);
                    if let Some(sending) = request.extensions().get::<Sending>() {
                        sending.waits();
                    }
                    // The clone takes the place of the ready one, which goes into the future.
                    let clone = inner.clone();
                    let asking = Box::pin(Asking {
                        take,
                        waiting: Some((mem::replace(inner, clone), request)),
                        limiter: limiter.clone(),
                        instead,
                        first: None,
                    });
                    let state = State::Asking { asking };
                    return Self { state, held };
                }
            }
        } else if request.extensions().get::<Principal>().is_none() {
            limiter.hints().unconcerned.give(
                "limits: no rule concerns a request without a Principal, so nothing limits it; \
                 put authentication outside, or add a rule such as Rule::global",
            );
        }
        let call = call::<St, G, _, _>(inner, request);
        let state = State::Calling { call };
        Self { state, held }
    }
}

impl<S, St, Q, G> fmt::Debug for ResponseFuture<S, St, Q, G>
where
    S: Service<Request<Q>>,
    St: Store,
    G: Settle,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limit::ResponseFuture")
    }
}

impl<S, St, Q, G, R> Future for ResponseFuture<S, St, Q, G>
where
    S: Service<Request<Q>, Response = Response<R>>,
    St: Store,
    G: Carry<St::Hold>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<Metered<R, G>>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let call = match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let result = match &mut this.held.once {
                        Some(once) => {
                            if let Some(guard) = once.guard_mut() {
                                guard.begin();
                            }
                            ready!(once.polling(|| call.poll(cx)))
                        }
                        None => ready!(call.poll(cx)),
                    };
                    return Poll::Ready(this.held.answered::<St, _, _>(result));
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(Reply::own)));
                }
                StateProj::Asking { asking } => {
                    let mut asking = asking.as_mut().project();
                    let mut decision = ready!(asking.take.as_mut().poll(cx));
                    let again = asking.instead.take().filter(|_| Asks::is_open(&decision));
                    decision = match (again, decision) {
                        (Some(ask), Ok(Decision::Refused(first))) => {
                            asking.take.set(asking.limiter.store().take(ask));
                            *asking.first = Some(first);
                            continue;
                        }
                        (_, decision) => decision,
                    };
                    if let Some(first) = asking.first.take() {
                        decision = Asks::closed(Ok(Decision::Refused(first)), decision);
                    }
                    let waiting = asking.waiting.take();
                    let (mut inner, request) = waiting.expect("polled after completion");
                    let counts = asking.limiter.counts();
                    if let Err(refusal) = this.held.decided::<St>(decision, counts) {
                        return Poll::Ready(Ok(refusal.map(Reply::own)));
                    }
                    if let Some(sending) = request.extensions().get::<Sending>() {
                        sending.goes_on();
                    }
                    call::<St, G, _, _>(&mut inner, request)
                }
            };
            this.state.set(State::Calling { call });
        }
    }
}

/// What a request has from its admission to the head of its answer.
struct Held<G: Settle> {
    once: Option<Once<G>>,
    fields: Fields,
    mode: Mode,
    reserved: Weights,
    report: Report,
    /// What would have been refused.
    shadow: Option<Box<Refusal>>,
    /// The limits could not be asked.
    unasked: bool,
}

impl<G: Settle> Held<G> {
    fn new(guard: G, settings: &Settings, reserved: Weights) -> Self {
        Self {
            once: Some(Once::new(guard)),
            fields: settings.fields,
            mode: settings.mode,
            reserved,
            report: Report::default(),
            shadow: None,
            unasked: false,
        }
    }

    /// The store has admitted the request.
    #[inline]
    fn admitted<H: Hold>(&mut self, hold: H, report: Report, counts: &Counts)
    where
        G: Carry<H>,
    {
        counts.admitted();
        self.report = report;
        if let Some(guard) = self.once.as_mut().and_then(Once::guard_mut) {
            guard.carry(hold);
        }
    }

    /// What the store has said.
    ///
    /// # Errors
    /// The refusal, when there is to be one.
    fn decided<St: Store>(
        &mut self,
        decision: Result<Decision<St::Hold>, Error>,
        counts: &Counts,
    ) -> Result<(), Box<Response<Full>>>
    where
        G: Carry<St::Hold>,
    {
        match decision {
            Ok(Decision::Admitted(hold, report)) => {
                self.admitted(hold, report, counts);
                Ok(())
            }
            Ok(Decision::Refused(refusal)) if self.mode == Mode::Shadow => {
                counts.shadowed();
                self.report = refusal.report;
                self.shadow = Some(Box::new(refusal));
                Ok(())
            }
            Err(_) if self.mode == Mode::Shadow => {
                counts.shadowed();
                self.unasked = true;
                Ok(())
            }
            Ok(Decision::Refused(refusal)) => {
                counts.refused();
                self.once = None;
                let mut response = refuse(headers::error(&refusal));
                let map = response.headers_mut();
                self.fields.write(map, &refusal.report, told::<St, G>());
                headers::should_retry(map, &refusal);
                Err(response)
            }
            Err(error) => {
                counts.refused();
                self.once = None;
                Err(refuse(error))
            }
        }
    }

    /// The head of the answer, with what it says of the limits.
    fn answered<St: Store, R, E>(
        &mut self,
        result: Result<Response<R>, E>,
    ) -> Result<Response<Reply<Metered<R, G>>>, E>
    where
        G: Carry<St::Hold>,
        R: Body<Data = Bytes>,
    {
        let mut once = self.once.take().expect("polled after completion");
        let (mut parts, body) = match result {
            Ok(response) => response.into_parts(),
            Err(error) => {
                once.end(Ending::Failed(None));
                return Err(error);
            }
        };
        if self.shadow.is_none() && parts.extensions.get::<Refused>().is_some() {
            self.report.give_request_back();
        }
        if let Some(guard) = once.guard_mut() {
            guard.answered(parts.status.is_success(), &parts.extensions);
            let tally = parts.extensions.get::<Tally>();
            let used = guard.settles_to(tally).filter(|_| self.shadow.is_none());
            if let Some(used) = used {
                self.report.settle(&self.reserved, &used);
            }
        }
        self.fields
            .write(&mut parts.headers, &self.report, told::<St, G>());
        if let Some(refusal) = self.shadow.take() {
            headers::announce(&mut parts.headers, &refusal);
        }
        if self.unasked {
            headers::announce_unasked(&mut parts.headers);
        }
        let mut scanner = None;
        if G::SCANS {
            scanner = Scanner::of(&mut parts);
            once.attach(parts.extensions.get::<Tally>().cloned());
        }
        let body = Reply::inner(Metered::scanned(body, once, scanner));
        Ok(Response::from_parts(parts, body))
    }
}

/// Asks the inner service, which is ready.
fn call<St, G, S, Q>(inner: &mut S, request: Request<Q>) -> S::Future
where
    St: Store,
    G: Carry<St::Hold>,
    S: Service<Request<Q>>,
{
    Watch::tell(request.extensions(), || Event::Admitted { gate: G::GATE });
    inner.call(request)
}

fn told<St: Store, G: Carry<St::Hold>>() -> headers::Tokens {
    match G::GATE {
        Gate::Tokens => headers::Tokens::Own,
        _ => headers::Tokens::Absent,
    }
}

#[cold]
fn refuse(error: Error) -> Box<Response<Full>> {
    let mut response = error.response(&Dialect::openai());
    response.extensions_mut().insert(Refused);
    Box::new(response)
}
