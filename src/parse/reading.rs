//! The body of a request on its way: all of it that is there, and how long the rest may take.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;

use super::{
    Chat, ChatBody, ReadLimits,
    content::{Content, Encoding},
    head::too_slow,
};
use crate::{
    error::{Error, Kind},
    time::{Timer, after},
};

/// What has been read, and how long it may still take.
pub(super) struct Reading<B, T: Timer> {
    // In a box: it is read as soon as it is there, before it is known whether it has to be kept.
    body: Pin<Box<B>>,
    content: Content,
    limits: ReadLimits,
    timer: T,
    /// When reading began and when something came last; both are unknown until there is a wait.
    times: Option<(Instant, Instant)>,
    sleep: Option<Pin<Box<T::Sleep>>>,
}

impl<B: Body<Data = Bytes>, T: Timer> Reading<B, T> {
    pub(super) fn new(body: B, encoding: Encoding, limits: ReadLimits, timer: T) -> Self {
        let announced = body.size_hint().upper();
        Self {
            body: Box::pin(body),
            content: Content::new(encoding, limits.max_bytes, announced),
            limits,
            timer,
            times: None,
            sleep: None,
        }
    }

    pub(super) const fn limits(&self) -> &ReadLimits {
        &self.limits
    }

    /// Reads to the end, for as long as that may take.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        if let Poll::Ready(read) = self.poll_body(cx) {
            return Poll::Ready(read);
        }
        ready!(self.poll_timeout(cx));
        Poll::Ready(Err(too_slow()))
    }

    /// Reads what is there.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        loop {
            let Some(frame) = ready!(self.body.as_mut().poll_frame(cx)) else {
                return Poll::Ready(self.content.take());
            };
            let Ok(frame) = frame else {
                let message = "The body ended before it was whole.";
                let error = Error::new(Kind::Format, message).with_code("invalid_json");
                return Poll::Ready(Err(error));
            };
            self.heard();
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if let Err(error) = self.content.push(chunk) {
                return Poll::Ready(Err(error));
            }
            // A body that drips without ever being silent must still end in time.
            if let Some((begun, last)) = self.times {
                if last - begun >= self.limits.timeout {
                    return Poll::Ready(Err(too_slow()));
                }
            }
            // Without a look at what is known to be nothing.
            if self.body.is_end_stream() {
                return Poll::Ready(self.content.take());
            }
        }
    }

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

/// The request of these bytes, with the parse that is in the extensions when it is of the very same,
/// else with a new one.
pub(super) fn parsed(
    mut parts: Parts,
    bytes: Bytes,
    limits: &ReadLimits,
) -> Result<Request<ChatBody>, Error> {
    let known = parts.extensions.get::<Chat>();
    let known = known.filter(|chat| chat.is_of(&bytes)).cloned();
    let chat = match known {
        Some(chat) => chat,
        None => {
            let chat = Chat::read(bytes, limits.bounds())?;
            parts.extensions.insert(chat.clone());
            chat
        }
    };
    Ok(Request::from_parts(parts, ChatBody::new(chat)))
}
