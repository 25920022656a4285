//! One request on its way: who is asked, and what is waited for.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    ask::Routable,
    attempt::End,
    body::ResponseBody,
    course::{Course, Step},
    run::{Asked, Run, micros},
};
use crate::{
    body::BoxError,
    error::Error,
    time::{Timer, after, now},
};

/// A request, how far it has come, and who is being asked.
pub(super) struct Way<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    run: Run<S, Q, R, T>,
    course: Course,
    attempts: Attempts<S, Q, T>,
    sleep: Sleep<T::Sleep>,
}

/// Those who are being asked. They have boxes of their own: they and the way are small enough for an allocator
/// to have one at hand.
struct Attempts<S, Q, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    first: Option<Asked<S, Q, T>>,
    /// The second one, when the first is late.
    rival: Option<Asked<S, Q, T>>,
}

/// What is waited for beside the attempts, which few requests do.
enum Sleep<P> {
    /// Nothing.
    None,
    /// The time to ask again; nobody is being asked.
    Pause(Pin<Box<P>>),
    /// The time when the attempt is late.
    Late(Pin<Box<P>>),
}

impl<S, Q, R, T> Way<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    /// Nobody has been asked yet.
    pub(super) fn new(run: Run<S, Q, R, T>, course: Course) -> Self {
        Self {
            run,
            course,
            attempts: Attempts {
                first: None,
                rival: None,
            },
            sleep: Sleep::None,
        }
    }
}

impl<S, Q, B, R, T> Way<S, Q, R, T>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: Routable,
    B: Body<Data = Bytes>,
    T: Timer,
{
    /// Goes on until one of those asked has answered, or there is nobody left to ask.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<ResponseBody<B>>> {
        loop {
            if let Poll::Ready(result) = self.attempts.poll(&self.run, cx) {
                match result {
                    // Large, and so not moved through more hands than need be.
                    Ok(response) => return Poll::Ready(self.answered(response)),
                    Err(error) => self.failed(error),
                }
            } else if self.attempts.are_any() {
                ready!(self.poll_late(cx));
            } else {
                ready!(self.poll_pause(cx));
                if let Some(error) = self.step(cx) {
                    return Poll::Ready(self.run.give_up(&self.course, error));
                }
            }
        }
    }

    /// One of those asked has answered.
    #[inline]
    fn answered(&mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        let (end, time) = self.ended(None);
        let Self { run, course, .. } = self;
        if let Some(loser) = self.attempts.lost() {
            run.lost(course, loser, time);
        }
        run.served(response, course, end, time)
    }

    /// One of those asked has failed.
    fn failed(&mut self, error: Error) {
        let (end, time) = self.ended(Some(&error));
        self.run.rests(&end);
        self.run.fail(&mut self.course, end, error, time);
    }

    /// What is left of the one that has ended, and when that was.
    #[inline]
    fn ended(&mut self, error: Option<&Error>) -> (End, Instant) {
        let end = self.attempts.ended();
        // Read once: to ask for the time costs as much as some two hundred instructions.
        let time = now(&self.run.shared.timer);
        self.run.tell(&end, error, time);
        (end, time)
    }

    /// Waits until the one that is asked is late. Ready when another is asked beside it.
    #[inline]
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Sleep::Late(until) = &mut self.sleep else {
            return Poll::Pending;
        };
        ready!(until.as_mut().poll(cx));
        self.sleep = Sleep::None;
        let Self { run, course, .. } = self;
        let shared = &run.shared;
        let time = shared.timer.now();
        let now = shared.millis(time);
        let keys = |name: &str| shared.keys(name);
        match course.beside(&shared.rules, now, shared.random(), keys) {
            Some(place) => {
                self.attempts.rival = Some(run.attempt(course, place, time, cx));
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    /// Waits until somebody may be asked again. Who has ended is late no more.
    #[inline]
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Sleep::Pause(until) = &mut self.sleep {
            ready!(until.as_mut().poll(cx));
        }
        self.sleep = Sleep::None;
        Poll::Ready(())
    }

    /// Asks the next one, or finds when to; why not, if there is neither.
    #[inline]
    fn step(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let Self { run, course, .. } = self;
        let shared = &run.shared;
        let time = shared.timer.now();
        if run.deadline.is_none() {
            let deadline = after(time, shared.total_timeout);
            run.deadline = Some(deadline);
            course.end_by(shared.millis(deadline));
        }
        let now = shared.millis(time);
        let keys = |name: &str| shared.keys(name);
        match course.next(&shared.rules, now, shared.random(), keys) {
            Step::Try(place) => {
                let state = &place.candidate().state;
                if let Some(delay) = shared.hedge.and_then(|hedge| hedge.delay(state)) {
                    self.sleep = Sleep::Late(Box::pin(shared.timer.sleep(delay)));
                }
                self.attempts.first = Some(run.attempt(course, place, time, cx));
            }
            Step::WaitUntil(until) => {
                let at = after(shared.started, Duration::from_millis(until));
                self.sleep = Sleep::Pause(Box::pin(shared.timer.sleep_until(at)));
            }
            Step::Stop(error) => return Some(error),
        }
        None
    }
}

impl<S, Q, T> Attempts<S, Q, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    fn are_any(&self) -> bool {
        self.first.is_some() || self.rival.is_some()
    }

    /// The result of one of them, which is the first from then on.
    #[inline]
    fn poll<B, R>(
        &mut self,
        run: &Run<S, Q, R, T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<B>, Error>>
    where
        S: Service<Request<Q>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let timer = &run.shared.timer;
        let mut polled = Poll::Pending;
        if let Some(first) = &mut self.first {
            polled = first.as_mut().poll(timer, cx);
        }
        if let (Poll::Pending, Some(rival)) = (&polled, &mut self.rival) {
            polled = rival.as_mut().poll(timer, cx);
            if polled.is_ready() {
                mem::swap(&mut self.first, &mut self.rival);
            }
        }
        polled
    }

    /// What is left of the one that has just ended.
    fn ended(&mut self) -> End {
        let first = self.first.take();
        first.expect("it has just ended").as_mut().end()
    }

    /// What is left of another, where one has answered.
    fn lost(&mut self) -> Option<End> {
        let mut rival = self.rival.take()?;
        Some(rival.as_mut().end())
    }
}

impl<S, Q, R, T> Drop for Way<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    /// The caller left: whom it waited for takes at least so long. Callers seldom have the patience of the
    /// time-outs here, and a target that falls silent would else stay the fastest.
    fn drop(&mut self) {
        let Self { run, attempts, .. } = self;
        let all = [&mut attempts.first, &mut attempts.rival];
        for asked in all.into_iter().flatten() {
            if let Some((since, place)) = asked.as_mut().waits() {
                let time = run.shared.timer.now();
                let waited = time.saturating_duration_since(since);
                place.was_waited_for(micros(waited), run.shared.millis(time));
            }
        }
    }
}
