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

use crate::{
    body::Reply,
    dialect::Dialect,
    error::{Error, Kind},
    ext::Principal,
    observe::{Event, Gate, Watch},
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
                StateProj::Asking { caller, waiting } => {
                    let caller = ready!(caller.poll(cx));
                    let (mut inner, mut request) = waiting.take().expect("polled after completion");
                    match caller {
                        Ok(Some(principal)) => {
                            request.extensions_mut().insert(principal);
                            Watch::tell(request.extensions(), || Event::Admitted {
                                gate: Gate::Key,
                            });
                            inner.call(request)
                        }
                        Ok(None) => return Poll::Ready(Ok(unauthorized())),
                        Err(error) => {
                            return Poll::Ready(Ok(error
                                .response(&Dialect::openai())
                                .map(Reply::own)));
                        }
                    }
                }
            };
            state.set(State::Calling { call });
        }
    }
}

/// One answer for every wrong key: what was wrong with it is nobody's business.
fn unauthorized<R>() -> Response<Reply<R>> {
    let message = "Incorrect API key provided. Send it as `Authorization: Bearer <key>`.";
    let mut response = Error::new(Kind::Authentication, message).response(&Dialect::openai());
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response.map(Reply::own)
}
