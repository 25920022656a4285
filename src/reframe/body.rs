use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    clock::{Clock, Due},
    machine::Machine,
};
use crate::{
    body::{BoxError, Full},
    error::{Class, Error, Kind, TimeOut},
    time::Timer,
};

/// A comment, which is no event.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// Reads that complete nothing after which other tasks get their turn.
const READS: u32 = 64;

pin_project! {
    /// The answer: a stream made canonical, whole bytes, or the inner service's own body.
    ///
    /// Dropping it drops the upstream's body at once; nothing else is left behind.
    pub struct ResponseBody<B, T: Timer> {
        #[pin]
        kind: Which<B, T>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B, T: Timer> {
        Inner { #[pin] body: B },
        Own { body: Full },
        Stream { #[pin] stream: Stream<B, T> },
    }
}

pin_project! {
    /// One stream on its way.
    struct Stream<B, T: Timer> {
        // Gone as soon as nothing more is wanted of it.
        #[pin]
        upstream: Option<B>,
        #[pin]
        sleep: Option<T::Sleep>,
        // When the sleep ends, which may be sooner than anything is due.
        wakes: Option<Instant>,
        timer: T,
        clock: Clock,
        machine: Box<Machine>,
    }
}

impl<B, T: Timer> ResponseBody<B, T> {
    pub(super) fn inner(body: B) -> Self {
        let kind = Which::Inner { body };
        Self { kind }
    }

    pub(super) fn own(body: Full) -> Self {
        let kind = Which::Own { body };
        Self { kind }
    }

    pub(super) fn stream(body: B, timer: T, clock: Clock, machine: Box<Machine>) -> Self {
        let stream = Stream {
            upstream: Some(body),
            sleep: None,
            wakes: None,
            timer,
            clock,
            machine,
        };
        let kind = Which::Stream { stream };
        Self { kind }
    }
}

impl<B, T: Timer> fmt::Debug for ResponseBody<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Which::Inner { .. } => "ResponseBody::Inner",
            Which::Own { .. } => "ResponseBody::Own",
            Which::Stream { .. } => "ResponseBody::Stream",
        })
    }
}

impl<B: Default, T: Timer> Default for ResponseBody<B, T> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B, T> Body for ResponseBody<B, T>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            WhichProj::Inner { body } => body.poll_frame(cx),
            WhichProj::Own { body } => Poll::Ready(body.frame().map(Ok)),
            WhichProj::Stream { stream } => stream
                .poll(cx)
                .map(|frame| frame.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Inner { body } => body.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
            Which::Stream { stream } => stream.machine.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Inner { body } => body.size_hint(),
            Which::Own { body } => body.size_hint(),
            Which::Stream { .. } => SizeHint::default(),
        }
    }
}

impl<B, T> Stream<B, T>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut this = self.project();
        if let Some(frame) = this.machine.more() {
            return Poll::Ready(Some(frame));
        }
        for read in 1..=READS {
            let Some(upstream) = this.upstream.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            let events = this.machine.events();
            let frame = match upstream.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => this.machine.push(chunk),
                    // Trailers have no place behind an event stream.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => this.machine.fail(broken(error.into())),
                Poll::Ready(None) => this.machine.end(),
                Poll::Pending => {
                    if this.machine.has_heard() {
                        this.clock.heard(this.timer.now());
                    }
                    let first = this.clock.waits();
                    let mut sleeping = Sleeping {
                        sleep: this.sleep,
                        wakes: this.wakes,
                        timer: this.timer,
                        clock: this.clock,
                    };
                    let mut due = ready!(sleeping.poll(cx));
                    if first && due == Due::Stalled {
                        // Nobody has asked the upstream for so long: the silence was the client's.
                        sleeping.clock.paused(sleeping.timer.now());
                        due = ready!(sleeping.poll(cx));
                    }
                    let late = match due {
                        Due::KeepAlive => {
                            sleeping.clock.taken();
                            return Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)));
                        }
                        due => too_late(due),
                    };
                    // Noted first: what is inside judges the target by it when it is dropped.
                    let last = this.machine.fail(late);
                    this.upstream.set(None);
                    return Poll::Ready(last);
                }
            };
            let over = this.machine.has_ended();
            let chunks = this.machine.events() != events;
            if over {
                this.upstream.set(None);
            } else if chunks || read == READS {
                let now = this.timer.now();
                if chunks {
                    this.clock.event(now);
                }
                // What waits for a name would have gone out: the silence behind it is one.
                if frame.is_some() || this.machine.is_waiting() {
                    this.clock.sent(now);
                }
                // An upstream that never pauses would never be asked for the time.
                if this.clock.is_over(now) {
                    let mut sleeping = Sleeping {
                        sleep: this.sleep.as_mut(),
                        wakes: this.wakes,
                        timer: this.timer,
                        clock: this.clock,
                    };
                    if let Poll::Ready(due) = sleeping.poll(cx) {
                        let last = this.machine.fail(too_late(due));
                        this.upstream.set(None);
                        return Poll::Ready(join(frame, last));
                    }
                }
            }
            if frame.is_some() || over {
                this.clock.taken();
                return Poll::Ready(frame);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The parts of a stream that wait.
pub(super) struct Sleeping<'a, T: Timer> {
    pub(super) sleep: Pin<&'a mut Option<T::Sleep>>,
    pub(super) wakes: &'a mut Option<Instant>,
    pub(super) timer: &'a T,
    pub(super) clock: &'a mut Clock,
}

impl<T: Timer> Sleeping<'_, T> {
    /// Waits until something is due. The sleep says so, not the clock: a timer that never ends
    /// switches every time-out off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            // A sleep that ends sooner stays: what it was armed for has only moved away since, and
            // to arm it for every event would cost more than to look again once.
            if self.clock.comes_sooner() || self.wakes.is_none() {
                let Some(at) = self.clock.next() else {
                    return Poll::Pending;
                };
                if self.wakes.is_none_or(|wakes| wakes > at) {
                    self.sleep.set(Some(self.timer.sleep_until(at)));
                    *self.wakes = Some(at);
                }
            }
            if let Some(sleep) = self.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            self.sleep.set(None);
            *self.wakes = None;
            let now = self.timer.now();
            match self.clock.due(now) {
                Due::Later => {}
                Due::KeepAlive => {
                    self.clock.sent(now);
                    return Poll::Ready(Due::KeepAlive);
                }
                due => return Poll::Ready(due),
            }
        }
    }
}

fn join(first: Option<Bytes>, last: Option<Bytes>) -> Option<Bytes> {
    match (first, last) {
        (Some(first), Some(last)) => Some([first, last].concat().into()),
        (first, last) => first.or(last),
    }
}

pub(super) fn broken(cause: BoxError) -> Error {
    Error::new(
        Kind::BadUpstream,
        "The connection to the provider broke before the answer was finished.",
    )
    .with_class(Class::Transient)
    .with_source(cause)
}

pub(super) fn too_late(due: Due) -> Error {
    Error::timed_out(match due {
        Due::TooLong => TimeOut::Total,
        Due::Silent => TimeOut::FirstEvent,
        _ => TimeOut::Idle,
    })
}
