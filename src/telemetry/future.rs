use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{ResponseBody, guard::Guard};
use crate::{
    meter::{Ending, Once, Tally},
    observe::Watch,
};

pin_project! {
    /// The answer of [`Telemetry`](super::Telemetry). Dropping it ends the request as cancelled.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        // Both go on with the answer's body.
        watched: Option<(Watch, Once<Guard>)>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, watch: Watch, once: Once<Guard>) -> Self {
        Self {
            inner,
            watched: Some((watch, once)),
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (watch, _) = this.watched.as_ref().expect("polled after completion");
        let answer = ready!(watch.within(|| this.inner.poll(cx)));
        let (watch, mut once) = this.watched.take().expect("looked at above");
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                once.end(Ending::Failed(None));
                return Poll::Ready(Err(error));
            }
        };
        let (parts, body) = response.into_parts();
        once.attach(parts.extensions.get::<Tally>().cloned());
        if let Some(guard) = once.guard_mut() {
            guard.head(&parts);
        }
        let body = ResponseBody::new(body, watch, once);
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
