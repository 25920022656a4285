use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{request, stream::Stream};
use crate::{
    body::{BoxError, Full, Pieces},
    error::{Error, Kind},
    sse,
};

/// What reading the request's body came to: what is to be told of its way, or why it is refused.
pub(super) type Told = Arc<OnceLock<Result<request::Way, Error>>>;

pin_project! {
    /// A request's body, read to its end and then given out as one of Chat Completions.
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        text: Pieces,
        limit: usize,
        told: Told,
        done: bool,
    }
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, limit: usize, told: Told) -> Self {
        Self {
            inner,
            text: Pieces::default(),
            limit,
            told,
            done: false,
        }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("messages::RequestBody")
    }
}

impl<B> Body for RequestBody<B>
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
        let this = self.project();
        if *this.done {
            return Poll::Ready(None);
        }
        let refusal = match ready!(this.inner.poll_frame(cx)) {
            Some(Err(error)) => {
                *this.done = true;
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    if this.text.len() + chunk.len() <= *this.limit {
                        this.text.push(chunk);
                        // Whoever watches for silence sees that something came.
                        return Poll::Ready(Some(Ok(Frame::data(Bytes::new()))));
                    }
                } else {
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::new()))));
                }
                let limit = *this.limit;
                Error::new(
                    Kind::TooLarge,
                    format!("The request body is larger than {limit} bytes."),
                )
            }
            None => match request::translate(&this.text.take()) {
                Ok((body, way)) => {
                    *this.done = true;
                    let _ = this.told.set(Ok(way));
                    return Poll::Ready(Some(Ok(Frame::data(body))));
                }
                Err(error) => error,
            },
        };
        *this.done = true;
        let _ = this.told.set(Err(refusal.clone()));
        Poll::Ready(Some(Err(refusal.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}

pin_project! {
    /// The body of an answer: a message, an error, or a stream's named events.
    pub struct MessagesBody<R> {
        #[pin]
        which: Which<R>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<R> {
        Own { body: Full },
        Stream { #[pin] inner: Option<R>, decoder: sse::Decoder, state: Stream, out: BytesMut },
    }
}

impl<R> MessagesBody<R> {
    pub(super) fn own(body: impl Into<Bytes>) -> Self {
        let body = Full::new(body);
        Self {
            which: Which::Own { body },
        }
    }

    pub(super) fn stream(inner: R) -> Self {
        Self {
            which: Which::Stream {
                inner: Some(inner),
                decoder: sse::Decoder::new(),
                state: Stream::default(),
                out: BytesMut::new(),
            },
        }
    }
}

impl<R> fmt::Debug for MessagesBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessagesBody")
    }
}

impl<R> Body for MessagesBody<R>
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
        let (mut inner, decoder, state, out) = match self.project().which.project() {
            WhichProj::Own { body } => return Poll::Ready(body.frame().map(Ok)),
            WhichProj::Stream {
                inner,
                decoder,
                state,
                out,
            } => (inner, decoder, state, out),
        };
        loop {
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.split().freeze()))));
            }
            let Some(body) = inner.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(chunk) = frame.into_data() else {
                        continue;
                    };
                    decoder.push(chunk);
                    while let Some(event) = decoder.next() {
                        match event {
                            Ok(event) => state.event(event.data(), out),
                            Err(_) => state.broken(out),
                        }
                    }
                    // A comment came, so that the connection is not silent.
                    if out.is_empty() {
                        state.ping(out);
                    }
                }
                // The layers inside end a stream that they cannot go on with by an event; an error
                // or an end without one is a stream cut in between.
                ended => {
                    state.broken(out);
                    inner.set(None);
                    if let Some(Err(error)) = ended {
                        if out.is_empty() {
                            return Poll::Ready(Some(Err(error.into())));
                        }
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.which {
            Which::Own { body } => body.is_end_stream(),
            Which::Stream { inner, out, .. } => inner.is_none() && out.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.which {
            Which::Own { body } => body.size_hint(),
            Which::Stream { .. } => SizeHint::default(),
        }
    }
}
