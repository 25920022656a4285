use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Limiter, Memory, RequestGuard, ResponseFuture, Settings, Store, Weights};
use crate::{body::Reply, meter::Metered};

/// Holds requests to their limits in time and number. See [`RateLimitLayer`](super::RateLimitLayer).
#[derive(Clone, Debug)]
pub struct RateLimit<S, St = Memory> {
    inner: S,
    limiter: Limiter<St>,
    settings: Settings,
    weights: Weights,
}

impl<S, St> RateLimit<S, St> {
    pub(super) const fn new(
        inner: S,
        limiter: Limiter<St>,
        settings: Settings,
        weights: Weights,
    ) -> Self {
        Self {
            inner,
            limiter,
            settings,
            weights,
        }
    }
}

impl<S, St, B, R> Service<Request<B>> for RateLimit<S, St>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    St: Store,
    R: Body<Data = Bytes>,
{
    type Response = Response<Reply<Metered<R, RequestGuard<St::Hold>>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, St, B, RequestGuard<St::Hold>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone takes the place of the ready one, which goes into the future.
        let inner = self.inner.clone();
        let ready = mem::replace(&mut self.inner, inner);
        let (parts, body) = request.into_parts();
        let ask = self.limiter.ask(&parts, self.weights);
        let request = Request::from_parts(parts, body);
        let guard = RequestGuard::new();
        ResponseFuture::new(ready, request, ask, guard, &self.limiter, &self.settings)
    }
}
