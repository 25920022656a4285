use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;

use super::body::{Body, Broken};

/// The answer of [`Upstream`](super::Upstream). Dropping it counts as a cancelled answer.
pub struct ResponseFuture(pub(super) Pin<Box<Answer>>);

type Answer = dyn Future<Output = Result<Response<Body>, Broken>> + Send;

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
