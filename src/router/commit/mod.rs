//! Commits late: an answer's head goes out with its first content.
//!
//! [`Commit`] reads the beginning of a stream before it lets the head pass. A stream that ends,
//! fails, says an error or stays silent before its first content becomes a failed response, which
//! a router around it can still turn into an attempt elsewhere. The frames that were read come
//! first in the body, untouched, and the rest follows as the upstream sends it.
//!
//! ```
//! use tower_completions::router::commit::CommitLayer;
//! use tower_layer::Layer;
//!
//! # let provider = ();
//! let provider = CommitLayer::new().layer(provider);
//! ```

mod look;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use self::look::{Look, look};
use super::hedge::Heard;
use crate::{
    body::{BoxError, Full},
    dialect::Dialect,
    error::{Class, Error, Kind, TimeOut},
    meter::Tally,
    sse::Decoder,
    time::{DefaultTimer, Timer},
};

/// How far a stream is read before its head goes out.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    events: u32,
    bytes: usize,
    first_event: Duration,
    look_ahead: Duration,
}

/// The layer of [`Commit`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CommitLayer<T = DefaultTimer> {
    bounds: Bounds,
    timer: T,
}

impl CommitLayer {
    /// With the default bounds, on the default timer.
    pub fn new() -> Self {
        Self {
            bounds: Bounds {
                events: 64,
                bytes: 65_536,
                first_event: Duration::from_secs(30),
                look_ahead: Duration::from_secs(10),
            },
            timer: DefaultTimer::default(),
        }
    }
}

impl Default for CommitLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> CommitLayer<T> {
    /// How long a stream may take to its first event, comments not counted; then it has failed
    /// with `upstream_timeout`. Default: 30 s.
    pub fn first_event_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.first_event = timeout;
        self
    }

    /// How long after its first event content is waited for; then the head goes out without.
    /// Default: 10 s.
    pub fn look_ahead(mut self, time: Duration) -> Self {
        self.bounds.look_ahead = time;
        self
    }

    /// After how many events or bytes without content the head goes out. Default: 64 and 64 KiB.
    pub fn at_most(mut self, events: u32, bytes: usize) -> Self {
        self.bounds.events = events;
        self.bounds.bytes = bytes;
        self
    }
}

impl<S, T: Clone> Layer<S> for CommitLayer<T> {
    type Service = Commit<S, T>;

    fn layer(&self, inner: S) -> Commit<S, T> {
        Commit {
            inner,
            bounds: self.bounds,
            timer: self.timer.clone(),
        }
    }
}

/// Holds a stream's head back until its first content. Made by [`CommitLayer`].
#[derive(Clone, Debug)]
pub struct Commit<S, T = DefaultTimer> {
    inner: S,
    bounds: Bounds,
    timer: T,
}

impl<S, Q, B, T> Service<Request<Q>> for Commit<S, T>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Request<Q>) -> Self::Future {
        ResponseFuture {
            heard: req.extensions().get::<Heard>().cloned(),
            call: self.inner.call(req),
            peek: None,
            bounds: self.bounds,
            timer: self.timer.clone(),
        }
    }
}

/// What has been read of a stream.
#[derive(Default)]
struct Seen {
    decoder: Decoder,
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    events: u32,
}

pin_project! {
    /// The future of [`Commit`]. Dropping it drops the upstream's stream.
    pub struct ResponseFuture<F, B, T: Timer> {
        #[pin]
        call: F,
        heard: Option<Heard>,
        // In a box: only streams are looked into.
        peek: Option<Pin<Box<Peek<B, T>>>>,
        bounds: Bounds,
        timer: T,
    }
}

pin_project! {
    /// A stream that is being looked into.
    struct Peek<B, T: Timer> {
        parts: Option<Parts>,
        body: Option<Pin<Box<B>>>,
        #[pin]
        sleep: T::Sleep,
        seen: Seen,
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
        if this.peek.is_none() {
            let (parts, body) = ready!(this.call.poll(cx))?.into_parts();
            if !parts.status.is_success() || !is_stream(&parts) {
                return Poll::Ready(Ok(Response::from_parts(parts, ResponseBody::passed(body))));
            }
            if let (Some(heard), Some(tally)) = (this.heard, parts.extensions.get::<Tally>()) {
                heard.tell(tally);
            }
            *this.peek = Some(Box::pin(Peek {
                parts: Some(parts),
                body: Some(Box::pin(body)),
                sleep: this.timer.sleep(this.bounds.first_event),
                seen: Seen::default(),
            }));
        }
        let peek = this.peek.as_mut().expect("just made");
        peek.as_mut().poll(this.bounds, this.timer, cx).map(Ok)
    }
}

impl<B, T> Peek<B, T>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    fn poll(
        self: Pin<&mut Self>,
        bounds: &Bounds,
        timer: &T,
        cx: &mut Context<'_>,
    ) -> Poll<Response<ResponseBody<B>>> {
        let mut this = self.project();
        let verdict = loop {
            let body = this.body.as_mut().expect("polled after completion");
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(this.sleep.as_mut().poll(cx));
                    break (this.seen.events == 0).then(|| Error::timed_out(TimeOut::FirstEvent));
                }
            };
            let none_before = this.seen.events == 0;
            match this.seen.take(frame.map(|frame| frame.map_err(Into::into))) {
                Some(Look::Content) => break None,
                Some(Look::Broken(error)) => break Some(error),
                _ if this.seen.events >= bounds.events || this.seen.bytes >= bounds.bytes => {
                    break None;
                }
                _ if none_before && this.seen.events > 0 => {
                    this.sleep.set(timer.sleep(bounds.look_ahead));
                }
                _ => {}
            }
        };
        let parts = this.parts.take().expect("polled after completion");
        let rest = this.body.take().expect("polled after completion");
        Poll::Ready(match verdict {
            None => {
                let frames = std::mem::take(&mut this.seen.frames);
                Response::from_parts(parts, ResponseBody::read(frames, rest))
            }
            Some(error) => {
                let class = error.class().unwrap_or(Class::Transient);
                let response = error.with_class(class).response(&Dialect::openai());
                response.map(ResponseBody::own)
            }
        })
    }
}

impl Seen {
    /// Takes what the body gave; what it tells, if anything.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Option<Look> {
        let cut = || {
            let error = Error::new(Kind::BadUpstream, "the upstream cut its answer");
            error.with_class(Class::Transient)
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(Look::Broken(cut().with_source(error))),
            None => {
                return Some(match self.decoder.finish() {
                    Some(Ok(event)) if matches!(look(&event), Look::Content) => Look::Content,
                    _ => Look::Broken(cut()),
                });
            }
        };
        let data = frame.data_ref().cloned();
        self.frames.push_back(frame);
        let data = data?;
        self.bytes += data.len();
        self.decoder.push(data);
        while let Some(event) = self.decoder.next() {
            match event {
                Ok(event) => {
                    self.events += 1;
                    let seen = look(&event);
                    if !matches!(seen, Look::Lifecycle) {
                        return Some(seen);
                    }
                }
                Err(error) => return Some(Look::Broken(cut().with_source(error))),
            }
        }
        None
    }
}

fn is_stream(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

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
    const fn passed(body: B) -> Self {
        Self {
            kind: Which::Passed { body },
        }
    }

    const fn read(frames: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>>) -> Self {
        Self {
            kind: Which::Read { frames, rest },
        }
    }

    const fn own(body: Full) -> Self {
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
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => rest.as_mut().poll_frame(cx),
            },
            WhichProj::Own { body } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
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
