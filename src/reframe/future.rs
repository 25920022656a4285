use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    body::{ResponseBody, Sleeping, broken, too_late},
    clock::{Clock, Due},
    config::Config,
    fault::too_large,
    fold::Folder,
    layer::Settings,
    machine::Machine,
    read::Reader,
    service::Asked,
    unfold::unfold,
    whole,
};
use crate::{
    body::{BoxError, Full, Pieces},
    error::{Error, Kind},
    media,
    meter::{Outcome, Tally},
    time::{Timer, lately},
    wire::Counting,
};

pin_project! {
    /// The answer to come.
    ///
    /// A whole answer is read to its end before it goes out; the head of a stream goes out at
    /// once. Dropped, it drops the inner service's future or body, and nothing is left.
    pub struct ResponseFuture<F, B, T: Timer> {
        #[pin]
        state: State<F, B>,
        // For the head and then for what is read, so that one that is armed need not be armed anew.
        #[pin]
        sleep: Option<T::Sleep>,
        wakes: Option<Instant>,
        ends: Option<Instant>,
        settings: Arc<Settings>,
        timer: T,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        Asking {
            #[pin]
            future: F,
            asked: Option<Asked>,
        },
        Reading {
            #[pin]
            body: B,
            reading: Reading,
        },
    }
}

/// What is being read to its end.
struct Reading {
    parts: Option<Parts>,
    gather: Option<Gather>,
    clock: Clock,
    read: usize,
}

/// What becomes of a body that is read to its end.
enum Gather {
    /// An answer, as one.
    Whole(Pieces, Config, Tally),
    /// An answer, to be sent as a stream.
    Unfold(Pieces, Box<Machine>),
    /// A stream, to be sent as one answer.
    Fold(Box<Folder>),
}

impl<F, B, T: Timer> ResponseFuture<F, B, T> {
    pub(super) fn new(future: F, asked: Asked, settings: Arc<Settings>, timer: T) -> Self {
        // A whole answer has its time from here on. A stream must begin within it, and has as much
        // again from its head on.
        let total = settings.times.total;
        Self {
            state: State::Asking {
                future,
                asked: Some(asked),
            },
            sleep: None,
            wakes: None,
            ends: total.and_then(|total| lately(&timer).checked_add(total)),
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
                StateProj::Asking { future, asked } => {
                    let Poll::Ready(response) = future.poll(cx) else {
                        let Some(ends) = *this.ends else {
                            return Poll::Pending;
                        };
                        if this.sleep.is_none() {
                            this.sleep.set(Some(this.timer.sleep_until(ends)));
                            *this.wakes = Some(ends);
                        }
                        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                            ready!(sleep.poll(cx));
                        }
                        let error = too_late(Due::TooLong);
                        let refusal = error.response(&this.settings.dialect);
                        return Poll::Ready(Ok(refusal.map(ResponseBody::own)));
                    };
                    let (mut parts, body) = response?.into_parts();
                    let asked = asked.take().expect("polled after completion");
                    let gather = match begin(&mut parts, asked, this.settings) {
                        Begun::Read(gather) => gather,
                        Begun::Pass => {
                            let body = ResponseBody::inner(body);
                            return Poll::Ready(Ok(Response::from_parts(parts, body)));
                        }
                        Begun::Stream(machine) => {
                            let clock = Clock::new(this.settings.times, this.timer.now());
                            let body =
                                ResponseBody::stream(body, this.timer.clone(), clock, machine);
                            return Poll::Ready(Ok(Response::from_parts(parts, body)));
                        }
                    };
                    let clock = match &gather {
                        Gather::Fold(_) => {
                            Clock::new(this.settings.times.unseen(), this.timer.now())
                                .ending(*this.ends)
                        }
                        Gather::Whole(..) | Gather::Unfold(..) => Clock::until(*this.ends),
                    };
                    let reading = Reading {
                        parts: Some(parts),
                        gather: Some(gather),
                        clock,
                        read: 0,
                    };
                    this.state.set(State::Reading { body, reading });
                }
                StateProj::Reading { body, reading } => {
                    let sleeping = Sleeping {
                        sleep: this.sleep,
                        wakes: this.wakes,
                        timer: this.timer,
                        clock: &mut reading.clock,
                    };
                    let gather = reading.gather.as_mut().expect("polled after completion");
                    let most = this.settings.max_answer;
                    let read = poll_read(body, gather, &mut reading.read, most, sleeping, cx);
                    let result = ready!(read);
                    let gather = reading.gather.take().expect("just looked at");
                    let parts = reading.parts.take().expect("there as long as that");
                    let stream = matches!(gather, Gather::Unfold(..));
                    let result = result.and_then(|()| gather.finish());
                    return Poll::Ready(Ok(finish(parts, result, stream, this.settings)));
                }
            }
        }
    }
}

/// Reads a body to its end.
fn poll_read<B, T>(
    mut body: Pin<&mut B>,
    gather: &mut Gather,
    read: &mut usize,
    most: usize,
    mut sleeping: Sleeping<'_, T>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    let mut again = false;
    loop {
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            if gather.has_heard() {
                sleeping.clock.heard(sleeping.timer.now());
            }
            let due = ready!(sleeping.poll(cx));
            return Poll::Ready(Err(too_late(due)));
        };
        let Some(frame) = frame else {
            return Poll::Ready(Ok(()));
        };
        // An upstream that never pauses would never be asked for the time.
        if mem::replace(&mut again, true) && sleeping.clock.is_over(sleeping.timer.now()) {
            if let Poll::Ready(due) = sleeping.poll(cx) {
                return Poll::Ready(Err(too_late(due)));
            }
        }
        let Ok(chunk) = frame.map_err(|error| broken(error.into()))?.into_data() else {
            continue;
        };
        *read = read.saturating_add(chunk.len());
        if *read > most {
            return Poll::Ready(Err(too_large(most)));
        }
        if gather.push(chunk)? {
            sleeping.clock.event(sleeping.timer.now());
        }
        // Without a look at what is known to be nothing.
        if body.is_end_stream() {
            return Poll::Ready(Ok(()));
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

    /// Whether an event came that gave nothing to gather.
    fn has_heard(&mut self) -> bool {
        match self {
            Self::Whole(..) | Self::Unfold(..) => false,
            Self::Fold(folder) => folder.has_heard(),
        }
    }

    fn finish(self) -> Result<Bytes, Error> {
        match self {
            Self::Whole(mut pieces, config, tally) => {
                whole::answer(&mut Reader::new(config, tally), &pieces.take())
            }
            Self::Unfold(mut pieces, mut machine) => {
                let stream = unfold(&pieces.take())?;
                // It ends with `[DONE]`, so that all of it is there.
                let mut all = Pieces::default();
                all.push(machine.push(stream).unwrap_or_default());
                while let Some(more) = machine.more() {
                    all.push(more);
                }
                // Nothing has gone out yet, so that it need not be told in the stream.
                machine.failure().map_or_else(|| Ok(all.take()), Err)
            }
            Self::Fold(mut folder) => folder.finish(),
        }
    }
}

enum Begun {
    /// It goes out as it is.
    Pass,
    Stream(Box<Machine>),
    Read(Gather),
}

/// Decides by the head what becomes of an answer.
fn begin(parts: &mut Parts, asked: Asked, settings: &Settings) -> Begun {
    // A refusal is somebody's answer already, and what is compressed cannot be read.
    if let Some(error) = parts.extensions.get::<Error>() {
        // Who refused did not know the dialect, which has a status of its own for values.
        if error.kind() == Kind::Value {
            parts.status = error.status(&settings.dialect);
        }
        return Begun::Pass;
    }
    if !parts.status.is_success() || media::has(&parts.headers, &header::CONTENT_ENCODING) {
        return Begun::Pass;
    }
    let kind = Content::of(&parts.headers, asked.stream);
    if kind == Content::Other || ((kind == Content::Stream) != asked.stream && !settings.convert) {
        return Begun::Pass;
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
            Begun::Stream(Box::new(Machine::new(config, settings.limits, tally)))
        }
        (true, false) => {
            let folder = Box::new(Folder::new(config, settings.limits, tally));
            Begun::Read(Gather::Fold(folder))
        }
        (false, true) => {
            let machine = Box::new(Machine::new(config, settings.limits, tally));
            Begun::Read(Gather::Unfold(Pieces::default(), machine))
        }
        (false, false) => Begun::Read(Gather::Whole(Pieces::default(), config, tally)),
    }
}

/// The answer, or the refusal that takes its place.
fn finish<B, T: Timer>(
    mut parts: Parts,
    result: Result<Bytes, Error>,
    stream: bool,
    settings: &Settings,
) -> Response<ResponseBody<B, T>> {
    unframe(&mut parts.headers);
    match result {
        Ok(bytes) => {
            if stream {
                stream_headers(&mut parts.headers);
            } else {
                let kind = media::kind(&parts.headers);
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
        let Some(essence) = media::essence(headers) else {
            return if stream { Self::Stream } else { Self::Whole };
        };
        if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Stream
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Whole
        } else {
            Self::Other
        }
    }
}

/// The body is another one than that which the head came with. Most say neither.
fn unframe(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        if media::has(headers, &name) {
            headers.remove(name);
        }
    }
}

fn stream_headers(headers: &mut HeaderMap) {
    unframe(headers);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
