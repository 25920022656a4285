use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::service::admit;
use crate::{
    body::Reply,
    dialect::Dialect,
    error::{Error, Kind},
    ext::Principal,
};

pin_project! {
    /// The response of `Auth`: first the caller, then the inner service.
    pub struct ResponseFuture<S, F, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, F, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B, C> {
        Asking { #[pin] caller: F, waiting: Option<(S, Request<B>)> },
        Calling { #[pin] call: C },
        // With an error of its own, or as one whom nobody knows.
        Refused { error: Option<Error> },
    }
}

impl<S: Service<Request<B>>, F, B> ResponseFuture<S, F, B> {
    pub(super) fn new(inner: S, caller: F, request: Request<B>) -> Self {
        Self {
            state: State::Asking {
                caller,
                waiting: Some((inner, request)),
            },
        }
    }

    pub(super) fn calling(call: S::Future) -> Self {
        Self {
            state: State::Calling { call },
        }
    }

    pub(super) fn refused(error: Option<Error>) -> Self {
        Self {
            state: State::Refused { error },
        }
    }
}

impl<S: Service<Request<B>>, F, B> fmt::Debug for ResponseFuture<S, F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auth::ResponseFuture")
    }
}

impl<S, F, B, R> Future for ResponseFuture<S, F, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Future<Output = Result<Option<Principal>, Error>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let call = match state.as_mut().project() {
                StateProj::Calling { call } => {
                    return call.poll(cx).map_ok(|response| response.map(Reply::inner));
                }
                StateProj::Refused { error } => return Poll::Ready(Ok(refuse(error.take()))),
                StateProj::Asking { caller, waiting } => {
                    let caller = ready!(caller.poll(cx));
                    let (mut inner, mut request) = waiting.take().expect("polled after completion");
                    match caller {
                        Ok(Some(principal)) => {
                            admit(request.extensions_mut(), principal);
                            inner.call(request)
                        }
                        refused => return Poll::Ready(Ok(refuse(refused.err()))),
                    }
                }
            };
            state.set(State::Calling { call });
        }
    }
}

/// An error as it is, else the one answer for every wrong key: what was wrong with it is nobody's
/// business.
fn refuse<R>(error: Option<Error>) -> Response<Reply<R>> {
    if let Some(error) = error {
        return error.response(&Dialect::openai()).map(Reply::own);
    }
    let message = "Incorrect API key provided. Send it as `Authorization: Bearer <key>`.";
    let mut response = Error::new(Kind::Authentication, message).response(&Dialect::openai());
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response.map(Reply::own)
}
