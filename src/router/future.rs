use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    ask::Routable,
    body::ResponseBody,
    course::{Course, Step},
    run::{Asked, Run, micros, refusal},
    service::Shared,
};
use crate::{
    body::BoxError,
    error::Error,
    observe::Watch,
    time::{Timer, after, now},
};

/// The future of [`Router`](super::Router). Dropping it cancels the attempts under way.
pub struct ResponseFuture<S, Q, R, T>(Box<Way<S, Q, R, T>>)
where
    S: Service<Request<Q>>,
    T: Timer;

/// One request on its way; in a box, so that what is around it moves a pointer.
///
/// The attempts have boxes of their own: both are small enough for an allocator to have one at hand.
struct Way<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    run: Run<S, Q, R, T>,
    course: Result<Course, Error>,
    attempt: Option<Asked<S, Q, T>>,
    /// The second one, when the first is late.
    rival: Option<Asked<S, Q, T>>,
    sleep: Sleep<T::Sleep>,
}

/// What is waited for beside the attempts, which few requests do.
enum Sleep<P> {
    /// Nothing.
    None,
    /// The time to ask again.
    Pause(Pin<Box<P>>),
    /// The time when an attempt is late.
    Late(Pin<Box<P>>),
}

impl<S, Q, R, T> ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    pub(super) fn new(
        shared: Arc<Shared<S, R, T>>,
        course: Result<Course, Error>,
        watch: Option<Watch>,
        parts: Parts,
        body: Q,
    ) -> Self {
        let run = Run {
            parts,
            body,
            deadline: None,
            failed: None,
            tried: Vec::new(),
            watch,
            shared,
        };
        Self(Box::new(Way {
            run,
            course,
            attempt: None,
            rival: None,
            sleep: Sleep::None,
        }))
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
        let Self {
            run,
            attempt,
            rival,
            ..
        } = self;
        for asked in [attempt, rival].into_iter().flatten() {
            if let Some((since, place)) = asked.as_mut().waits() {
                let time = run.shared.timer.now();
                let waited = time.saturating_duration_since(since);
                place.was_waited_for(micros(waited), run.shared.millis(time));
            }
        }
    }
}

impl<S, Q, R, T> fmt::Debug for ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>>,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, Q, B, R, T> Future for ResponseFuture<S, Q, R, T>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: Routable,
    B: Body<Data = Bytes>,
    T: Timer,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Way {
            run,
            course,
            attempt,
            rival,
            sleep,
        } = &mut *self.0;
        let course = match course {
            Ok(course) => course,
            Err(error) => return Poll::Ready(Ok(refusal(error.clone(), 0, Vec::new()))),
        };
        loop {
            let (mut which, mut polled) = (Which::First, Poll::Pending);
            if let Some(attempt) = attempt {
                polled = attempt.as_mut().poll(&run.shared.timer, cx);
            }
            if let (Poll::Pending, Some(rival)) = (&polled, rival.as_mut()) {
                which = Which::Rival;
                polled = rival.as_mut().poll(&run.shared.timer, cx);
            }
            if let Poll::Ready(result) = polled {
                let end = match which {
                    Which::First => attempt.take(),
                    Which::Rival => rival.take(),
                };
                let end = end.expect("it has just ended").as_mut().end();
                // Read once: to ask for the time costs as much as some two hundred instructions.
                let time = now(&run.shared.timer);
                run.tell(&end, result.as_ref().err(), time);
                match result {
                    Ok(response) => {
                        let loser = match which {
                            Which::First => rival,
                            Which::Rival => attempt,
                        };
                        if let Some(mut loser) = loser.take() {
                            run.lost(course, loser.as_mut().end(), time);
                        }
                        return Poll::Ready(Ok(run.served(response, course, end, time)));
                    }
                    Err(error) => {
                        run.rests(&end);
                        run.fail(course, end, error, time);
                    }
                }
                continue;
            }
            let busy = attempt.is_some() || rival.is_some();
            match sleep {
                Sleep::Pause(until) => {
                    ready!(until.as_mut().poll(cx));
                    *sleep = Sleep::None;
                    continue;
                }
                Sleep::Late(until) if busy => {
                    if until.as_mut().poll(cx).is_ready() {
                        *sleep = Sleep::None;
                        let shared = &run.shared;
                        let time = shared.timer.now();
                        let now = shared.millis(time);
                        let keys = |name: &str| shared.keys(name);
                        let beside = course.beside(&shared.rules, now, shared.random(), keys);
                        if let Some(place) = beside {
                            *rival = Some(run.attempt(course, place, time, cx));
                            continue;
                        }
                    }
                }
                Sleep::Late(_) => *sleep = Sleep::None,
                Sleep::None => {}
            }
            if busy {
                return Poll::Pending;
            }
            let shared = &run.shared;
            let time = shared.timer.now();
            let now = shared.millis(time);
            let total = shared.total_timeout;
            if run.deadline.is_none() {
                let deadline = after(time, total);
                run.deadline = Some(deadline);
                course.end_by(shared.millis(deadline));
            }
            let keys = |name: &str| shared.keys(name);
            let step = course.next(&shared.rules, now, shared.random(), keys);
            match step {
                Step::Stop(error) => return Poll::Ready(Ok(run.give_up(course, error))),
                Step::WaitUntil(until) => {
                    let at = after(shared.started, Duration::from_millis(until));
                    let pause = shared.timer.sleep_until(at);
                    *sleep = Sleep::Pause(Box::pin(pause));
                }
                Step::Try(place) => {
                    let delay = shared
                        .hedge
                        .and_then(|hedge| hedge.delay(&place.candidate().state));
                    if let Some(delay) = delay {
                        let late = shared.timer.sleep(delay);
                        *sleep = Sleep::Late(Box::pin(late));
                    }
                    *attempt = Some(run.attempt(course, place, time, cx));
                }
            }
        }
    }
}

enum Which {
    First,
    Rival,
}
