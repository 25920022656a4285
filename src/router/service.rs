use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use super::{
    body::{Lesson, ResponseBody},
    course::{Course, Place, Rules, Step},
    fault,
    plan::Route,
    policy::Policy,
    state::{Breaking, Keys, Millis},
};
use crate::{
    body::{BoxError, Reply},
    dialect::Dialect,
    error::{Class, Error, Kind},
    ext::Served,
    meter::Tally,
    observe::{Event, Watch},
    parse::ChatBody,
    time::{DefaultTimer, Timer, after},
};

/// A request body that the router can send more than once.
pub trait Ask: Sized {
    /// The model that the client named.
    fn model(&self) -> &str;

    /// The same body again, not copied.
    #[must_use]
    fn again(&self) -> Self;
}

impl Ask for ChatBody {
    fn model(&self) -> &str {
        self.chat().model()
    }

    fn again(&self) -> Self {
        Self::new(self.chat().clone())
    }
}

struct Provider<S> {
    service: S,
    keys: Keys,
}

struct Shared<S, R, T> {
    route: R,
    providers: HashMap<Arc<str>, Provider<S>>,
    rules: Arc<Rules>,
    timer: T,
    started: Instant,
    random: AtomicU64,
    attempt_timeout: Duration,
    total_timeout: Duration,
}

impl<S, R, T: Timer> Shared<S, R, T> {
    fn millis(&self) -> Millis {
        let since = self.timer.now().saturating_duration_since(self.started);
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }

    fn random(&self) -> u64 {
        // SplitMix64: well spread numbers from a counter.
        let mut z = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Sends each request to a target of the model it names, and to another one when that fails
/// before its answer has begun.
///
/// Always ready: it decides when it is called, and asks a ready clone of the provider's service.
pub struct Router<S, R, T = DefaultTimer> {
    shared: Arc<Shared<S, R, T>>,
}

impl<S, R, T> Clone for Router<S, R, T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, R, T> fmt::Debug for Router<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers: Vec<_> = self.shared.providers.keys().collect();
        f.debug_struct("Router")
            .field("providers", &providers)
            .finish_non_exhaustive()
    }
}

/// What a [`Router`] is made of.
#[must_use]
pub struct Builder<S, R, T = DefaultTimer> {
    shared: Shared<S, R, T>,
    rules: Rules,
}

impl<S, R, T> fmt::Debug for Builder<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl<S, R: Route> Router<S, R> {
    /// Starts with a route, on the default timer.
    pub fn builder(route: R) -> Builder<S, R> {
        let timer = DefaultTimer::default();
        Builder {
            rules: Rules::default(),
            shared: Shared {
                route,
                providers: HashMap::new(),
                rules: Arc::default(),
                started: timer.now(),
                timer,
                random: AtomicU64::new(seed()),
                attempt_timeout: Duration::from_secs(120),
                total_timeout: Duration::from_secs(600),
            },
        }
    }
}

fn seed() -> u64 {
    let mut raw = [0; 8];
    getrandom::fill(&mut raw).expect("the operating system gives random bytes");
    u64::from_ne_bytes(raw)
}

impl<S, R, T: Timer> Builder<S, R, T> {
    /// The service of a provider, with the number of keys in its pool; 0 when it has no pool.
    pub fn provider(mut self, name: impl Into<Arc<str>>, service: S, keys: usize) -> Self {
        let keys = Keys::new(keys.min(16));
        self.shared
            .providers
            .insert(name.into(), Provider { service, keys });
        self
    }

    /// Upstream attempts per request, all targets and fallbacks together. Default: 3.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.rules.attempts = attempts.get();
        self
    }

    /// How long one attempt may take to its answer's head. Default: 120 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.shared.attempt_timeout = timeout;
        self
    }

    /// How long all attempts of a request may take to an answer's head. Default: 600 s.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.shared.total_timeout = timeout;
        self
    }

    /// How long a request waits for an upstream that asked for it. Default: 5 s.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.rules.longest_wait = Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX);
        self
    }

    /// Retries in per cent of requests. Default: 10.
    pub fn retry_budget(mut self, percent: u32) -> Self {
        self.rules.percent = percent;
        self
    }

    /// The failure table.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// When breakers open.
    pub fn breaking(mut self, breaking: Breaking) -> Self {
        self.rules.breaking = breaking;
        self
    }

    /// The router.
    pub fn build(mut self) -> Router<S, R, T> {
        self.shared.rules = Arc::new(self.rules);
        Router {
            shared: Arc::new(self.shared),
        }
    }
}

impl<S, Q, B, R, T> Service<Request<Q>> for Router<S, R, T>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: Ask,
    B: Body<Data = Bytes>,
    R: Route,
    T: Timer,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = ResponseFuture<S, Q, R, T>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<Q>) -> Self::Future {
        let (parts, body) = req.into_parts();
        let shared = Arc::clone(&self.shared);
        shared.rules.budget.request(shared.rules.percent);
        let course = shared.route.plan(body.model(), &parts).map(Course::new);
        if let Ok(Course { plan, .. }) = &course {
            let targets = plan.groups.iter().map(|group| group.candidates.len()).sum();
            let model = plan.groups.first().map_or("", |group| &*group.id);
            Watch::tell(&parts.extensions, || Event::Routed { model, targets });
        }
        let deadline = after(shared.timer.now(), shared.total_timeout);
        ResponseFuture {
            run: Run {
                shared,
                course,
                parts,
                body,
                deadline,
                failed: Vec::new(),
            },
            state: State::Decide,
        }
    }
}

struct Run<S, Q, R, T> {
    shared: Arc<Shared<S, R, T>>,
    course: Result<Course, Error>,
    parts: Parts,
    body: Q,
    deadline: Instant,
    failed: Vec<Place>,
}

pin_project! {
    /// The future of [`Router`]. Dropping it cancels the attempt under way.
    pub struct ResponseFuture<S, Q, R, T>
    where
        S: Service<Request<Q>>,
        T: Timer,
    {
        run: Run<S, Q, R, T>,
        #[pin]
        state: State<Oneshot<S, Request<Q>>, T::Sleep>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, P> {
        Decide,
        Attempt { #[pin] call: F, #[pin] timer: P, place: Option<Place>, since: Instant },
        Pause { #[pin] sleep: P },
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
    Q: Ask,
    B: Body<Data = Bytes>,
    T: Timer,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let run = this.run;
        let shared = &run.shared;
        let course = match &mut run.course {
            Ok(course) => course,
            Err(error) => return Poll::Ready(Ok(refusal(error.clone(), 0))),
        };
        loop {
            let (mut place, result) = match this.state.as_mut().project() {
                StateProj::Decide => {
                    let keys = |name: &str| shared.providers.get(name).map(|p| &p.keys);
                    let now = shared.millis();
                    let step = course.next(&shared.rules, now, shared.random(), keys);
                    let late = shared.timer.now() >= run.deadline;
                    match step {
                        Step::Stop(error) => {
                            return Poll::Ready(Ok(give_up(
                                course,
                                &mut run.failed,
                                shared,
                                error,
                            )));
                        }
                        _ if late => {
                            let error = fault::timeout("the upstreams took too long");
                            return Poll::Ready(Ok(give_up(
                                course,
                                &mut run.failed,
                                shared,
                                error,
                            )));
                        }
                        Step::WaitUntil(until) => {
                            let at = shared.started + Duration::from_millis(until);
                            let sleep = shared.timer.sleep_until(at.min(run.deadline));
                            this.state.set(State::Pause { sleep });
                        }
                        Step::Try(place) => {
                            let mut request =
                                Request::from_parts(run.parts.clone(), run.body.again());
                            let target = course.target(&place);
                            let provider = &shared.providers[&target.provider];
                            Watch::tell(&run.parts.extensions, || Event::Attempting {
                                number: course.attempts() + 1,
                                target: &target,
                            });
                            request.extensions_mut().insert(target);
                            let since = shared.timer.now();
                            let until = after(since, shared.attempt_timeout).min(run.deadline);
                            this.state.set(State::Attempt {
                                call: Oneshot::new(provider.service.clone(), request),
                                timer: shared.timer.sleep_until(until),
                                place: Some(place),
                                since,
                            });
                        }
                    }
                    continue;
                }
                StateProj::Pause { sleep } => {
                    ready!(sleep.poll(cx));
                    this.state.set(State::Decide);
                    continue;
                }
                StateProj::Attempt {
                    call,
                    timer,
                    place,
                    since,
                } => {
                    let took = || shared.timer.now().saturating_duration_since(*since);
                    let result = match call.poll(cx) {
                        Poll::Ready(Ok(response)) => {
                            answer(response).map(|response| (response, took()))
                        }
                        Poll::Ready(Err(error)) => Err(unreachable(error.into())),
                        Poll::Pending => {
                            ready!(timer.poll(cx));
                            Err(fault::timeout("the upstream took too long"))
                        }
                    };
                    let place = place
                        .take()
                        .expect("an attempt holds its place until it ends");
                    Watch::tell(&run.parts.extensions, || Event::Attempt {
                        number: course.attempts() + 1,
                        target: &place.candidate.target,
                        error: result.as_ref().err(),
                        took: took(),
                    });
                    (place, result)
                }
            };
            match result {
                Ok((response, took)) => {
                    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    place.candidate.state.took(micros);
                    let now = shared.millis();
                    for at in course.blame(true) {
                        run.failed[at].record(false, now, &shared.rules.breaking);
                    }
                    return Poll::Ready(Ok(served(response, course, place, &shared.rules, now)));
                }
                Err(error) => {
                    let keys = shared
                        .providers
                        .get(&place.candidate.target.provider)
                        .map(|p| &p.keys);
                    course.failed(&shared.rules, &place, keys, error, shared.millis());
                    place.vacate();
                    run.failed.push(place);
                    this.state.set(State::Decide);
                }
            }
        }
    }
}

fn answer<B>(response: Response<B>) -> Result<Response<B>, Error> {
    let (mut parts, body) = response.into_parts();
    match fault::of_response(&mut parts) {
        Some(error) => Err(error),
        None => Ok(Response::from_parts(parts, body)),
    }
}

fn unreachable(error: BoxError) -> Error {
    Error::new(Kind::BadUpstream, "the upstream could not be reached")
        .with_code("upstream_unreachable")
        .with_class(Class::Transient)
        .with_source(error)
}

fn refusal<B>(error: Error, attempts: u32) -> Response<ResponseBody<B>> {
    let mut response = error.response(&Dialect::openai());
    response
        .headers_mut()
        .insert("x-attempts", HeaderValue::from(attempts));
    response.map(|body| ResponseBody::new(Reply::own(body), None))
}

fn give_up<S, R, T: Timer, B>(
    course: &Course,
    failed: &mut [Place],
    shared: &Shared<S, R, T>,
    error: Error,
) -> Response<ResponseBody<B>> {
    let now = shared.millis();
    for at in course.blame(false) {
        failed[at].record(false, now, &shared.rules.breaking);
    }
    refusal(error, course.attempts())
}

fn served<B>(
    response: Response<B>,
    course: &Course,
    place: Place,
    rules: &Arc<Rules>,
    now: Millis,
) -> Response<ResponseBody<B>>
where
    B: Body,
{
    let attempts = course.attempts() + 1;
    let target = course.target(&place);
    let id = Arc::clone(&course.plan.groups[place.group].id);
    let (mut parts, body) = response.into_parts();
    parts
        .extensions
        .insert(Served::new(&target, id).with_attempts(attempts));
    parts
        .headers
        .insert("x-attempts", HeaderValue::from(attempts));
    let lesson = Lesson {
        place: Some(place),
        rules: Arc::clone(rules),
        tally: parts.extensions.get::<Tally>().cloned(),
        now,
        ended: body.is_end_stream().then_some(true),
    };
    Response::from_parts(parts, ResponseBody::new(Reply::inner(body), Some(lesson)))
}
