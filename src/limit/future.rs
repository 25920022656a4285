use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Ask, Decision, Limiter, Mode, Refusal, Settings, Store,
    asks::Asks,
    held::{Carry, Held},
};
use crate::{
    body::{Full, Reply},
    ext::{Principal, Sending},
    meter::{Metered, Settle},
    observe::{Event, Watch},
};

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
