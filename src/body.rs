//! The body types that layers answer with.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Any error that a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body whose bytes are all there.
#[derive(Clone, Default)]
pub struct Full(Option<Bytes>);

impl fmt::Debug for Full {
    /// Its length alone: bodies are prompts and answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Full({} bytes)", self.remaining().len())
    }
}

impl Full {
    /// A body of these bytes; empty bytes make an empty body.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// What has not been read yet.
    #[must_use]
    pub fn remaining(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The next frame, which is always there: for bodies that it is a part of, whose errors are others.
    pub(crate) fn frame(&mut self) -> Option<Frame<Bytes>> {
        self.0.take().map(Frame::data)
    }
}

impl Body for Full {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.frame().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining().len() as u64)
    }
}

/// What has come of a body: one piece is kept as it is, more are joined.
#[derive(Default)]
pub(crate) struct Pieces {
    first: Bytes,
    joined: BytesMut,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&piece);
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.joined.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.joined).freeze()
        }
    }
}

pin_project! {
    /// The body of a layer that may refuse: the inner service's, or our own few bytes.
    pub struct Reply<B> {
        #[pin]
        kind: Which<B>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B> {
        Inner { #[pin] body: B },
        Own { body: Full },
    }
}

impl<B> Reply<B> {
    /// The inner service's body.
    pub fn inner(body: B) -> Self {
        Self {
            kind: Which::Inner { body },
        }
    }

    /// The layer's own bytes.
    #[must_use]
    pub fn own(body: Full) -> Self {
        Self {
            kind: Which::Own { body },
        }
    }
}

impl<B> fmt::Debug for Reply<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Which::Inner { .. } => "Reply::Inner",
            Which::Own { .. } => "Reply::Own",
        })
    }
}

impl<B: Default> Default for Reply<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B: Body<Data = Bytes>> Body for Reply<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            WhichProj::Inner { body } => body.poll_frame(cx),
            WhichProj::Own { body } => Poll::Ready(body.frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Inner { body } => body.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Inner { body } => body.size_hint(),
            Which::Own { body } => body.size_hint(),
        }
    }
}

/// A body of any kind, for where services of several types stand side by side.
pub struct BoxBody(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>);

impl BoxBody {
    /// Boxes a body.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Box::pin(Boxed { body }))
    }
}

impl fmt::Debug for BoxBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxBody")
    }
}

impl Default for BoxBody {
    fn default() -> Self {
        Self::new(Full::default())
    }
}

impl Body for BoxBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

pin_project! {
    struct Boxed<B> { #[pin] body: B }
}

impl<B> Body for Boxed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
