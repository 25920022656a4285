use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    super::{Routable, hedge::Heard},
    ResponseBody, ResponseFuture,
    layer::Bounds,
};
use crate::{
    body::BoxError,
    ext::KeyPool,
    time::{DefaultTimer, Timer},
};

/// Holds a stream's head back until its first content. Made by [`CommitLayer`](super::CommitLayer).
#[derive(Clone, Debug)]
pub struct Commit<S, T = DefaultTimer> {
    pub(super) inner: S,
    /// None where heads go out as they come.
    pub(super) bounds: Option<Bounds>,
    pub(super) timer: T,
}

impl<S, T> Commit<S, T> {
    /// That holds nothing back.
    pub(in super::super) const fn never(inner: S, timer: T) -> Self {
        Self {
            inner,
            bounds: None,
            timer,
        }
    }
}

impl<S: KeyPool, T> KeyPool for Commit<S, T> {
    fn keys(&self) -> usize {
        self.inner.keys()
    }

    fn reads_head(&self) -> bool {
        self.inner.reads_head()
    }
}

impl<S, Q, B, T> Service<Request<Q>> for Commit<S, T>
where
    S: Service<Request<Q>, Response = Response<B>>,
    Q: Routable,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Request<Q>) -> Self::Future {
        let looks = self.bounds.is_some();
        ResponseFuture {
            heard: looks
                .then(|| req.extensions().get::<Heard>().cloned())
                .flatten(),
            streams: looks && req.body().streams(),
            call: self.inner.call(req),
            peek: None,
            bounds: self.bounds,
            timer: self.timer.clone(),
        }
    }
}
