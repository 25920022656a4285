use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{flight::Member, store::Kept};
use crate::body::{BoxError, Full};

pin_project! {
    /// The body of an answer of `Cache`: the upstream's, read alone or with others, or a kept one.
    pub struct ResponseBody<F, B, E> {
        #[pin]
        kind: Which<F, B, E>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<F, B, E> {
        Own { body: Full },
        Member { member: Member<F, B, E> },
        Apart { #[pin] body: B },
    }
}

impl<F, B, E> ResponseBody<F, B, E> {
    pub(super) fn kept(kept: &Kept) -> Self {
        Self::own(Full::new(kept.body.clone()))
    }

    pub(super) fn own(body: Full) -> Self {
        Self {
            kind: Which::Own { body },
        }
    }

    pub(super) fn member(member: Member<F, B, E>) -> Self {
        Self {
            kind: Which::Member { member },
        }
    }

    pub(super) fn apart(body: B) -> Self {
        Self {
            kind: Which::Apart { body },
        }
    }
}

impl<F, B, E> fmt::Debug for ResponseBody<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cache::ResponseBody")
    }
}

impl<F, B, E> Body for ResponseBody<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    E: Clone,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            WhichProj::Own { body } => Poll::Ready(body.frame().map(Ok)),
            WhichProj::Member { member } => member
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map(Frame::data))),
            WhichProj::Apart { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Own { body } => body.is_end_stream(),
            Which::Member { member } => member.is_end(),
            Which::Apart { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Own { body } => body.size_hint(),
            Which::Member { .. } => SizeHint::default(),
            Which::Apart { body } => body.size_hint(),
        }
    }
}
