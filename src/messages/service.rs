use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{MessagesBody, RequestBody, ResponseFuture};
use crate::body::BoxError;

/// Puts [`Messages`] around a service.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct MessagesLayer {
    max_bytes: usize,
}

impl MessagesLayer {
    /// Bodies of at most 8 MiB.
    pub const fn new() -> Self {
        Self { max_bytes: 8 << 20 }
    }

    /// The largest body that is read, in bytes; a larger one is a 413. Default: 8 MiB.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for MessagesLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for MessagesLayer {
    type Service = Messages<S>;

    fn layer(&self, inner: S) -> Messages<S> {
        Messages {
            inner,
            max_bytes: self.max_bytes,
        }
    }
}

/// Answers requests of the Messages API with a service that knows Chat Completions.
///
/// The events of a stream are translated one by one; a whole answer is read to its end before, and is a 502 when
/// it has more than 64 MiB.
///
/// Dropping the response future or the body drops whatever is under way inside.
#[derive(Clone, Debug)]
pub struct Messages<S> {
    inner: S,
    max_bytes: usize,
}

impl<S, B, R> Service<Request<B>> for Messages<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<MessagesBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        // The translated body has another length.
        parts.headers.remove(header::CONTENT_LENGTH);
        let told = Arc::new(OnceLock::new());
        let body = RequestBody::new(body, self.max_bytes, Arc::clone(&told));
        ResponseFuture::new(self.inner.call(Request::from_parts(parts, body)), told)
    }
}
