use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{super::fault, ResponseBody, layer::Bounds, look::Look, seen::Seen};
use crate::{
    body::BoxError,
    dialect::Dialect,
    error::{Error, TimeOut},
    meter::Tally,
    time::Timer,
};

pin_project! {
    /// A stream that is waited for, then looked into.
    pub(super) struct Peek<B, T: Timer> {
        answer: Option<(Parts, Pin<Box<B>>)>,
        // To the first event, then to the head whatever has come.
        #[pin]
        sleep: T::Sleep,
        // Since the last event, made when there is a wait.
        #[pin]
        idle: Option<T::Sleep>,
        seen: Seen,
        // How often the upstream had been heard without an event of its stream.
        heard: u32,
    }
}

impl<B, T: Timer> Peek<B, T> {
    /// That waits for its first event so long.
    pub(super) fn new(sleep: T::Sleep) -> Self {
        Self {
            answer: None,
            sleep,
            idle: None,
            seen: Seen::default(),
            heard: 0,
        }
    }

    pub(super) fn is_begun(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn begin(self: Pin<&mut Self>, parts: Parts, body: B) {
        *self.project().answer = Some((parts, Box::pin(body)));
    }

    /// Where there is no answer yet.
    pub(super) fn poll_head(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Response<ResponseBody<B>>> {
        ready!(self.project().sleep.poll(cx));
        Poll::Ready(failed(Error::timed_out(TimeOut::FirstEvent)))
    }
}

impl<B, T> Peek<B, T>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    pub(super) fn poll(
        self: Pin<&mut Self>,
        bounds: &Bounds,
        timer: &T,
        cx: &mut Context<'_>,
    ) -> Poll<Response<ResponseBody<B>>> {
        let mut this = self.project();
        let verdict = loop {
            let (parts, body) = this.answer.as_mut().expect("polled after completion");
            let before = this.seen.events;
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if before > 0 && bounds.idle <= bounds.look_ahead {
                        let heard = parts.extensions.get().map_or(0, Tally::heard);
                        if mem::replace(this.heard, heard) != heard {
                            this.idle.set(None);
                        }
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
                let frames = mem::take(&mut this.seen.frames);
                Response::from_parts(parts, ResponseBody::read(frames, rest))
            }
            Some(error) => {
                // What a service inside has noted of the failure says more than its bytes.
                let tally = parts.extensions.get::<Tally>();
                failed(match tally {
                    Some(tally) => tally.fail(error),
                    None => error,
                })
            }
        })
    }
}

fn failed<B>(error: Error) -> Response<ResponseBody<B>> {
    let class = fault::class(&error);
    let response = error.with_class(class).response(&Dialect::openai());
    response.map(ResponseBody::own)
}
