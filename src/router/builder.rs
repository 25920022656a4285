use std::{
    collections::{HashMap, HashSet},
    fmt,
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::{HeaderName, header};

use super::{
    breaker::Breaking,
    commit::{Commit, CommitLayer},
    hedge::Hedge,
    keys::{Keys, MOST},
    mistake::{BuildError, Mistake},
    plan::Route,
    policy::Policy,
    rules::Rules,
    service::{Provider, Router, Shared},
    state::{Adaptive, millis},
};
use crate::{
    ext::{KeyPool, TRACEPARENT, TRACESTATE},
    time::{DefaultTimer, Timer, lately},
};

/// What a [`Router`] is made of.
#[must_use]
pub struct Builder<S, R, T = DefaultTimer> {
    route: R,
    providers: Vec<Named<S>>,
    commit: Option<CommitLayer>,
    key_limits: HashMap<Arc<str>, u32>,
    rules: Rules,
    attempt_timeout: Duration,
    stream_attempt_timeout: Option<Duration>,
    total_timeout: Duration,
    hedge: Option<Hedge>,
    client_wishes: bool,
    forward: Vec<HeaderName>,
    backward: Vec<HeaderName>,
    timer: T,
}

/// The service of a provider, and what was said of it.
struct Named<S> {
    name: Arc<str>,
    service: S,
    keys: usize,
    reads_head: bool,
}

impl<S, R, T> fmt::Debug for Builder<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl<S, R: Route> Router<S, R> {
    /// Starts with a route, on the default timer.
    pub fn builder(route: R) -> Builder<S, R> {
        Builder {
            route,
            providers: Vec::new(),
            commit: Some(CommitLayer::new()),
            key_limits: HashMap::new(),
            rules: Rules::default(),
            attempt_timeout: Duration::from_secs(120),
            stream_attempt_timeout: None,
            total_timeout: Duration::from_secs(600),
            hedge: None,
            client_wishes: false,
            forward: vec![
                header::CONTENT_TYPE,
                header::ACCEPT,
                TRACEPARENT,
                TRACESTATE,
            ],
            backward: vec![
                header::CONTENT_TYPE,
                header::CONTENT_LENGTH,
                HeaderName::from_static("x-params-dropped"),
                HeaderName::from_static("x-params-mapped"),
            ],
            timer: DefaultTimer::default(),
        }
    }
}

impl<S, R: Route, T: Timer> Builder<S, R, T> {
    /// The service of a provider, by the name that candidates have it under. It has at most 64 keys.
    pub fn provider(mut self, name: impl Into<Arc<str>>, service: S) -> Self
    where
        S: KeyPool,
    {
        self.providers.push(Named {
            name: name.into(),
            keys: service.keys(),
            reads_head: service.reads_head(),
            service,
        });
        self
    }

    /// Any other service under a provider's name, and how many keys it has, 64 at most:
    /// [`Target::key`](crate::Target::key) says by which it is to ask. With 0 there is no pool, and
    /// credentials that are refused are not remembered.
    pub fn service(mut self, name: impl Into<Arc<str>>, service: S, keys: usize) -> Self {
        self.providers.push(Named {
            name: name.into(),
            service,
            keys,
            reads_head: true,
        });
        self
    }

    /// How far a stream is read before its head goes out: until then another target may answer. On
    /// the router's timer, whatever the layer's own. Default: [`CommitLayer::new`].
    pub fn commit(mut self, layer: CommitLayer) -> Self {
        self.commit = Some(layer);
        self
    }

    /// Heads go out as they come: what fails behind one, in the stream, is the client's to bear. Right
    /// where the services hold theirs back themselves, each for a time of its own.
    pub fn without_commit(mut self) -> Self {
        self.commit = None;
        self
    }

    /// How many requests each key of a provider's pool serves at once, bodies included. Default:
    /// any number.
    pub fn key_concurrency(mut self, provider: impl Into<Arc<str>>, requests: NonZeroU32) -> Self {
        self.key_limits.insert(provider.into(), requests.get());
        self
    }

    /// Upstream attempts per request, all targets and fallbacks together. Default: 3.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.rules.attempts = attempts.get();
        self
    }

    /// How long one attempt may take to its answer's head. Default: 120 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// The same for a stream, whose head comes with its first content: see
    /// [`commit`](Self::commit). Default: as for others.
    pub fn stream_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.stream_attempt_timeout = Some(timeout);
        self
    }

    /// How long all attempts of a request may take to an answer's head; what would have to be waited for
    /// beyond it is not waited for. Default: 600 s.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// How long a request waits for an upstream that asked for it; one that wants more time is
    /// not waited for. Default: 5 s.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.rules.longest_wait = millis(wait);
        self
    }

    /// How long a key that was refused is not used, unless it serves meanwhile, nobody else being left.
    /// Default: 10 min.
    pub fn dead_for(mut self, time: Duration) -> Self {
        self.rules.dead_for = millis(time);
        self
    }

    /// Retries and hedges in per cent of the requests that are answered, for each model by itself. Default: 10.
    ///
    /// It protects upstreams that have too much to do from being asked more for it; and models from one
    /// another, so that one that is down does not use up the retries of all. It is the model asked for
    /// that counts, whichever target or fallback the retry goes to; names that fit one pattern are one model.
    /// Saved up are at most ten, or what the last ten seconds brought where that is more; below ten,
    /// one more comes with each ten seconds between answers. While nothing answers nothing is earned,
    /// so an outage of every upstream is not made worse by asking it three times.
    pub fn retry_budget(mut self, percent: u32) -> Self {
        self.rules.percent = percent;
        self
    }

    /// The failure table: what is tried after which failure. Default: the table of [`Policy`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// When breakers open: of one target, for all requests. Default: after 5 failures in a row, or when half
    /// of at least 20 outcomes within 10 s are failures; for 5 s at first, and at most for 60 s. See
    /// [`Breaking`].
    pub fn breaking(mut self, breaking: Breaking) -> Self {
        self.rules.breaking = breaking;
        self
    }

    /// Lets the concurrency of each target follow what it can bear. Default: only the targets' own
    /// limits.
    pub fn adaptive_concurrency(mut self, adaptive: Adaptive) -> Self {
        self.rules.adaptive = Some(adaptive);
        self
    }

    /// Asks one more target when an answer is late. Default: never.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Obeys the client's own `models` and `provider` members, and takes them out of the request. A
    /// key's models bind them too. Default: they are not looked at, and stay in the body.
    ///
    /// What such a request may cost is held by the model that it names first, unless
    /// [`CostLayer::hold_for_client_wishes`](crate::cost::CostLayer::hold_for_client_wishes) says otherwise, as
    /// it should.
    pub fn obey_client_wishes(mut self) -> Self {
        self.client_wishes = true;
        self
    }

    /// A header of the client's that travels to the providers' services, with all its values. Default:
    /// `content-type`, `accept`, `traceparent` and `tracestate`, and no other. The last two only where the
    /// first is valid and the other has at most 512 bytes
    /// ([`TraceContext`](crate::TraceContext)).
    ///
    /// A [`Provider`](crate::provider::Provider) sends it upstream where it has none of that name itself,
    /// but for those that are about the connection, the body or its encoding.
    pub fn forward(mut self, name: HeaderName) -> Self {
        self.forward.push(name);
        self
    }

    /// A header of the client's that does not travel to the providers' services, `traceparent` for one: then
    /// no provider learns which of its requests belong together, for `tracestate` does not travel without it.
    pub fn keep_back(mut self, name: &HeaderName) -> Self {
        self.forward.retain(|known| known != name);
        self
    }

    /// A header of the providers' services that travels to the client. Default: `content-type`,
    /// `content-length`, `x-params-dropped` and `x-params-mapped`, and no other.
    pub fn backward(mut self, name: HeaderName) -> Self {
        self.backward.push(name);
        self
    }

    /// The timer. Default: tokio's; without the feature `tokio` none, so that no time runs out and
    /// nothing is waited for before it is asked again.
    pub fn timer<U: Timer>(self, timer: U) -> Builder<S, R, U> {
        Builder {
            route: self.route,
            providers: self.providers,
            commit: self.commit,
            key_limits: self.key_limits,
            rules: self.rules,
            attempt_timeout: self.attempt_timeout,
            stream_attempt_timeout: self.stream_attempt_timeout,
            total_timeout: self.total_timeout,
            hedge: self.hedge,
            client_wishes: self.client_wishes,
            forward: self.forward,
            backward: self.backward,
            timer,
        }
    }

    /// The router.
    ///
    /// # Errors
    /// All mistakes there are: see [`Mistake`](super::Mistake). Of a route's models only those are looked
    /// at that [`Route::models`] tells of now.
    pub fn build(mut self) -> Result<Router<S, R, T>, BuildError> {
        self.check()?;
        self.rules.can_wait = self.timer.can_wait();
        let timer = self.timer.clone();
        let providers = self.providers.into_iter().map(|named| {
            let timer = timer.clone();
            let service = match &self.commit {
                Some(layer) => layer.around(named.service, timer),
                None => Commit::never(named.service, timer),
            };
            let mut keys = Keys::new(named.keys);
            let limit = self.key_limits.get(&named.name);
            keys.limit = limit.copied().unwrap_or(u32::MAX);
            let provider = Provider {
                service,
                keys: Arc::new(keys),
                reads_head: named.reads_head,
            };
            (named.name, provider)
        });
        if let Some(adaptive) = &self.rules.adaptive {
            for model in self.route.models() {
                for candidate in &model.candidates {
                    candidate.state.start_adaptive(adaptive);
                }
            }
        }
        let clock = self.timer.clone();
        let started = clock.now();
        let since = move || millis(lately(&clock).saturating_duration_since(started));
        Ok(Router {
            shared: Arc::new(Shared {
                route: self.route,
                providers: providers.collect(),
                rules: Arc::new(self.rules.with_clock(since)),
                timer: self.timer,
                started,
                random: AtomicU64::new(seed()),
                attempt_timeout: self.attempt_timeout,
                stream_attempt_timeout: self.stream_attempt_timeout.unwrap_or(self.attempt_timeout),
                total_timeout: self.total_timeout,
                hedge: self.hedge,
                client_wishes: self.client_wishes,
                forward: self.forward,
                backward: self.backward,
            }),
        })
    }

    fn check(&self) -> Result<(), BuildError> {
        let mut mistakes = Vec::new();
        let mut known = HashSet::new();
        for Named { name, keys, .. } in &self.providers {
            if !known.insert(name) {
                mistakes.push(Mistake::TwoProviders(Arc::clone(name)));
            }
            if *keys > MOST {
                mistakes.push(Mistake::TooManyKeys {
                    provider: Arc::clone(name),
                    keys: *keys,
                });
            }
        }
        for model in self.route.models() {
            for provider in model.candidates.iter().map(|one| &one.target.provider) {
                let mistake = Mistake::UnknownProvider {
                    provider: Arc::clone(provider),
                    model: Arc::clone(&model.id),
                };
                if !known.contains(provider) && !mistakes.contains(&mistake) {
                    mistakes.push(mistake);
                }
            }
        }
        let limited = self.key_limits.keys().filter(|name| !known.contains(name));
        let mut limited: Vec<_> = limited.cloned().collect();
        limited.sort_unstable();
        mistakes.extend(limited.into_iter().map(Mistake::LimitOfNobody));
        BuildError::of(mistakes)
    }
}

fn seed() -> u64 {
    let mut raw = [0; 8];
    getrandom::fill(&mut raw).expect("the operating system gives random bytes");
    u64::from_ne_bytes(raw)
}
