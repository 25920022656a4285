mod machine;
#[cfg(test)]
mod tests;
mod untyped;

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use machine::Machine;
pub(super) use machine::Told;
use untyped::Untyped;

use super::{
    cut::{Cutting, Spellings},
    future::cut,
    rest::Judge,
    translate::TranslateStream,
};
use crate::{
    body::{BoxError, Full},
    meter::Tally,
};

/// Reads that give nothing to relay after which other tasks get their turn.
const READS: u32 = 64;

pin_project! {
    /// The body of a `Provider`'s answer: the upstream's as it comes, or translated event by event.
    pub struct Body<B, S> {
        #[pin]
        kind: Which<B, S>,
        // Told before the upstream's own is dropped.
        judge: Option<Box<Judge>>,
    }

    impl<B, S> PinnedDrop for Body<B, S> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(judge) = this.project().judge {
                judge.judge();
            }
        }
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B, S> {
        Whole { body: Full },
        // In boxes: what few answers have does not make every one large.
        Through { #[pin] body: Option<B>, cutting: Cutting, last: Option<Box<Frame<Bytes>>> },
        Untyped { #[pin] body: Option<B>, cutting: Cutting, untyped: Box<Untyped> },
        Translated { #[pin] body: Option<B>, machine: Box<Machine<S>> },
    }
}

/// A frame of the upstream's own, without our key in it.
fn through<B: HttpBody<Data = Bytes>>(
    mut body: Pin<&mut Option<B>>,
    cutting: &mut Cutting,
    last: &mut Option<Box<Frame<Bytes>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    if let Some(frame) = last.take() {
        return Poll::Ready(Some(Ok(*frame)));
    }
    loop {
        let Some(inner) = body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let mut polled = inner.poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = &mut polled else {
            if !matches!(polled, Poll::Ready(None)) {
                return polled;
            }
            body.set(None);
            return Poll::Ready(cutting.rest().map(|rest| Ok(Frame::data(rest))));
        };
        if let Some(chunk) = frame.data_mut() {
            // Changed where it lies: a frame is large, and most need no change.
            if !cutting.passes(chunk) {
                *chunk = cutting.push(mem::take(chunk));
            }
            if !chunk.is_empty() {
                return polled;
            }
        } else if let Some(rest) = cutting.rest() {
            let trailers = mem::replace(frame, Frame::data(rest));
            *last = Some(Box::new(trailers));
            return polled;
        } else {
            return polled;
        }
    }
}

/// The same of an answer of which it is not known whether it is a stream. Trailers have no place
/// behind one.
fn untyped<B: HttpBody<Data = Bytes>>(
    mut body: Pin<&mut Option<B>>,
    cutting: &mut Cutting,
    untyped: &mut Untyped,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, B::Error>>> {
    loop {
        let Some(inner) = body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let (chunk, ended) = match ready!(inner.poll_frame(cx)) {
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) if cutting.passes(&chunk) => (chunk, false),
                Ok(chunk) => (cutting.push(chunk), false),
                Err(_) => continue,
            },
            None => (cutting.rest().unwrap_or_default(), true),
        };
        let mut out = untyped.push(chunk);
        if ended || untyped.is_too_large() {
            body.set(None);
            out = out.or_else(|| untyped.end());
        }
        if out.is_some() || ended {
            return Poll::Ready(out.map(Ok));
        }
    }
}

impl<B, S> Body<B, S> {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::refusal(Full::new(bytes))
    }

    pub(super) fn refusal(body: Full) -> Self {
        Self {
            kind: Which::Whole { body },
            judge: None,
        }
    }

    /// With what says, when it is dropped, whether all has come.
    pub(super) fn judged_by(mut self, judge: Option<Judge>) -> Self {
        self.judge = judge.map(Box::new);
        self
    }
}

impl<B, S: TranslateStream> Body<B, S> {
    /// An answer that passes as it is, whose head does not say whether it is a stream; one that is
    /// none may have so many bytes.
    pub(super) fn untyped(body: B, key: Spellings, limit: usize) -> Self {
        Self {
            kind: Which::Untyped {
                body: Some(body),
                cutting: Cutting::new(key),
                untyped: Box::new(Untyped::new(limit)),
            },
            judge: None,
        }
    }

    pub(super) fn stream(
        body: B,
        state: Option<S>,
        tally: &Tally,
        key: Spellings,
        told: Told,
    ) -> Self {
        let kind = if state.is_none() && matches!(told, Told::AsTheyAre) {
            Which::Through {
                body: Some(body),
                cutting: Cutting::new(key),
                last: None,
            }
        } else {
            Which::Translated {
                body: Some(body),
                machine: Box::new(Machine::new(state, tally, key, told)),
            }
        };
        Self { kind, judge: None }
    }
}

impl<B, S> fmt::Debug for Body<B, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("provider::Body")
    }
}

impl<B, S> HttpBody for Body<B, S>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
    S: TranslateStream,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (mut body, machine) = match self.project().kind.project() {
            WhichProj::Whole { body } => return Poll::Ready(body.frame().map(Ok)),
            WhichProj::Through {
                body,
                cutting,
                last,
            } => return through(body, cutting, last, cx).map_err(Into::into),
            WhichProj::Untyped {
                body,
                cutting,
                untyped: state,
            } => {
                let chunk = ready!(untyped(body, cutting, state, cx));
                let frame = chunk.map(|chunk| chunk.map(Frame::data));
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            WhichProj::Translated { body, machine } => (body, machine),
        };
        for _ in 0..READS {
            if !machine.out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(machine.out.split().freeze()))));
            }
            if machine.ended {
                // Nothing more is wanted of the upstream.
                body.set(None);
            }
            let Some(inner) = body.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match ready!(inner.poll_frame(cx)) {
                None => {
                    machine.take(None);
                    machine.ended = true;
                }
                Some(Err(error)) => machine.fail(&cut().with_cause(error)),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        machine.take(Some(chunk));
                    }
                }
            }
        }
        // What never pauses and says nothing to relay is timed outside.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Whole { body } => body.is_end_stream(),
            Which::Through {
                body,
                cutting,
                last,
            } => {
                let ended = body.as_ref().is_none_or(HttpBody::is_end_stream);
                ended && cutting.is_empty() && last.is_none()
            }
            // What has been gathered goes out at the end.
            Which::Untyped { body, .. } => body.is_none(),
            Which::Translated { body, machine } => {
                machine.out.is_empty() && (machine.ended || body.is_none())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Whole { body } => body.size_hint(),
            Which::Through { .. } | Which::Untyped { .. } | Which::Translated { .. } => {
                SizeHint::default()
            }
        }
    }
}
