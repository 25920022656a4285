use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Chat, ChatBody, ReadLimits,
    content::{Content, Encoding},
    head::too_slow,
};
use crate::{
    body::Reply,
    dialect::Dialect,
    error::{Error, Kind},
    time::{Timer, after},
};

pin_project! {
    /// The response of `Parse`: first the body is read, then the inner service is called.
    pub struct ResponseFuture<S, B, T>
    where
        S: Service<Request<ChatBody>>,
        T: Timer,
    {
        #[pin]
        state: State<S, B, T, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, T: Timer, F> {
        Reading { #[pin] body: B, reading: Reading<T>, waiting: Option<(S, Parts)> },
        Calling { #[pin] call: F },
        Refused { error: Option<Error>, value_status: StatusCode },
    }
}

/// What has been read, and how long it may still take.
struct Reading<T: Timer> {
    content: Content,
    limits: ReadLimits,
    timer: T,
    /// When reading began and when something came last; both are unknown until there is a wait.
    times: Option<(Instant, Instant)>,
    sleep: Option<Pin<Box<T::Sleep>>>,
}

impl<T: Timer> Reading<T> {
    /// Something came: the silence begins anew.
    fn heard(&mut self) {
        if let Some((_, last)) = &mut self.times {
            *last = self.timer.now();
            self.sleep = None;
        }
    }

    /// Nothing is there: whether the wait has lasted too long. A server that reads the body when it is
    /// first asked for has it at the next look, so the timer is armed at the second.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((begun, last)) = self.times else {
            let now = self.timer.now();
            self.times = Some((now, now));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let deadline = after(begun, self.limits.timeout).min(after(last, self.limits.idle_timeout));
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(self.timer.sleep_until(deadline)));
        sleep.as_mut().poll(cx)
    }
}

impl<S: Service<Request<ChatBody>>, B, T: Timer> ResponseFuture<S, B, T> {
    pub(super) fn calling(call: S::Future) -> Self {
        Self {
            state: State::Calling { call },
        }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self {
            state: State::Refused {
                error: Some(error),
                value_status: StatusCode::BAD_REQUEST,
            },
        }
    }

    pub(super) fn reading(
        inner: S,
        parts: Parts,
        (body, encoding): (B, Encoding),
        limits: ReadLimits,
        timer: T,
    ) -> Self
    where
        B: Body,
    {
        let announced = body.size_hint().upper();
        let reading = Reading {
            content: Content::new(encoding, limits.max_bytes, announced),
            limits,
            timer,
            times: None,
            sleep: None,
        };
        Self {
            state: State::Reading {
                body,
                reading,
                waiting: Some((inner, parts)),
            },
        }
    }
}

impl<S: Service<Request<ChatBody>>, B, T: Timer> fmt::Debug for ResponseFuture<S, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parse::ResponseFuture")
    }
}

impl<S, B, T, R> Future for ResponseFuture<S, B, T>
where
    S: Service<Request<ChatBody>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    T: Timer,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { call } => {
                    return call.poll(cx).map_ok(|response| response.map(Reply::inner));
                }
                StateProj::Refused {
                    error,
                    value_status,
                } => {
                    let error = error.take().expect("polled after completion");
                    let dialect = Dialect {
                        value_status: *value_status,
                        ..Dialect::openai()
                    };
                    return Poll::Ready(Ok(error.response(&dialect).map(Reply::own)));
                }
                StateProj::Reading {
                    body,
                    reading,
                    waiting,
                } => match ready!(poll_read(body, reading, cx)) {
                    Err(error) => State::Refused {
                        error: Some(error),
                        value_status: reading.limits.value_status,
                    },
                    Ok(bytes) => {
                        let (mut inner, mut parts) =
                            waiting.take().expect("polled after completion");
                        match parsed(&mut parts, bytes, &reading.limits) {
                            Err(error) => State::Refused {
                                error: Some(error),
                                value_status: reading.limits.value_status,
                            },
                            Ok(chat) => {
                                let body = ChatBody::new(chat);
                                let call = inner.call(Request::from_parts(parts, body));
                                State::Calling { call }
                            }
                        }
                    }
                },
            };
            state.set(next);
        }
    }
}

fn poll_read<B: Body<Data = Bytes>, T: Timer>(
    mut body: Pin<&mut B>,
    reading: &mut Reading<T>,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, Error>> {
    loop {
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(reading.content.take()),
            Poll::Ready(Some(Err(_))) => {
                let message = "The body ended before it was whole.";
                let error = Error::new(Kind::Format, message).with_code("invalid_json");
                return Poll::Ready(Err(error));
            }
            Poll::Ready(Some(Ok(frame))) => {
                reading.heard();
                let Ok(chunk) = frame.into_data() else {
                    continue;
                };
                if let Err(error) = reading.content.push(chunk) {
                    return Poll::Ready(Err(error));
                }
                // A body that drips without ever being silent must still end in time.
                if let Some((begun, last)) = reading.times {
                    if last - begun >= reading.limits.timeout {
                        return Poll::Ready(Err(too_slow()));
                    }
                }
                // Without a look at what is known to be nothing.
                if body.is_end_stream() {
                    return Poll::Ready(reading.content.take());
                }
            }
            Poll::Pending => {
                ready!(reading.poll_timeout(cx));
                return Poll::Ready(Err(too_slow()));
            }
        }
    }
}

/// The parse of these bytes: the one in the extensions when it is of the very same, else a new one.
fn parsed(parts: &mut Parts, bytes: Bytes, limits: &ReadLimits) -> Result<Chat, Error> {
    if let Some(chat) = parts.extensions.get::<Chat>() {
        if chat.is_of(&bytes) {
            return Ok(chat.clone());
        }
    }
    let chat = Chat::read(bytes, limits.bounds())?;
    parts.extensions.insert(chat.clone());
    Ok(chat)
}
