use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Denied, Ledger, ResponseBody,
    plan::{Begun, Plan},
    whole::Whole,
};
use crate::{
    body::Full,
    dialect::Dialect,
    error::{Error, Kind},
    ext::Sending,
    meter::Ending,
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
                            let body = plan.stream(&mut head, body, scanner);
                            return Poll::Ready(Ok(Response::from_parts(head, body)));
                        }
                        Begun::IsWhole(scanner) => {
                            let whole = Some(Whole::new(head, scanner));
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
