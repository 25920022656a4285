use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{body::Reply, dialect::Dialect, error::Error};

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
        Calling { #[pin] call: F, dropped: Option<HeaderValue> },
        Refused { error: Option<(Error, Dialect)> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn calling(call: F, dropped: &[std::borrow::Cow<'static, str>]) -> Self {
        // Names that a header cannot carry are not told.
        let dropped = (!dropped.is_empty())
            .then(|| HeaderValue::from_str(&dropped.join(", ")).ok())
            .flatten();
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
                if let Some(names) = dropped.take() {
                    response.headers_mut().append("x-params-dropped", names);
                }
                Poll::Ready(Ok(response.map(Reply::inner)))
            }
            StateProj::Refused { error } => {
                let (error, dialect) = error.take().expect("polled after completion");
                Poll::Ready(Ok(error.response(&dialect).map(Reply::own)))
            }
        }
    }
}
