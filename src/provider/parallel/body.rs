use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, header, response::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::stream::Streams;
use crate::{
    body::{BoxError, Full},
    meter::Tally,
};

pin_project! {
    /// The body of [`Parallel`]: the only one's, or several in one.
    pub struct ParallelBody<B> {
        #[pin]
        which: Which<B>,
    }
}

pin_project! {
    #[project = WhichProj]
    pub(super) enum Which<B> {
        One { #[pin] body: B },
        Boxed { body: Pin<Box<B>> },
        Own { body: Full },
        Streams { streams: Streams<B> },
    }
}

impl<B> ParallelBody<B> {
    pub(super) const fn of(which: Which<B>) -> Self {
        Self { which }
    }
}

impl<B> fmt::Debug for ParallelBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParallelBody")
    }
}

impl<B> HttpBody for ParallelBody<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().which.project() {
            WhichProj::One { body } => body.poll_frame(cx).map_err(Into::into),
            WhichProj::Boxed { body } => body.as_mut().poll_frame(cx).map_err(Into::into),
            WhichProj::Own { body } => Poll::Ready(body.frame().map(Ok)),
            WhichProj::Streams { streams } => {
                let chunk = ready!(streams.poll(cx));
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.which {
            Which::One { body } => body.is_end_stream(),
            Which::Boxed { body } => body.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
            Which::Streams { streams } => streams.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.which {
            Which::One { body } => body.size_hint(),
            Which::Boxed { body } => body.size_hint(),
            Which::Own { body } => body.size_hint(),
            Which::Streams { .. } => SizeHint::default(),
        }
    }
}

/// The head of the first, with a tally for all.
pub(super) fn merged<B>(
    mut first: Parts,
    tally: Tally,
    which: Which<B>,
) -> Response<ParallelBody<B>> {
    first.headers.remove(header::CONTENT_LENGTH);
    first.extensions.insert(tally);
    Response::from_parts(first, ParallelBody::of(which))
}
