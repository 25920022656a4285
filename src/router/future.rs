use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    ask::Routable,
    body::ResponseBody,
    course::Course,
    run::{Run, refusal},
    service::Shared,
    way::Way,
};
use crate::{body::BoxError, error::Error, observe::Watch, time::Timer};

/// The future of [`Router`](super::Router). Dropping it cancels the attempts under way.
///
/// # Panics
/// When it is polled after it has been ready: whom it would ask has been asked.
pub struct ResponseFuture<S, Q, R, T>(Option<Box<State<S, Q, R, T>>>)
where
    S: Service<Request<Q>>,
    T: Timer;

/// In a box, so that what is around it moves a pointer.
#[expect(clippy::large_enum_variant, reason = "few requests are refused")]
enum State<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    /// There is nobody to ask.
    Refused(Error),
    Asking(Way<S, Q, R, T>),
}

impl<S, Q, R, T> ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    pub(super) fn new(
        shared: Arc<Shared<S, R, T>>,
        course: Result<Course, Error>,
        watch: Option<Watch>,
        parts: Parts,
        body: Q,
    ) -> Self {
        let state = match course {
            Err(error) => State::Refused(error),
            Ok(course) => State::Asking(Way::new(Run::new(shared, watch, parts, body), course)),
        };
        Self(Some(Box::new(state)))
    }
}

impl<S, Q, R, T> fmt::Debug for ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, Q, B, R, T> Future for ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: Routable,
    B: Body<Data = Bytes>,
    T: Timer,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = self.0.as_deref_mut().expect(POLLED);
        let polled = match state {
            State::Refused(error) => Poll::Ready(refusal(error.clone(), 0, Vec::new())),
            State::Asking(way) => way.poll(cx),
        };
        if polled.is_ready() {
            self.0 = None;
        }
        polled.map(Ok)
    }
}

const POLLED: &str = "`router::ResponseFuture` polled after completion";
