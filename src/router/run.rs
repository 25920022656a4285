//! What one request has on its way, and what becomes of each of its attempts.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    ask::Routable,
    attempt::{Attempt, Call, End},
    body::{Lesson, ResponseBody, learn},
    course::Course,
    place::Place,
    rules::Rules,
    service::Shared,
};
use crate::{
    body::{BoxError, Reply},
    dialect::Dialect,
    error::Error,
    ext::{
        Attempt as Tried, Attempts, Forwarded, Sending, Served, TRACEPARENT, TRACESTATE,
        TraceContext,
    },
    meter::Tally,
    observe::{Breaker, Event, Watch},
    time::{Timer, after},
};

pub(super) struct Run<S, Q, R, T> {
    pub(super) shared: Arc<Shared<S, R, T>>,
    watch: Option<Watch>,
    parts: Parts,
    body: Q,
    /// Of all attempts; there when the first begins.
    pub(super) deadline: Option<Instant>,
    failed: Option<Failed>,
    tried: Vec<Tried>,
}

pub(super) type Asked<S, Q, T> =
    Pin<Box<Attempt<S, Q, <S as Service<Request<Q>>>::Future, <T as Timer>::Sleep>>>;

/// The places of attempts that failed, until it is known whether another target could answer.
struct Failed {
    places: Vec<Place>,
    rules: Arc<Rules>,
    watch: Option<Watch>,
}

impl Failed {
    /// All are held against their targets, or only the first.
    fn settle(&mut self, most: usize) {
        for mut place in self.places.drain(..).take(most) {
            learn(&mut place, false, &self.rules, self.watch.as_ref());
        }
    }
}

impl Drop for Failed {
    /// The caller left, or nobody answered.
    fn drop(&mut self) {
        self.settle(1);
    }
}

impl<S, Q, R, T> Run<S, Q, R, T> {
    pub(super) fn new(
        shared: Arc<Shared<S, R, T>>,
        watch: Option<Watch>,
        parts: Parts,
        body: Q,
    ) -> Self {
        Self {
            shared,
            watch,
            parts,
            body,
            deadline: None,
            failed: None,
            tried: Vec::new(),
        }
    }

    pub(super) fn tell(&self, end: &End, error: Option<&Error>, time: Instant) {
        if let Some(watch) = &self.watch {
            watch.on(&Event::Attempt {
                number: end.number,
                target: &end.target,
                error,
                took: time.saturating_duration_since(end.since),
            });
        }
    }

    /// One that was not waited for.
    pub(super) fn lost(&mut self, course: &Course, end: End, time: Instant)
    where
        Q: Routable,
    {
        let took = time.saturating_duration_since(end.since);
        end.place
            .was_waited_for(micros(took), self.shared.millis(time));
        if let Some(watch) = &self.watch {
            watch.on(&Event::Lost {
                number: end.number,
                target: &end.target,
                took,
            });
        }
        let id = Arc::clone(&end.place.model().id);
        let mut tried = Tried::new(end.target, id, took);
        tried.star = course.plan.star(end.place.group).cloned();
        tried.used = end
            .heard
            .map(|heard| heard.used(self.body.needs().input_tokens));
        self.tried.push(tried);
    }

    pub(super) fn fail(&mut self, course: &mut Course, mut end: End, error: Error, time: Instant) {
        let rules = &self.shared.rules;
        let now = self.shared.millis(time);
        course.failed(rules, &end.place, error.clone(), now);
        // One that ran out of time has not been heard of.
        match error.time_out() {
            Some(_) => end.place.left(),
            None => end.place.heard(now),
        }
        end.place.vacate();
        let End {
            place,
            target,
            since,
            ..
        } = end;
        let tried = Tried::new(
            target,
            Arc::clone(&place.model().id),
            time.saturating_duration_since(since),
        );
        self.tried.push(tried.with_error(error));
        if course.blames(&place) {
            let failed = self.failed.get_or_insert_with(|| Failed {
                places: Vec::new(),
                rules: Arc::clone(rules),
                watch: self.watch.clone(),
            });
            failed.places.push(place);
        }
    }

    /// Who was asked has the request no more.
    pub(super) fn rests(&self, end: &End) {
        let sending = self.parts.extensions.get::<Sending>();
        if let Some(sending) = end.part.as_ref().or(sending) {
            sending.has_failed();
        }
    }

    /// How long an attempt that begins now may take.
    fn until(&self, since: Instant) -> Instant
    where
        Q: Routable,
    {
        let within = if self.body.streams() {
            self.shared.stream_attempt_timeout
        } else {
            self.shared.attempt_timeout
        };
        let until = after(since, within);
        self.deadline.map_or(until, |deadline| until.min(deadline))
    }

    pub(super) fn attempt(
        &self,
        course: &Course,
        mut place: Place,
        since: Instant,
        cx: &mut Context<'_>,
    ) -> Asked<S, Q, T>
    where
        S: Service<Request<Q>> + Clone,
        S::Error: Into<BoxError>,
        Q: Routable,
        T: Timer,
    {
        let shared = &self.shared;
        place.wait();
        let target = course.target(&place);
        let number = course.attempts();
        if let Some(watch) = &self.watch {
            if place.is_probe() {
                watch.on(&Event::Breaker {
                    target: &place.candidate().target,
                    state: Breaker::HalfOpen,
                });
            }
            watch.on(&Event::Attempting {
                number,
                target: &target,
            });
        }
        let provider = &shared.providers[&target.provider];
        let mut request = Request::new(self.body.again());
        let passed = self.passed_on(number);
        if provider.reads_head {
            self.copy_head(&mut request, passed.as_ref());
        }
        request.extensions_mut().insert(target.clone());
        let whole = self.parts.extensions.get::<Sending>();
        // Where two may be under way, one may have been refused while the other has not been sent yet.
        let part = whole.filter(|_| shared.hedge.is_some());
        let part = part.map(Sending::part);
        let sending = part.as_ref().or(whole);
        if let (Some(sending), true) = (sending, part.is_some() || !provider.reads_head) {
            request.extensions_mut().insert(sending.clone());
        }
        if let Some(calls) = self.watch.as_ref().and_then(|watch| watch.calls(number)) {
            request.extensions_mut().insert(calls);
        }
        let heard = shared.hedge.and_then(|hedge| hedge.heard());
        if let Some(heard) = &heard {
            request.extensions_mut().insert(heard.clone());
        }
        if let Some(forwarded) = self.forwarded(passed.as_ref()) {
            request.extensions_mut().insert(forwarded);
        }
        Box::pin(Attempt {
            call: Call::begin(provider.service.clone(), request, sending, cx),
            timer: None,
            until: self.until(since),
            end: Some(End {
                place,
                target,
                number,
                since,
                heard,
                part,
            }),
        })
    }

    /// What whoever watches the request sends upstream with an attempt.
    fn passed_on(&self, number: u32) -> Option<HeaderMap> {
        let watch = self.watch.as_ref()?;
        let mut headers = HeaderMap::new();
        watch.pass_on(number, &mut headers);
        Some(headers).filter(|headers| !headers.is_empty())
    }

    /// The headers that travel: the client's, and in the place of those the ones that are passed on. Of a
    /// trace only a context that is one, for an upstream may refuse a request for its headers.
    fn travelling<'a>(
        &'a self,
        passed: Option<&'a HeaderMap>,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let forward = &self.shared.forward;
        let own = &self.parts.headers;
        let traced = || TraceContext::of(own);
        let given = move |name: &HeaderName| passed.is_some_and(|it| it.contains_key(name));
        let sound = move |name: &HeaderName| {
            if *name == TRACESTATE {
                // A state belongs to the context that it came with.
                !given(&TRACEPARENT) && traced().is_some_and(|context| context.state().is_some())
            } else {
                *name != TRACEPARENT || traced().is_some()
            }
        };
        // Alone it says nothing but which requests belong together.
        let travels = move |name: &HeaderName| {
            forward.contains(name) && (*name != TRACESTATE || forward.contains(&TRACEPARENT))
        };
        let own = own
            .iter()
            .filter(move |(name, _)| travels(name) && !given(name) && sound(name));
        let passed = passed.into_iter().flatten();
        own.chain(passed.filter(move |(name, _)| travels(name)))
    }

    /// What a service may read of the request beside its body.
    fn copy_head(&self, request: &mut Request<Q>, passed: Option<&HeaderMap>) {
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.clone();
        *request.version_mut() = self.parts.version;
        *request.extensions_mut() = self.parts.extensions.clone();
        for (name, value) in self.travelling(passed) {
            request.headers_mut().append(name, value.clone());
        }
    }

    /// The headers for a provider, whose request has those of every request already.
    fn forwarded(&self, passed: Option<&HeaderMap>) -> Option<Forwarded> {
        let mut travel = self
            .travelling(passed)
            .filter(|(name, _)| !of_every_request(name))
            .peekable();
        travel.peek()?;
        let mut forwarded = HeaderMap::new();
        for (name, value) in travel {
            forwarded.append(name, value.clone());
        }
        Some(Forwarded(forwarded))
    }

    pub(super) fn give_up<B>(
        &mut self,
        course: &Course,
        error: Error,
    ) -> Response<ResponseBody<B>> {
        // Only the first is held against its target.
        self.failed = None;
        refusal(error, course.attempts(), mem::take(&mut self.tried))
    }

    pub(super) fn served<B>(
        &mut self,
        response: Response<B>,
        course: &Course,
        end: End,
        time: Instant,
    ) -> Response<ResponseBody<B>>
    where
        B: Body,
    {
        let rules = &self.shared.rules;
        let now = self.shared.millis(time);
        let End {
            mut place,
            target,
            since,
            ..
        } = end;
        place.heard(now);
        let took = time.saturating_duration_since(since);
        place.took(micros(took), now);
        course.served(rules, &place, now);
        if let Some(asked) = course.plan.groups.first() {
            asked.budget.answered(rules.percent, now);
        }
        if let Some(failed) = &mut self.failed {
            failed.settle(usize::MAX);
        }
        let attempts = course.attempts();
        let (mut parts, body) = response.into_parts();
        let mut served = Served {
            provider: target.provider,
            model: target.model,
            id: Arc::clone(&place.model().id),
            attempts,
            tried: None,
            star: course.plan.star(place.group).cloned(),
        };
        if !self.tried.is_empty() {
            let tried = Attempts::new(mem::take(&mut self.tried));
            parts.extensions.insert(tried.clone());
            served.tried = Some(tried);
        }
        parts.extensions.insert(served);
        let allowed = &self.shared.backward;
        let alien = parts.headers.keys().filter(|name| !allowed.contains(name));
        let alien: Vec<_> = alien.cloned().collect();
        for name in alien {
            parts.headers.remove(name);
        }
        parts.headers.insert(ATTEMPTS, number(attempts));
        let lesson = Lesson {
            place: Some(place),
            rules: Arc::clone(rules),
            tally: parts.extensions.get::<Tally>().cloned(),
            watch: self.watch.take(),
            ended: body.is_end_stream().then_some(true),
        };
        Response::from_parts(parts, ResponseBody::new(Reply::inner(body), Some(lesson)))
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether a header tells of the body alone: a provider's own request has one of its own.
fn of_every_request(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || *name == header::ACCEPT
}

const ATTEMPTS: HeaderName = HeaderName::from_static("x-attempts");

/// Nearly always one.
fn number(attempts: u32) -> HeaderValue {
    match attempts {
        1 => HeaderValue::from_static("1"),
        _ => HeaderValue::from(attempts),
    }
}

pub(super) fn refusal<B>(
    error: Error,
    attempts: u32,
    tried: Vec<Tried>,
) -> Response<ResponseBody<B>> {
    let mut response = error.response(&Dialect::openai());
    if !tried.is_empty() {
        response.extensions_mut().insert(Attempts::new(tried));
    }
    response.headers_mut().insert(ATTEMPTS, number(attempts));
    response.map(|body| ResponseBody::new(Reply::own(body), None))
}
