use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    body::{ResponseBody, Sleeping, broken, too_late},
    clock::{Clock, Due, Times},
    config::Config,
    fault::too_large,
    fold::{self, Folder},
    layer::Settings,
    machine::Machine,
    read::Reader,
    service::Asked,
    whole,
};
use crate::{
    body::{BoxError, Full},
    error::Error,
    meter::{Outcome, Tally},
    time::Timer,
    wire::Counting,
};

pin_project! {
    /// The answer to come.
    ///
    /// A whole answer is read to its end before it goes out; the head of a stream goes out at
    /// once. Dropped, it drops the inner service's future or body, and nothing is left.
    pub struct ResponseFuture<F, B, T: Timer> {
        #[pin]
        state: State<F, B, T>,
        settings: Arc<Settings>,
        timer: T,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, T: Timer> {
        Asking {
            #[pin]
            future: F,
            #[pin]
            sleep: Option<T::Sleep>,
            ends: Option<Instant>,
            asked: Option<Asked>,
        },
        Reading {
            #[pin]
            body: B,
            #[pin]
            sleep: Option<T::Sleep>,
            wakes: Option<Instant>,
            clock: Clock,
            parts: Option<Parts>,
            gather: Gather,
            read: usize,
        },
    }
}

/// What becomes of a body that is read to its end.
#[derive(Debug)]
enum Gather {
    /// An answer, as one.
    Whole(Pieces, Config, Tally),
    /// An answer, to be sent as a stream.
    Unfold(Pieces, Box<Machine>),
    /// A stream, to be sent as one answer.
    Fold(Box<Folder>),
}

/// A body that nearly always comes in one piece.
#[derive(Debug, Default)]
struct Pieces {
    first: Bytes,
    more: BytesMut,
}

impl Pieces {
    fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = chunk;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&mem::take(&mut self.first));
            }
            self.more.extend_from_slice(&chunk);
        }
    }

    fn take(&mut self) -> Bytes {
        if self.more.is_empty() {
            mem::take(&mut self.first)
        } else {
            mem::take(&mut self.more).freeze()
        }
    }
}

impl<F, B, T: Timer> ResponseFuture<F, B, T> {
    pub(super) fn new(future: F, asked: Asked, settings: Arc<Settings>, timer: T) -> Self {
        // A whole answer has its time from here on. A stream must begin within it, and has as much
        // again from its head on.
        let total = settings.times.total;
        Self {
            state: State::Asking {
                future,
                sleep: None,
                ends: total.and_then(|total| timer.now().checked_add(total)),
                asked: Some(asked),
            },
            settings,
            timer,
        }
    }
}

impl<F, B, T: Timer> fmt::Debug for ResponseFuture<F, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl<F, B, E, T> Future for ResponseFuture<F, B, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Output = Result<Response<ResponseBody<B, T>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Asking {
                    future,
                    mut sleep,
                    ends,
                    asked,
                } => {
                    let Poll::Ready(response) = future.poll(cx) else {
                        let Some(ends) = *ends else {
                            return Poll::Pending;
                        };
                        if sleep.is_none() {
                            sleep.set(Some(this.timer.sleep_until(ends)));
                        }
                        if let Some(sleep) = sleep.as_pin_mut() {
                            ready!(sleep.poll(cx));
                        }
                        let error = too_late(Due::TooLong);
                        let refusal = error.response(&this.settings.dialect);
                        return Poll::Ready(Ok(refusal.map(ResponseBody::own)));
                    };
                    let response = response?;
                    let asked = asked.take().expect("polled after completion");
                    match begin(response, asked, this.settings, this.timer) {
                        Begun::Ready(response) => return Poll::Ready(Ok(*response)),
                        Begun::Read(parts, body, gather) => {
                            let times = gather.times(&this.settings.times);
                            let ends = *ends;
                            this.state.set(State::Reading {
                                body,
                                sleep: None,
                                wakes: None,
                                clock: Clock::new(times, this.timer.now()).ending(ends),
                                parts: Some(*parts),
                                gather,
                                read: 0,
                            });
                        }
                    }
                }
                StateProj::Reading {
                    mut body,
                    mut sleep,
                    wakes,
                    clock,
                    parts,
                    gather,
                    read,
                } => {
                    let result = loop {
                        let frame = body.as_mut().poll_frame(cx);
                        // An upstream that never pauses would never be asked for the time.
                        if frame.is_pending() || clock.is_over(this.timer.now()) {
                            let mut sleeping = Sleeping {
                                sleep: sleep.as_mut(),
                                wakes,
                                timer: this.timer,
                                clock,
                            };
                            match sleeping.poll(cx) {
                                Poll::Ready(due) => break Err(too_late(due)),
                                Poll::Pending if frame.is_pending() => return Poll::Pending,
                                Poll::Pending => {}
                            }
                        }
                        let Poll::Ready(frame) = frame else {
                            return Poll::Pending;
                        };
                        match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                            Some(Ok(Ok(chunk))) => {
                                *read = read.saturating_add(chunk.len());
                                if *read > this.settings.max_answer {
                                    break Err(too_large(this.settings.max_answer));
                                }
                                match gather.push(chunk) {
                                    Ok(true) => clock.event(this.timer.now()),
                                    Ok(false) => {}
                                    Err(error) => break Err(error),
                                }
                            }
                            Some(Ok(Err(_))) => {}
                            Some(Err(error)) => break Err(broken(error.into())),
                            None => break gather.finish(),
                        }
                    };
                    let parts = parts.take().expect("polled after completion");
                    let stream = matches!(gather, Gather::Unfold(..));
                    return Poll::Ready(Ok(finish(parts, result, stream, this.settings)));
                }
            }
        }
    }
}

impl Gather {
    /// Takes the next bytes; whether an event came with them.
    fn push(&mut self, chunk: Bytes) -> Result<bool, Error> {
        match self {
            Self::Whole(pieces, ..) | Self::Unfold(pieces, _) => {
                pieces.push(chunk);
                Ok(false)
            }
            Self::Fold(folder) => {
                let before = folder.events();
                folder.push(chunk)?;
                Ok(folder.events() != before)
            }
        }
    }

    /// How long it may take. Only a stream has events to wait for, and nothing goes out meanwhile.
    fn times(&self, times: &Times) -> Times {
        let (first, idle) = match self {
            Self::Fold(_) => (times.first, times.idle),
            Self::Whole(..) | Self::Unfold(..) => (None, None),
        };
        Times {
            first,
            idle,
            total: times.total,
            keep_alive: None,
        }
    }

    fn finish(&mut self) -> Result<Bytes, Error> {
        match self {
            Self::Whole(pieces, config, tally) => whole::answer(
                &mut Reader::new(config.clone(), tally.clone()),
                &pieces.take(),
            ),
            Self::Unfold(pieces, machine) => {
                let stream = fold::unfold(&pieces.take())?;
                // It ends with `[DONE]`, so everything goes out in one frame.
                Ok(machine.push(stream).unwrap_or_default())
            }
            Self::Fold(folder) => folder.finish(),
        }
    }
}

enum Begun<B, T: Timer> {
    Ready(Box<Response<ResponseBody<B, T>>>),
    Read(Box<Parts>, B, Gather),
}

/// Decides by the head what becomes of an answer.
fn begin<B, T: Timer>(
    response: Response<B>,
    asked: Asked,
    settings: &Settings,
    timer: &T,
) -> Begun<B, T> {
    let (mut parts, body) = response.into_parts();
    let pass = |parts, body| {
        let body = ResponseBody::inner(body);
        Begun::Ready(Box::new(Response::from_parts(parts, body)))
    };
    // A refusal is somebody's answer already, and what is compressed cannot be read.
    if !parts.status.is_success()
        || parts.extensions.get::<Error>().is_some()
        || parts.headers.contains_key(header::CONTENT_ENCODING)
    {
        return pass(parts, body);
    }
    let kind = Content::of(&parts.headers, asked.stream);
    if kind == Content::Other || ((kind == Content::Stream) != asked.stream && !settings.convert) {
        return pass(parts, body);
    }
    let mut config: Config = asked.config;
    if let Some(counting) = parts.extensions.get::<Counting>() {
        config.counting = *counting;
    }
    let tally = parts.extensions.get_or_insert_default::<Tally>().clone();
    // It is read here, so nobody further out need do it again.
    let _ = tally.claim();
    match (kind == Content::Stream, asked.stream) {
        (true, true) => {
            stream_headers(&mut parts.headers);
            let machine = Machine::new(config, settings.limits, tally);
            let clock = Clock::new(settings.times, timer.now());
            let body = ResponseBody::stream(body, timer.clone(), clock, machine);
            Begun::Ready(Box::new(Response::from_parts(parts, body)))
        }
        (true, false) => {
            let folder = Box::new(Folder::new(config, settings.limits, tally));
            Begun::Read(Box::new(parts), body, Gather::Fold(folder))
        }
        (false, true) => {
            let machine = Box::new(Machine::new(config, settings.limits, tally));
            let gather = Gather::Unfold(Pieces::default(), machine);
            Begun::Read(Box::new(parts), body, gather)
        }
        (false, false) => {
            let gather = Gather::Whole(Pieces::default(), config, tally);
            Begun::Read(Box::new(parts), body, gather)
        }
    }
}

/// The answer, or the refusal that takes its place.
fn finish<B, T: Timer>(
    mut parts: Parts,
    result: Result<Bytes, Error>,
    stream: bool,
    settings: &Settings,
) -> Response<ResponseBody<B, T>> {
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRANSFER_ENCODING);
    match result {
        Ok(bytes) => {
            if stream {
                stream_headers(&mut parts.headers);
            } else {
                let kind = parts.headers.get(header::CONTENT_TYPE);
                if kind.is_none_or(|kind| kind != "application/json") {
                    let json = HeaderValue::from_static("application/json");
                    parts.headers.insert(header::CONTENT_TYPE, json);
                }
            }
            Response::from_parts(parts, ResponseBody::own(Full::new(bytes)))
        }
        Err(error) => {
            if let Some(tally) = parts.extensions.get::<Tally>() {
                tally.end(Outcome::Failed(error.clone()));
            }
            let (head, body) = error.response(&settings.dialect).into_parts();
            parts.status = head.status;
            parts.headers.extend(head.headers);
            parts.extensions.extend(head.extensions);
            Response::from_parts(parts, ResponseBody::own(body))
        }
    }
}

/// What a body is by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Stream,
    Whole,
    Other,
}

impl Content {
    /// Without a content type, it is what was asked for.
    fn of(headers: &HeaderMap, stream: bool) -> Self {
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return if stream { Self::Stream } else { Self::Whole };
        };
        let kind = kind.as_bytes();
        let end = memchr::memchr(b';', kind).unwrap_or(kind.len());
        let essence = kind[..end].trim_ascii();
        if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Stream
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Whole
        } else {
            Self::Other
        }
    }
}

fn stream_headers(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
