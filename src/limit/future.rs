use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Ask, Decision, Fields, Hold, Limiter, Mode, Refusal, Report, Settings, Store, guard::Refused,
    headers,
};
use crate::{
    body::Reply,
    dialect::Dialect,
    error::Error,
    meter::{Ending, Metered, Once, Scanner, Settle, Tally},
    observe::{Event, Gate, Watch},
};

/// What carries a hold from admission to the end of the answer's body.
pub trait Carry<H: Hold>: Settle {
    /// Which gate admits.
    const GATE: Gate;
    /// Whether the answer is to be read when nobody inside tells what was used.
    const SCANS: bool;

    /// Takes charge of the hold.
    fn carry(&mut self, hold: H);

    /// The inner service is about to be asked.
    fn begin(&mut self);

    /// The head of the answer is there.
    fn answered(&mut self, success: bool, extensions: &Extensions);
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
        state: State<St::Take, S::Future>,
        waiting: Option<(S, Request<Q>)>,
        once: Option<Once<G>>,
        limiter: Limiter<St>,
        fields: Fields,
        mode: Mode,
        report: Report,
        shadow: Option<Refusal>,
        unasked: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<A, C> {
        Free,
        Asking { #[pin] take: A },
        Calling { #[pin] call: C },
    }
}

impl<S, St, Q, G> ResponseFuture<S, St, Q, G>
where
    S: Service<Request<Q>>,
    St: Store,
    G: Settle,
{
    pub(super) fn new(
        inner: S,
        request: Request<Q>,
        mut ask: Ask,
        guard: G,
        limiter: &Limiter<St>,
        settings: &Settings,
    ) -> Self {
        let state = if ask.demands.is_empty() {
            State::Free
        } else {
            // What is not to be refused need not wait either.
            ask.wait = settings.mode == Mode::Enforce;
            State::Asking {
                take: limiter.store().take(ask),
            }
        };
        Self {
            state,
            waiting: Some((inner, request)),
            once: Some(Once::new(guard)),
            limiter: limiter.clone(),
            fields: settings.fields,
            mode: settings.mode,
            report: Report::default(),
            shadow: None,
            unasked: false,
        }
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
            match this.state.as_mut().project() {
                StateProj::Free => {}
                StateProj::Asking { take } => match ready!(take.poll(cx)) {
                    Ok(Decision::Admitted(hold, report)) => {
                        this.limiter.counts().admitted();
                        if let Some(guard) = this.once.as_mut().and_then(Once::guard_mut) {
                            guard.carry(hold);
                        }
                        *this.report = report;
                    }
                    Ok(Decision::Refused(refusal)) if *this.mode == Mode::Shadow => {
                        this.limiter.counts().shadowed();
                        *this.report = refusal.report;
                        *this.shadow = Some(refusal);
                    }
                    Ok(Decision::Refused(refusal)) => {
                        this.limiter.counts().refused();
                        *this.once = None;
                        let mut response = refuse(headers::error(&refusal));
                        let map = response.headers_mut();
                        this.fields.write(map, &refusal.report, told::<St, G>());
                        headers::should_retry(map, &refusal);
                        return Poll::Ready(Ok(response));
                    }
                    Err(_) if *this.mode == Mode::Shadow => {
                        this.limiter.counts().shadowed();
                        *this.unasked = true;
                    }
                    Err(error) => {
                        this.limiter.counts().refused();
                        *this.once = None;
                        return Poll::Ready(Ok(refuse(error)));
                    }
                },
                StateProj::Calling { call } => {
                    let response = match ready!(call.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            if let Some(mut once) = this.once.take() {
                                once.end(Ending::Failed(None));
                            }
                            return Poll::Ready(Err(error));
                        }
                    };
                    let (mut parts, body) = response.into_parts();
                    this.fields
                        .write(&mut parts.headers, this.report, told::<St, G>());
                    if let Some(refusal) = this.shadow.take() {
                        headers::announce(&mut parts.headers, &refusal);
                    }
                    if *this.unasked {
                        headers::announce_unasked(&mut parts.headers);
                    }
                    let mut once = this.once.take().expect("polled after completion");
                    if let Some(guard) = once.guard_mut() {
                        guard.answered(parts.status.is_success(), &parts.extensions);
                    }
                    let scanner = G::SCANS.then(|| Scanner::of(&mut parts)).flatten();
                    once.attach(parts.extensions.get::<Tally>().cloned());
                    let body = Reply::inner(Metered::scanned(body, once, scanner));
                    return Poll::Ready(Ok(Response::from_parts(parts, body)));
                }
            }
            let (mut inner, request) = this.waiting.take().expect("polled after completion");
            Watch::tell(request.extensions(), || Event::Admitted { gate: G::GATE });
            if let Some(guard) = this.once.as_mut().and_then(Once::guard_mut) {
                guard.begin();
            }
            let call = inner.call(request);
            this.state.set(State::Calling { call });
        }
    }
}

fn told<St: Store, G: Carry<St::Hold>>() -> headers::Tokens {
    match G::GATE {
        Gate::Tokens => headers::Tokens::Own,
        _ => headers::Tokens::Absent,
    }
}

fn refuse<R, G: Settle>(error: Error) -> Response<Reply<Metered<R, G>>> {
    let mut response = error.response(&Dialect::openai()).map(Reply::own);
    response.extensions_mut().insert(Refused);
    response
}
