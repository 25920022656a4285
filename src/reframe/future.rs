use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    begin::{Begun, begin, stream_headers, unframe},
    body::{ResponseBody, Sleeping, too_late},
    clock::{Clock, Due},
    gather::{Gather, poll_read},
    layer::Settings,
    service::Asked,
};
use crate::{
    body::{BoxError, Full},
    error::Error,
    media,
    meter::{Outcome, Tally},
    time::{Timer, lately},
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
