use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderName, Request, Response, header::Entry};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::id;

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every answer an `x-request-id`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestIdLayer;

impl RequestIdLayer {
    /// The only one there is.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner }
    }
}

/// Gives every answer an `x-request-id`, unless the service inside has done so: `req_` and 24
/// hexadecimal digits.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RequestIdFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of `RequestId`.
    #[derive(Debug)]
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, R, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Changed where it is: moving an answer costs more than what is put into it.
        let mut polled = self.project().inner.poll(cx);
        if let Poll::Ready(Ok(response)) = &mut polled {
            // Looked for and put in at one go.
            if let Entry::Vacant(place) = response.headers_mut().entry(NAME) {
                place.insert(id::request_value());
            }
        }
        polled
    }
}
