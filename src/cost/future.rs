use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Bill, Denied, Ledger, ResponseBody,
    guard::Guard,
    layer::Config,
    member::{self, Carrier},
    quote::Quote,
};
use crate::{
    body::Full,
    dialect::Dialect,
    error::{Class, Error, Kind},
    ext::Served,
    meter::{Ending, Once, Outcome, Scanner, Tally},
    observe::{Event, Gate, Watch},
    parse::ChatBody,
};

pin_project! {
    /// The response of `Cost`: the hold, the inner service, and a whole answer's bytes.
    pub struct ResponseFuture<S, R, L>
    where
        S: Service<Request<ChatBody>>,
        L: Ledger,
    {
        #[pin]
        state: State<S, R, L, S::Future, L::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, L: Ledger, F, H> {
        Refused { error: Option<Error> },
        Unpriced { #[pin] call: F },
        Holding { #[pin] hold: Option<H>, waiting: Option<(S, Request<ChatBody>, Option<Plan<L>>)> },
        Calling { #[pin] call: F, charged: Option<(Once<Guard<L>>, Plan<L>)> },
        Collecting { #[pin] body: R, read: BytesMut, scanner: Option<Scanner>, whole: Option<(Parts, Once<Guard<L>>, Plan<L>)> },
    }
}

/// What is known before the answer.
struct Plan<L> {
    quote: Quote,
    include_usage: bool,
    config: Arc<Config<L>>,
}

impl<S: Service<Request<ChatBody>>, R, L: Ledger> ResponseFuture<S, R, L> {
    pub(super) fn refused(error: Error) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
        }
    }

    pub(super) fn unpriced(call: S::Future) -> Self {
        Self {
            state: State::Unpriced { call },
        }
    }

    /// What has no price, for an account that may have a limit.
    pub(super) fn unpriced_for(inner: S, request: Request<ChatBody>, hold: L::Future) -> Self {
        Self {
            state: State::Holding {
                hold: Some(hold),
                waiting: Some((inner, request, None)),
            },
        }
    }

    pub(super) fn holding(
        inner: S,
        request: Request<ChatBody>,
        hold: Option<L::Future>,
        quote: Quote,
        include_usage: bool,
        config: Arc<Config<L>>,
    ) -> Self {
        let plan = Plan {
            quote,
            include_usage,
            config,
        };
        Self {
            state: State::Holding {
                hold,
                waiting: Some((inner, request, Some(plan))),
            },
        }
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
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Refused { error } => {
                    let error = error.take().expect("polled after completion");
                    return Poll::Ready(Ok(refuse(error)));
                }
                StateProj::Unpriced { call } => {
                    return call
                        .poll(cx)
                        .map_ok(|response| response.map(ResponseBody::inner));
                }
                StateProj::Holding { hold, waiting } => {
                    let hold = match hold.as_pin_mut() {
                        None => Ok(None),
                        Some(hold) => ready!(hold.poll(cx)).map(Some),
                    };
                    let (mut inner, request, plan) =
                        waiting.take().expect("polled after completion");
                    match (hold, plan) {
                        (Err(denied), _) => State::Refused {
                            error: Some(denial(denied)),
                        },
                        (Ok(_), None) => State::Unpriced {
                            call: inner.call(request),
                        },
                        (Ok(hold), Some(plan)) => {
                            let watch = request.extensions().get::<Watch>().cloned();
                            if let (Some(watch), Some(_)) = (&watch, &hold) {
                                let gate = Gate::Balance;
                                watch.on(&Event::Admitted { gate });
                            }
                            let ledger = plan.config.ledger.clone();
                            let once = Once::new(Guard {
                                ledger,
                                hold,
                                quote: plan.quote.clone(),
                                bill: None,
                                watch,
                            });
                            State::Calling {
                                call: inner.call(request),
                                charged: Some((once, plan)),
                            }
                        }
                    }
                }
                StateProj::Calling { call, charged } => {
                    let response = match ready!(call.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            if let Some((mut once, _)) = charged.take() {
                                once.end(Ending::Failed(None));
                            }
                            return Poll::Ready(Err(error));
                        }
                    };
                    let (mut once, mut plan) = charged.take().expect("polled after completion");
                    let (mut head, body) = response.into_parts();
                    let served = head.extensions.get::<Served>();
                    plan.quote.served(served);
                    if let Some(guard) = once.guard_mut() {
                        guard.quote = plan.quote.clone();
                    }
                    let scanner = Scanner::of(&mut head);
                    let tally = head.extensions.get::<Tally>().cloned();
                    once.attach(tally.clone());
                    if !head.status.is_success() {
                        once.end(Ending::Failed(head.extensions.get::<Error>().cloned()));
                        let body = ResponseBody::inner(body);
                        return Poll::Ready(Ok(Response::from_parts(head, body)));
                    }
                    if is_stream(&head) {
                        if tally.is_none() {
                            plan.quote.unseen_output = plan.quote.most_output;
                            if let Some(guard) = once.guard_mut() {
                                guard.quote.unseen_output = plan.quote.most_output;
                            }
                        }
                        let bill = Bill::default();
                        if let Some(guard) = once.guard_mut() {
                            guard.bill = Some(bill.clone());
                        }
                        head.extensions.insert(bill);
                        let carrier = if plan.include_usage {
                            Carrier::Usage
                        } else {
                            Carrier::Finish
                        };
                        let body = ResponseBody::stream(
                            body,
                            once,
                            scanner,
                            tally,
                            plan.quote,
                            plan.config.member,
                            carrier,
                        );
                        return Poll::Ready(Ok(Response::from_parts(head, body)));
                    }
                    State::Collecting {
                        body,
                        read: BytesMut::new(),
                        scanner,
                        whole: Some((head, once, plan)),
                    }
                }
                StateProj::Collecting {
                    mut body,
                    read,
                    scanner,
                    whole,
                } => {
                    let max = whole
                        .as_ref()
                        .map_or(0, |(_, _, plan)| plan.config.max_bytes);
                    let failed = loop {
                        match ready!(body.as_mut().poll_frame(cx)) {
                            None => break None,
                            Some(Err(_)) => {
                                break Some("The upstream cut its answer short.");
                            }
                            Some(Ok(frame)) => {
                                if let Ok(chunk) = frame.into_data() {
                                    read.extend_from_slice(&chunk);
                                }
                                if read.len() > max {
                                    break Some("The upstream's answer is too large.");
                                }
                            }
                        }
                    };
                    let (head, mut once, plan) = whole.take().expect("polled after completion");
                    if let Some(message) = failed {
                        once.end(Ending::Failed(None));
                        let error =
                            Error::new(Kind::BadUpstream, message).with_class(Class::Transient);
                        return Poll::Ready(Ok(refuse(error)));
                    }
                    let answer = std::mem::take(read).freeze();
                    if let Some(mut scanner) = scanner.take() {
                        scanner.push(answer.clone());
                        scanner.end();
                    }
                    return Poll::Ready(Ok(finish(head, answer, once, &plan)));
                }
            };
            state.set(next);
        }
    }
}

/// A whole answer: charged, with its cost in headers, and in its JSON where the dialect has it.
fn finish<R, L: Ledger>(
    mut head: Parts,
    mut answer: Bytes,
    mut once: Once<Guard<L>>,
    plan: &Plan<L>,
) -> Response<ResponseBody<R, L>> {
    if let Some(Outcome::Failed(error)) = once.tally().and_then(Tally::outcome) {
        once.end(Ending::Failed(Some(error)));
    }
    let mut usage = plan.quote.usage(once.tally());
    if usage.estimated && once.tally().is_none_or(|tally| tally.content_bytes() == 0) {
        // Nobody counted: all of the answer is taken for text.
        usage.output = (answer.len() as u64).div_ceil(4);
    }
    let tally = once.tally().cloned();
    let receipt = once
        .guard_mut()
        .map(|guard| guard.charge(usage, tally.as_ref()));
    once.end(Ending::Complete);
    if let Some(receipt) = receipt {
        if let Some(with) = member::whole(&answer, plan.config.member, receipt.cost) {
            answer = Bytes::from(with);
        }
        // Digits and a point are always a header value.
        if let Ok(cost) = HeaderValue::from_str(&receipt.cost.to_string()) {
            head.headers.insert("x-completion-cost", cost);
        }
        head.headers.insert(
            "x-completion-cost-currency",
            HeaderValue::from_static("USD"),
        );
        head.extensions.insert(receipt);
    }
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(answer.len()));
    Response::from_parts(head, ResponseBody::own(Full::new(answer)))
}

fn is_stream(head: &Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

pub(super) fn not_priced() -> Error {
    let message = "The model, or one that may answer in its place, has no price to charge.";
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_priced")
}

fn denial(denied: Denied) -> Error {
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

fn refuse<R, L: Ledger>(error: Error) -> Response<ResponseBody<R, L>> {
    error.response(&Dialect::openai()).map(ResponseBody::own)
}
