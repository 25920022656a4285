use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    Limiter, Memory, RateLimitLayer, RequestGuard, ResponseFuture, Settings, Store, Unit, Weights,
    asks::Asks,
};
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
        let (parts, body) = request.into_parts();
        let tokens = self.weights.get(Unit::Tokens).is_some();
        let asks = Asks {
            ask: self.limiter.ask(&parts, self.weights),
            instead: tokens.then_some(RateLimitLayer::<St>::WEIGHTS),
        };
        let request = Request::from_parts(parts, body);
        let guard = RequestGuard::new();
        let Self {
            inner,
            limiter,
            settings,
            ..
        } = self;
        ResponseFuture::new(inner, request, asks, guard, limiter, settings)
    }
}
