use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    cut::{Cutting, Spellings},
    future::{cut, nonsense},
    translate::{Framing, TranslateStream},
};
use crate::{
    body::{BoxError, Full},
    error::Error,
    meter::{Outcome, Tally},
    sse::{self, Decode},
};

pin_project! {
    /// The body of a `Provider`'s answer: the upstream's as it comes, or translated event by event.
    pub struct Body<B, S> {
        #[pin]
        kind: Which<B, S>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B, S> {
        Whole { body: Full },
        Through { #[pin] body: Option<B>, cutting: Cutting, last: Option<Frame<Bytes>> },
        Translated { #[pin] body: Option<B>, machine: Machine<S> },
    }
}

/// The last event of a finished answer.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// The upstream's bytes in, canonical events out.
struct Machine<S> {
    key: Spellings,
    decoder: Box<dyn Decode + Send>,
    state: S,
    tally: Tally,
    out: BytesMut,
    ended: bool,
}

impl<S: TranslateStream> Machine<S> {
    /// Translates what has come; the stream's end or an error ends the machine.
    fn take(&mut self, chunk: Option<Bytes>) {
        let ended = match chunk {
            Some(chunk) => {
                self.decoder.push(chunk);
                self.drain(|decoder| decoder.next())
            }
            None => match self.drain(|decoder| decoder.finish()) {
                Ok(false) => self.state.finish(&mut self.out).map(|()| true),
                ended => ended,
            },
        };
        if let Some(usage) = self.state.usage() {
            self.tally.record_usage(usage);
        }
        match ended {
            Ok(ended) => self.ended = ended,
            Err(error) => self.fail(&error),
        }
    }

    /// Translates what is there; whether the answer is finished. What comes behind its end is not
    /// looked at, so that nothing can follow it, an error least of all.
    fn drain(
        &mut self,
        next: impl Fn(&mut (dyn Decode + Send)) -> Option<Result<sse::Event, sse::Error>>,
    ) -> Result<bool, Error> {
        while let Some(event) = next(&mut *self.decoder) {
            let event =
                event.map_err(|error| nonsense("its stream is broken").with_source(error))?;
            let (name, data) = (event.name(), event.data());
            if self.key.is_in(data) {
                let data = self.key.cut(Bytes::copy_from_slice(data));
                self.state.event(name, &data, &mut self.out)?;
            } else {
                self.state.event(name, data, &mut self.out)?;
            }
            if self.out.ends_with(DONE) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the client in the stream; the tally keeps the error for the layers outside.
    fn fail(&mut self, error: &Error) {
        self.out.extend_from_slice(&error.event());
        self.tally.end(Outcome::Failed(error.clone()));
        self.ended = true;
    }
}

/// A frame of the upstream's own, without our key in it.
fn through<B: HttpBody<Data = Bytes>>(
    mut body: Pin<&mut Option<B>>,
    cutting: &mut Cutting,
    last: &mut Option<Frame<Bytes>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    if let Some(frame) = last.take() {
        return Poll::Ready(Some(Ok(frame)));
    }
    loop {
        let Some(inner) = body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(frame) = ready!(inner.poll_frame(cx)).transpose()? else {
            body.set(None);
            return Poll::Ready(cutting.rest().map(|rest| Ok(Frame::data(rest))));
        };
        match frame.into_data() {
            Ok(chunk) => {
                let chunk = cutting.push(chunk);
                if !chunk.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
            }
            Err(trailers) => {
                let Some(rest) = cutting.rest() else {
                    return Poll::Ready(Some(Ok(trailers)));
                };
                *last = Some(trailers);
                return Poll::Ready(Some(Ok(Frame::data(rest))));
            }
        }
    }
}

fn decoder(framing: Framing) -> Box<dyn Decode + Send> {
    match framing {
        Framing::Sse => Box::new(sse::Decoder::new()),
        Framing::JsonLines => Box::new(sse::ndjson::Decoder::new()),
        Framing::JsonArray => Box::new(sse::json_array::Decoder::new()),
        #[cfg(feature = "bedrock")]
        Framing::AwsEventStream => Box::new(sse::aws::Decoder::new()),
    }
}

impl<B, S> Body<B, S> {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::refusal(Full::new(bytes))
    }

    pub(super) fn refusal(body: Full) -> Self {
        Self {
            kind: Which::Whole { body },
        }
    }
}

impl<B, S: TranslateStream> Body<B, S> {
    pub(super) fn stream(body: B, state: Option<S>, tally: &Tally, key: Spellings) -> Self {
        let kind = match state {
            None => Which::Through {
                body: Some(body),
                cutting: Cutting::new(key),
                last: None,
            },
            Some(state) => Which::Translated {
                body: Some(body),
                machine: Machine {
                    key,
                    decoder: decoder(state.framing()),
                    state,
                    tally: tally.clone(),
                    out: BytesMut::new(),
                    ended: false,
                },
            },
        };
        Self { kind }
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
            WhichProj::Whole { body } => {
                return Pin::new(body)
                    .poll_frame(cx)
                    .map_err(|never| match never {});
            }
            WhichProj::Through {
                body,
                cutting,
                last,
            } => return through(body, cutting, last, cx).map_err(Into::into),
            WhichProj::Translated { body, machine } => (body, machine),
        };
        loop {
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
                Some(Err(error)) => machine.fail(&cut().with_source(error)),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        machine.take(Some(chunk));
                    }
                }
            }
        }
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
            Which::Translated { body, machine } => {
                machine.out.is_empty() && (machine.ended || body.is_none())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Whole { body } => body.size_hint(),
            Which::Through { .. } | Which::Translated { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests;
