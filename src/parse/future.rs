use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    ChatBody,
    reading::{Reading, parsed},
};
use crate::{body::Reply, dialect::Dialect, error::Error, time::Timer};

pin_project! {
    /// The response of `Parse`: first what is still to come of the body, then the inner service.
    pub struct ResponseFuture<S, B, T>
    where
        S: Service<Request<ChatBody>>,
        T: Timer,
    {
        #[pin]
        state: State<S, B, T, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, T: Timer, F> {
        // In a box: most requests are there before.
        Reading { waiting: Option<Box<Waiting<S, B, T>>> },
        Calling { #[pin] call: F },
        Refused { error: Option<Error>, value_status: StatusCode },
    }
}

/// A request whose body is still to come.
struct Waiting<S, B, T: Timer> {
    reading: Reading<B, T>,
    inner: S,
    parts: Parts,
}

impl<S: Service<Request<ChatBody>>, B, T: Timer> ResponseFuture<S, B, T> {
    pub(super) fn calling(call: S::Future) -> Self {
        Self {
            state: State::Calling { call },
        }
    }

    pub(super) fn refused(error: Error, value_status: StatusCode) -> Self {
        Self {
            state: State::Refused {
                error: Some(error),
                value_status,
            },
        }
    }

    pub(super) fn reading(reading: Reading<B, T>, inner: S, parts: Parts) -> Self {
        let waiting = Waiting {
            reading,
            inner,
            parts,
        };
        Self {
            state: State::Reading {
                waiting: Some(Box::new(waiting)),
            },
        }
    }
}

impl<S: Service<Request<ChatBody>>, B, T: Timer> fmt::Debug for ResponseFuture<S, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parse::ResponseFuture")
    }
}

impl<S, B, T, R> Future for ResponseFuture<S, B, T>
where
    S: Service<Request<ChatBody>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    T: Timer,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { call } => {
                    return call.poll(cx).map_ok(|response| response.map(Reply::inner));
                }
                StateProj::Refused {
                    error,
                    value_status,
                } => {
                    let error = error.take().expect("polled after completion");
                    let dialect = Dialect {
                        value_status: *value_status,
                        ..Dialect::openai()
                    };
                    return Poll::Ready(Ok(error.response(&dialect).map(Reply::own)));
                }
                StateProj::Reading { waiting } => {
                    let reading = &mut waiting.as_mut().expect("read once").reading;
                    let read = ready!(reading.poll(cx));
                    let limits = *reading.limits();
                    let Waiting {
                        mut inner, parts, ..
                    } = *waiting.take().expect("looked at above");
                    match read.and_then(|bytes| parsed(parts, bytes, &limits)) {
                        Ok(request) => State::Calling {
                            call: inner.call(request),
                        },
                        Err(error) => State::Refused {
                            error: Some(error),
                            value_status: limits.value_status,
                        },
                    }
                }
            };
            state.set(next);
        }
    }
}
