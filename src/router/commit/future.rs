use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{super::hedge::Heard, ResponseBody, layer::Bounds, peek::Peek};
use crate::{body::BoxError, media, meter::Tally, time::Timer};

pin_project! {
    /// The future of [`Commit`](super::Commit). Dropping it drops the upstream's stream.
    pub struct ResponseFuture<F, B, T: Timer> {
        #[pin]
        pub(super) call: F,
        pub(super) heard: Option<Heard>,
        pub(super) streams: bool,
        // In a box: only streams are looked into.
        pub(super) peek: Option<Pin<Box<Peek<B, T>>>>,
        pub(super) bounds: Option<Bounds>,
        pub(super) timer: T,
    }
}

impl<F, B, T: Timer> fmt::Debug for ResponseFuture<F, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E, T> Future for ResponseFuture<F, B, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(bounds) = this.bounds else {
            let passed = |answer: Response<B>| answer.map(ResponseBody::passed);
            return this.call.poll(cx).map_ok(passed);
        };
        let is_begun = this.peek.as_ref().is_some_and(|peek| peek.is_begun());
        if !is_begun {
            let polled = this.call.poll(cx)?;
            if polled.is_pending() && !*this.streams {
                return Poll::Pending;
            }
            let within = bounds.first_event;
            let make = || Box::pin(Peek::new(this.timer.sleep(within)));
            let Poll::Ready(response) = polled else {
                let peek = this.peek.get_or_insert_with(make).as_mut();
                return peek.poll_head(cx).map(Ok);
            };
            let (parts, body) = response.into_parts();
            if !parts.status.is_success() || !media::is_events(&parts.headers) {
                return Poll::Ready(Ok(Response::from_parts(parts, ResponseBody::passed(body))));
            }
            if let (Some(heard), Some(tally)) = (this.heard, parts.extensions.get::<Tally>()) {
                heard.tell(tally);
            }
            let peek = this.peek.get_or_insert_with(make).as_mut();
            peek.begin(parts, body);
        }
        let peek = this.peek.as_mut().expect("just made");
        peek.as_mut().poll(bounds, this.timer, cx).map(Ok)
    }
}
