use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{announce, body::Reply, dialect::Dialect, error::Error};

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
        Calling { #[pin] call: F, dropped: Vec<Cow<'static, str>> },
        Refused { error: Option<(Error, Dialect)> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn calling(call: F, dropped: Vec<Cow<'static, str>>) -> Self {
        Self {
            state: State::Calling { call, dropped },
        }
    }

    pub(super) fn refused(error: Error, dialect: Dialect) -> Self {
        Self {
            state: State::Refused {
                error: Some((error, dialect)),
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
            StateProj::Calling { call, dropped } => {
                let mut response = ready!(call.poll(cx))?;
                announce::add(response.headers_mut(), announce::DROPPED, dropped);
                Poll::Ready(Ok(response.map(Reply::inner)))
            }
            StateProj::Refused { error } => {
                let (error, dialect) = error.take().expect("polled after completion");
                Poll::Ready(Ok(error.response(&dialect).map(Reply::own)))
            }
        }
    }
}
