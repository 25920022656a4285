use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{check::Taken, mistakes::Refusal};
use crate::{announce, body::Reply, dialect::Dialect};

pin_project! {
    /// The response of `Validate`: a refusal at once, or the inner service's.
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] call: F, taken: Taken },
        Refused { refusal: Option<(Refusal, Dialect)> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn calling(call: F, taken: Taken) -> Self {
        Self {
            state: State::Calling { call, taken },
        }
    }

    pub(super) fn refused(refusal: Refusal, dialect: Dialect) -> Self {
        Self {
            state: State::Refused {
                refusal: Some((refusal, dialect)),
            },
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("validate::ResponseFuture")
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { call, taken } => {
                let mut response = ready!(call.poll(cx))?;
                let headers = response.headers_mut();
                announce::add(headers, announce::DROPPED, &taken.dropped);
                announce::add(headers, announce::MAPPED, &taken.mapped);
                Poll::Ready(Ok(response.map(Reply::inner)))
            }
            StateProj::Refused { refusal } => {
                let (refusal, dialect) = refusal.take().expect("polled after completion");
                let mut response = refusal.error.response(&dialect);
                if let Some(mistakes) = refusal.mistakes {
                    response.extensions_mut().insert(mistakes);
                }
                Poll::Ready(Ok(response.map(Reply::own)))
            }
        }
    }
}
