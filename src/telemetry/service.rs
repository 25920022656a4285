use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseBody, ResponseFuture, guard::Guard};
use crate::{meter::Once, observe::Observe, time::AtOnce};

/// Watches each request from its arrival to the last byte of its answer.
#[derive(Clone)]
pub struct Telemetry<S> {
    inner: S,
    observer: Arc<dyn Observe>,
}

impl<S> Telemetry<S> {
    pub(super) fn new(inner: S, observer: Arc<dyn Observe>) -> Self {
        Self { inner, observer }
    }
}

impl<S: fmt::Debug> fmt::Debug for Telemetry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Telemetry<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let watch = self.observer.begin(&parts);
        parts.extensions.insert(watch.clone());
        let _call = AtOnce::begin();
        let once = Once::new(Guard::new(watch.clone()));
        let inner = watch.within(|| self.inner.call(Request::from_parts(parts, body)));
        ResponseFuture::new(inner, watch, once)
    }
}
