use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::guard::Guard;
use crate::{
    meter::{Ending, Once},
    observe::Watch,
};

pin_project! {
    /// The body of a watched answer; its end, or its drop, is the end of the request.
    pub struct ResponseBody<R> {
        #[pin]
        inner: R,
        watch: Watch,
        once: Once<Guard>,
    }
}

impl<R: Body> ResponseBody<R> {
    pub(super) fn new(inner: R, watch: Watch, mut once: Once<Guard>) -> Self {
        if inner.is_end_stream() {
            once.end(Ending::Complete);
        }
        Self { inner, watch, once }
    }
}

impl<R> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        let polled = this.watch.within(|| this.inner.as_mut().poll_frame(cx));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(bytes), Some(guard)) = (frame.data_ref(), this.once.guard_mut()) {
                    guard.bytes(bytes);
                }
                if this.inner.is_end_stream() {
                    this.once.end(Ending::Complete);
                }
            }
            Poll::Ready(None) => this.once.end(Ending::Complete),
            Poll::Ready(Some(Err(_))) => this.once.end(Ending::Failed(None)),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
