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
use super::{Ask, hedge::Heard};
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
    idle: Duration,
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
                idle: Duration::from_secs(60),
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
    /// with `upstream_timeout`. From when the request went out if that asks for a stream
    /// ([`Ask::streams`]), else from the head of the answer. Default: 30 s.
    pub fn first_event_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.first_event = timeout;
        self
    }

    /// How long the silence between two events may be while content is waited for; then the stream has
    /// failed with `upstream_timeout`. Without meaning where it is longer than
    /// [`look_ahead`](Self::look_ahead): whoever reads the answer then minds its silences. Default: 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.idle = timeout;
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
    Q: Ask,
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
            streams: req.body().streams(),
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
        streams: bool,
        // In a box: only streams are looked into.
        peek: Option<Pin<Box<Peek<B, T>>>>,
        bounds: Bounds,
        timer: T,
    }
}

pin_project! {
    /// A stream that is waited for, then looked into.
    struct Peek<B, T: Timer> {
        answer: Option<(Parts, Pin<Box<B>>)>,
        // To the first event, then to the head whatever has come.
        #[pin]
        sleep: T::Sleep,
        // Since the last event, made when there is a wait.
        #[pin]
        idle: Option<T::Sleep>,
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
        let is_begun = this.peek.as_ref().is_some_and(|peek| peek.answer.is_some());
        if !is_begun {
            let polled = this.call.poll(cx)?;
            if polled.is_pending() && !*this.streams {
                return Poll::Pending;
            }
            let within = this.bounds.first_event;
            let make = || Box::pin(Peek::new(this.timer.sleep(within)));
            let Poll::Ready(response) = polled else {
                let peek = this.peek.get_or_insert_with(make).as_mut();
                ready!(peek.project().sleep.poll(cx));
                return Poll::Ready(Ok(failed(Error::timed_out(TimeOut::FirstEvent))));
            };
            let (parts, body) = response.into_parts();
            if !parts.status.is_success() || !is_stream(&parts) {
                return Poll::Ready(Ok(Response::from_parts(parts, ResponseBody::passed(body))));
            }
            if let (Some(heard), Some(tally)) = (this.heard, parts.extensions.get::<Tally>()) {
                heard.tell(tally);
            }
            let peek = this.peek.get_or_insert_with(make).as_mut();
            *peek.project().answer = Some((parts, Box::pin(body)));
        }
        let peek = this.peek.as_mut().expect("just made");
        peek.as_mut().poll(this.bounds, this.timer, cx).map(Ok)
    }
}

impl<B, T: Timer> Peek<B, T> {
    fn new(sleep: T::Sleep) -> Self {
        Self {
            answer: None,
            sleep,
            idle: None,
            seen: Seen::default(),
        }
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
            let (_, body) = this.answer.as_mut().expect("polled after completion");
            let before = this.seen.events;
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if before > 0 && bounds.idle <= bounds.look_ahead {
                        if this.idle.is_none() {
                            this.idle.set(Some(timer.sleep(bounds.idle)));
                        }
                        let idle = this.idle.as_mut().as_pin_mut().expect("just made");
                        if idle.poll(cx).is_ready() {
                            break Some(Error::timed_out(TimeOut::Idle));
                        }
                    }
                    ready!(this.sleep.as_mut().poll(cx));
                    break (before == 0).then(|| Error::timed_out(TimeOut::FirstEvent));
                }
            };
            match this.seen.take(frame.map(|frame| frame.map_err(Into::into))) {
                Some(Look::Content) => break None,
                Some(Look::Broken(error)) => break Some(error),
                _ if this.seen.events >= bounds.events || this.seen.bytes >= bounds.bytes => {
                    break None;
                }
                _ if this.seen.events > before => {
                    this.idle.set(None);
                    if before == 0 {
                        this.sleep.set(timer.sleep(bounds.look_ahead));
                    }
                }
                _ => {}
            }
        };
        let (parts, rest) = this.answer.take().expect("polled after completion");
        Poll::Ready(match verdict {
            None => {
                let frames = std::mem::take(&mut this.seen.frames);
                Response::from_parts(parts, ResponseBody::read(frames, rest))
            }
            Some(error) => failed(error),
        })
    }
}

fn failed<B>(error: Error) -> Response<ResponseBody<B>> {
    let class = error.class().unwrap_or(Class::Transient);
    let response = error.with_class(class).response(&Dialect::openai());
    response.map(ResponseBody::own)
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
