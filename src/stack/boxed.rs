use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::ext::Sending;

/// Puts the future of the service inside into a box, and is ready whether or not that service is.
///
/// A layer's future holds that of the layer inside, so without a box the innermost is copied as
/// often as there are layers: what is around it moves a pointer.
///
/// A request that comes while the service inside is not ready waits for it in its own future, so the
/// layers outside can refuse others meanwhile. Dropping that future leaves the line.
#[derive(Debug)]
pub struct Boxed<S> {
    inner: S,
    /// Whether `inner` may be called; if not it may stand in line for that.
    is_ready: bool,
}

impl<S> Boxed<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self {
            inner,
            is_ready: false,
        }
    }
}

/// A clone of what is ready is not.
impl<S: Clone> Clone for Boxed<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S, Q> Service<Request<Q>> for Boxed<S>
where
    S: Service<Request<Q>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<BoxedFuture<S, Q>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.is_ready = self.inner.poll_ready(cx)?.is_ready();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        if mem::take(&mut self.is_ready) {
            let call = self.inner.call(request);
            return Box::pin(BoxedFuture {
                state: State::Calling { call },
            });
        }
        if let Some(sending) = request.extensions().get::<Sending>() {
            sending.waits();
        }
        // The one that stands in line goes into the future; the clone is made ready anew.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let waiting = Some(Box::new((inner, request)));
        Box::pin(BoxedFuture {
            state: State::Waiting { waiting },
        })
    }
}

pin_project! {
    /// The response of [`Boxed`]: the service inside, once it is ready.
    pub struct BoxedFuture<S: Service<Request<Q>>, Q> {
        #[pin]
        state: State<S, Q, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Q, F> {
        // In a box: nearly always the service is ready before.
        Waiting { waiting: Option<Box<(S, Request<Q>)>> },
        Calling { #[pin] call: F },
    }
}

impl<S: Service<Request<Q>>, Q> fmt::Debug for BoxedFuture<S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stack::BoxedFuture")
    }
}

impl<S: Service<Request<Q>>, Q> Future for BoxedFuture<S, Q> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let call = match state.as_mut().project() {
                StateProj::Calling { call } => return call.poll(cx),
                StateProj::Waiting { waiting } => {
                    let (inner, _) = &mut **waiting.as_mut().expect("polled after completion");
                    ready!(inner.poll_ready(cx))?;
                    let (mut inner, request) = *waiting.take().expect("looked at above");
                    if let Some(sending) = request.extensions().get::<Sending>() {
                        sending.goes_on();
                    }
                    inner.call(request)
                }
            };
            state.set(State::Calling { call });
        }
    }
}
