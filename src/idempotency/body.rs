use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{run::Read, store::Seat};
use crate::body::{BoxError, Full};

pin_project! {
    /// The body of [`Idempotency`](super::Idempotency)'s answers.
    pub struct ResponseBody<R> {
        #[pin]
        kind: Which<R>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<R> {
        Inner { #[pin] body: R },
        Own { body: Full },
        Shared { seat: Option<Seat>, at: usize },
    }
}

impl<R> ResponseBody<R> {
    pub(super) fn inner(body: R) -> Self {
        Self {
            kind: Which::Inner { body },
        }
    }

    pub(super) fn own(body: Full) -> Self {
        Self {
            kind: Which::Own { body },
        }
    }

    pub(super) fn shared(seat: Seat) -> Self {
        Self {
            kind: Which::Shared {
                seat: Some(seat),
                at: 0,
            },
        }
    }
}

impl<R> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("idempotency::ResponseBody")
    }
}

impl<R> Body for ResponseBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (seat, at) = match self.project().kind.project() {
            WhichProj::Inner { body } => return body.poll_frame(cx).map_err(Into::into),
            WhichProj::Own { body } => return Poll::Ready(body.frame().map(Ok)),
            WhichProj::Shared { seat, at } => (seat, at),
        };
        let Some(sitting) = seat else {
            return Poll::Ready(None);
        };
        let (read, now) = ready!(sitting.run.poll_read(sitting.place, at, cx));
        sitting.note(&now);
        Poll::Ready(match read {
            Read::Bytes(data) => Some(Ok(Frame::data(data))),
            Read::End => {
                *seat = None;
                None
            }
            Read::Broken(error) => {
                *seat = None;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Inner { body } => body.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
            Which::Shared { seat, at } => seat.as_ref().is_none_or(|seat| seat.run.is_over(*at)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Inner { body } => body.size_hint(),
            Which::Own { body } => body.size_hint(),
            Which::Shared { .. } => SizeHint::default(),
        }
    }
}
