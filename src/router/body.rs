use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    course::{Place, Rules},
    state::Millis,
};
use crate::{
    body::Reply,
    meter::{Outcome, Tally},
};

/// What is learned of a target at the end of its answer. Judged when dropped, for the layer that
/// understands the answer may find it broken after its last byte.
pub(crate) struct Lesson {
    pub(crate) place: Option<Place>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) tally: Option<Tally>,
    pub(crate) now: Millis,
    pub(crate) ended: Option<bool>,
}

impl Drop for Lesson {
    fn drop(&mut self) {
        let outcome = match self.tally.as_ref().and_then(Tally::outcome) {
            Some(Outcome::Complete) => Some(true),
            Some(Outcome::Failed(_)) => Some(false),
            None => self.ended,
        };
        if let (Some(mut place), Some(good)) = (self.place.take(), outcome) {
            place.record(good, self.now, &self.rules.breaking);
        }
    }
}

fn lesson_over(lesson: Option<&mut Lesson>) -> Option<&mut Place> {
    let lesson = lesson?;
    lesson.ended?;
    lesson.place.as_mut()
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
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if let Some(lesson) = this.lesson.as_mut() {
            match &frame {
                None => lesson.ended = lesson.ended.or(Some(true)),
                Some(Err(_)) => lesson.ended = Some(false),
                Some(Ok(_)) if this.body.is_end_stream() => lesson.ended = Some(true),
                Some(Ok(_)) => {}
            }
        }
        if let Some(place) = lesson_over(this.lesson.as_mut()) {
            place.vacate();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
