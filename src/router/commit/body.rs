use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::body::Full;

pin_project! {
    /// The frames that were read, then the rest as it comes.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Which<B>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B> {
        Passed { #[pin] body: B },
        // In a box since it was polled there.
        Read { frames: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>> },
        Own { body: Full },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn passed(body: B) -> Self {
        Self {
            kind: Which::Passed { body },
        }
    }

    pub(super) const fn read(frames: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>>) -> Self {
        Self {
            kind: Which::Read { frames, rest },
        }
    }

    pub(super) const fn own(body: Full) -> Self {
        Self {
            kind: Which::Own { body },
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            WhichProj::Passed { body } => body.poll_frame(cx),
            WhichProj::Read { frames, rest } => match frames.pop_front() {
                Some(frame) => {
                    if frames.is_empty() {
                        // Nothing comes after it, however long the stream lasts.
                        *frames = VecDeque::new();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                None => rest.as_mut().poll_frame(cx),
            },
            WhichProj::Own { body } => Poll::Ready(body.frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Passed { body } => body.is_end_stream(),
            Which::Read { frames, rest } => frames.is_empty() && rest.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Passed { body } => body.size_hint(),
            Which::Read { frames, rest } if frames.is_empty() => rest.size_hint(),
            Which::Read { .. } => SizeHint::default(),
            Which::Own { body } => body.size_hint(),
        }
    }
}
