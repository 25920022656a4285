use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

/// Puts the future of the service inside into a box: what is around it moves a pointer.
///
/// A layer's future holds that of the layer inside, so without a box the innermost is copied as
/// often as there are layers.
#[derive(Clone, Copy, Debug)]
pub struct Boxed<S> {
    inner: S,
}

impl<S> Boxed<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Service<Request<Q>>, Q> Service<Request<Q>> for Boxed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        Box::pin(self.inner.call(request))
    }
}
