use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    ask::{Needs, Preferences, Routable, Sort, Sticky},
    body::ResponseBody,
    choose::mix,
    commit::{self, Commit},
    course::{Course, Step},
    future::ResponseFuture,
    hedge::Hedge,
    keys::Keys,
    plan::{Balance, Fnv, Plan, Route},
    rules::Rules,
    state::{Millis, millis},
};
use crate::{
    body::BoxError,
    error::{Error, Kind},
    ext::{Principal, Sending, Target},
    observe::{Event, Watch},
    time::{DefaultTimer, Timer, lately},
};

pub(super) struct Provider<S> {
    pub(super) service: S,
    pub(super) keys: Arc<Keys>,
    pub(super) reads_head: bool,
}

pub(super) struct Shared<S, R, T> {
    pub(super) route: R,
    pub(super) providers: HashMap<Arc<str>, Provider<S>, BuildHasherDefault<Fnv>>,
    pub(super) rules: Arc<Rules>,
    pub(super) timer: T,
    pub(super) started: Instant,
    pub(super) random: AtomicU64,
    pub(super) attempt_timeout: Duration,
    pub(super) stream_attempt_timeout: Duration,
    pub(super) total_timeout: Duration,
    pub(super) hedge: Option<Hedge>,
    pub(super) client_wishes: bool,
    pub(super) forward: Vec<HeaderName>,
    pub(super) backward: Vec<HeaderName>,
}

impl<S, R, T> Shared<S, R, T> {
    pub(super) fn random(&self) -> u64 {
        // SplitMix64: well spread numbers from a counter.
        let mut z = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An instant on the clock of the rules.
    pub(super) fn millis(&self, time: Instant) -> Millis {
        millis(time.saturating_duration_since(self.started))
    }

    pub(super) fn keys(&self, provider: &str) -> Option<&Arc<Keys>> {
        self.providers.get(provider).map(|provider| &provider.keys)
    }
}

/// Sends each request to a target of the model it names, and to another one when that fails
/// before its answer has begun.
///
/// Always ready: it decides when it is called, and asks a ready clone of the provider's service.
/// A stream's head goes out with its first content ([`Builder::commit`](super::Builder::commit)); until
/// then a failure is one of that attempt.
/// The service gets the body again for each attempt, not copied, the request's extensions with the
/// [`Target`](crate::Target) in them, and of the client's headers a few that are allowed; one that does
/// not [read the head](crate::KeyPool::reads_head) the body and the target. Every answer has `x-attempts`, the number of upstreams asked.
pub struct Router<S, R, T = DefaultTimer> {
    pub(super) shared: Arc<Shared<Commit<S, T>, R, T>>,
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

impl<S, R: Route, T: Timer> Router<S, R, T> {
    /// The target that a request would be sent to now. Nothing is sent, and no place is kept.
    ///
    /// # Errors
    /// What the client would be told: an unknown model, or nobody who is free.
    pub fn would_ask<Q: Routable>(&self, parts: &Parts, body: &Q) -> Result<Target, Error> {
        let plan = self.shared.route.plan(body.model(), parts)?;
        let caller = parts.extensions.get::<Principal>();
        plan.admit(body.model(), caller)?;
        let mut course = Course::of(plan, caller, body, None);
        let rules = &self.shared.rules;
        let keys = |name: &str| self.shared.keys(name);
        let now = self.shared.millis(lately(&self.shared.timer));
        match course.next(rules, now, self.shared.random(), keys) {
            Step::Try(place) => Ok(course.target(&place)),
            Step::WaitUntil(_) => Err(Error::new(
                Kind::RateLimit,
                "The upstream's rate limit is reached.",
            )),
            Step::Stop(error) => Err(error),
        }
    }
}

impl<S, Q, B, R, T> Service<Request<Q>> for Router<S, R, T>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    Q: Routable,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: Route,
    T: Timer,
{
    type Response = Response<ResponseBody<commit::ResponseBody<B>>>;
    type Error = Infallible;
    type Future = ResponseFuture<Commit<S, T>, Q, R, T>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<Q>) -> Self::Future {
        let (parts, mut body) = req.into_parts();
        let shared = Arc::clone(&self.shared);
        let course = course(&shared, &parts, &mut body);
        let watch = parts.extensions.get::<Watch>().cloned();
        if let Some(sending) = parts.extensions.get::<Sending>() {
            sending.waits();
        }
        if let (Ok(course), Some(watch)) = (&course, &watch) {
            let groups = &course.plan.groups;
            let targets = groups.iter().map(|group| group.candidates.len()).sum();
            let model = groups.first().map_or("", |group| &*group.id);
            watch.on(&Event::Routed { model, targets });
        }
        ResponseFuture::new(shared, course, watch, parts, body)
    }
}

fn course<S, R: Route, T, Q: Routable>(
    shared: &Shared<S, R, T>,
    parts: &Parts,
    body: &mut Q,
) -> Result<Course, Error> {
    let mut plan = shared.route.plan(body.model(), parts)?;
    let caller = parts.extensions.get::<Principal>();
    plan.admit(body.model(), caller)?;
    let mut wants = None;
    if shared.client_wishes {
        let wishes = body.take_wishes();
        let more = wishes.models.iter();
        let more = more.map(|model| {
            let plan = shared.route.plan(model, parts)?;
            plan.admit(model, caller).map(|()| plan)
        });
        plan = plan.then(more.collect::<Result<Vec<Plan>, Error>>()?);
        let known = |name: &str| shared.providers.contains_key(name);
        wants = Some(wishes.provider.among(known)).filter(|wants| !wants.is_empty());
    }
    Ok(Course::of(plan, caller, body, wants))
}

impl Course {
    fn of<Q: Routable>(
        plan: Plan,
        caller: Option<&Principal>,
        body: &Q,
        wants: Option<Preferences>,
    ) -> Self {
        let (mut sticky, mut limited) = (None, false);
        let mut by_needs = wants
            .as_ref()
            .is_some_and(|wants| wants.sort == Some(Sort::Price));
        for model in &*plan.groups {
            limited |= model.limited;
            match model.balance {
                Balance::Sticky(one) => sticky = sticky.or(Some(one)),
                Balance::Cheapest => by_needs = true,
                _ => {}
            }
        }
        let affinity = sticky.and_then(|sticky| affinity(sticky, caller, body));
        let needs = if by_needs || limited {
            body.needs()
        } else {
            Needs::default()
        };
        let picky = limited && {
            let mut all = plan.groups.iter().flat_map(|model| &model.candidates);
            all.any(|one| one.serves(&needs))
        };
        Self::new(plan, needs, picky, affinity, wants.map(Box::new))
    }
}

/// What a request belongs to: what the body says of itself, and the caller. A prompt that many
/// callers begin with is one prompt: the provider keeps it once for all of them.
fn affinity(sticky: Sticky, caller: Option<&Principal>, body: &impl Routable) -> Option<u64> {
    let own = body.affinity(sticky);
    if own.is_none() && (sticky != Sticky::Key || caller.is_none()) {
        return None;
    }
    let mut hasher = Fnv::default();
    if let Some(caller) = caller.filter(|_| sticky != Sticky::Prompt) {
        // Of the operator's own making, and short.
        hasher.write(caller.id().as_bytes());
    }
    Some(mix(own.unwrap_or_default() ^ hasher.finish()))
}
