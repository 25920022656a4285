use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{breaker::Change, place::Place, rules::Rules};
use crate::{
    body::Reply,
    error::Error,
    meter::{Outcome, Tally},
    observe::{Breaker, Event, Watch},
};

/// What is learned of a target at the end of its answer. Judged when dropped, for the layer that
/// understands the answer may find it broken after its last byte.
pub(crate) struct Lesson {
    pub(crate) place: Option<Place>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) tally: Option<Tally>,
    pub(crate) watch: Option<Watch>,
    pub(crate) ended: Option<bool>,
}

impl Drop for Lesson {
    fn drop(&mut self) {
        let outcome = match self.tally.as_ref().and_then(Tally::outcome) {
            Some(Outcome::Complete) => Some(true),
            Some(Outcome::Failed(error)) => of_upstream(&error),
            None => self.ended,
        };
        if let (Some(mut place), Some(good)) = (self.place.take(), outcome) {
            if !good {
                place.failed(self.rules.now());
            }
            if let Some(adaptive) = &self.rules.adaptive {
                place.adapt(adaptive, good, self.rules.now());
            }
            learn(&mut place, good, &self.rules, self.watch.as_ref());
        }
    }
}

/// What an error in the middle of an answer says of the target: nothing when it is not its fault.
fn of_upstream(error: &Error) -> Option<bool> {
    let blame = super::policy::Policy::default()
        .row(super::fault::class(error))
        .blame;
    (blame == super::policy::Blame::Target).then_some(false)
}

/// Notes a verdict over a target, and tells of a breaker that it has moved.
pub(crate) fn learn(place: &mut Place, good: bool, rules: &Rules, watch: Option<&Watch>) {
    let change = place.record(good, rules.now(), &rules.breaking);
    if let (Some(watch), Some(change)) = (watch, change) {
        watch.on(&Event::Breaker {
            target: &place.candidate().target,
            state: match change {
                Change::Opened => Breaker::Open,
                Change::Closed => Breaker::Closed,
            },
        });
    }
}

pin_project! {
    /// The body of the answer that got through. The target's place is kept until it ends.
    pub struct ResponseBody<B> {
        #[pin]
        body: Reply<B>,
        lesson: Option<Lesson>,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(body: Reply<B>, lesson: Option<Lesson>) -> Self {
        Self { body, lesson }
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
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(cx);
        if let (Some(lesson), Poll::Ready(frame)) = (this.lesson.as_mut(), &polled) {
            let ended = match frame {
                None => lesson.ended.or(Some(true)),
                Some(Err(_)) => Some(false),
                Some(Ok(_)) if this.body.is_end_stream() => Some(true),
                Some(Ok(_)) => None,
            };
            if let Some(ended) = ended {
                lesson.ended = Some(ended);
                if let Some(place) = &mut lesson.place {
                    place.vacate();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
