use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::{
    ask::Routable,
    body::learn,
    fault,
    place::Place,
    plan::{Model, Route},
    policy::Blame,
    service::Router,
};
use crate::{
    body::BoxError,
    error::Class,
    ext::Target,
    observe::{Breaker, Watch},
    time::{Timer, after},
};

/// What a router knows of one target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The target: a provider, and a model's name there.
    pub target: Target,
    /// The state of its breaker: whether it is asked at all.
    pub breaker: Breaker,
    /// How long until an open breaker lets a probe through.
    pub opens_in: Option<Duration>,
    /// How long it, or one of its keys, wants to be left alone; or is, where it refused too many requests and
    /// did not say for how long.
    pub rests_for: Option<Duration>,
    /// How many requests it serves now, those included whose answers still run.
    pub in_flight: u32,
    /// How many it serves at once; `None` when there is no limit.
    pub max_concurrent: Option<u32>,
    /// Smoothed time to the head of an answer, failures counted as slow; zero before the first.
    pub latency: Duration,
    /// How many keys its provider's pool has.
    pub keys: usize,
    /// Those that were refused and are not used: by the provider, or here alone, where a model's quota is used up.
    pub dead_keys: usize,
}

/// Which targets are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Those whose breaker is open.
    Unwell,
    /// All targets, those included that are well.
    All,
}

impl<S, R: Route, T: Timer> Router<S, R, T> {
    /// All targets, each once, in the order of the models. Behind one whose name has a `*`, of which nothing is
    /// known but how many requests it serves, come those by the names that were asked for lately.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        let now = self.shared.rules.now();
        let each = |(model, at): (Arc<Model>, usize)| {
            let candidate = &model.candidates[at];
            let state = &candidate.state;
            let until = state.open_until();
            let left = |until: u64| Duration::from_millis(until.saturating_sub(now));
            let keys = self.shared.keys(&candidate.target.provider);
            Health {
                target: model.target_of(at),
                breaker: match until {
                    None => Breaker::Closed,
                    Some(until) if until <= now => Breaker::HalfOpen,
                    Some(_) => Breaker::Open,
                },
                opens_in: until.map(left),
                rests_for: state.resting_until(now).map(left),
                in_flight: state.in_flight(),
                max_concurrent: state.most(candidate.limit),
                latency: Duration::from_micros(state.latency(now)),
                keys: keys.map_or(0, |keys| keys.len()),
                dead_keys: keys.map_or(0, |keys| keys.dead(now, |key| state.is_spent(key, now))),
            }
        };
        self.targets().into_iter().map(each).collect()
    }

    fn targets(&self) -> Vec<(Arc<Model>, usize)> {
        let mut found = Vec::new();
        let mut known = HashSet::new();
        let models = self.shared.route.models().into_iter().flat_map(|model| {
            let names = model.names.all().into_iter();
            std::iter::once(model).chain(names.map(|name| Arc::clone(&name.model)))
        });
        for model in models {
            for at in 0..model.candidates.len() {
                // Behind patterns there may be thousands.
                if known.insert(Arc::as_ptr(&model.candidates[at].state)) {
                    found.push((Arc::clone(&model), at));
                }
            }
        }
        found
    }

    /// Asks targets whether they are well, all at once, each for as long as an attempt may take:
    /// one that answers with a success has its breaker closed, one that fails as targets do has it
    /// held against it. Breakers learn from what requests meet with even without; this finds out
    /// before a request has to.
    ///
    /// Call it now and then from a task of the application's own. `ask` makes the smallest request
    /// that the target will answer; the target itself is put in, with a key that is not known to be dead.
    /// A [`Watch`] that `ask` leaves in its extensions is told of breakers that move. A target with a `*` in
    /// its name is passed over; one that stands behind it is asked where its breaker is open. Dropping the
    /// future cancels the probes.
    pub async fn probe<Q, B>(&self, which: Probe, ask: impl Fn(&Target) -> Request<Q>)
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        Q: Routable,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut running = Vec::new();
        for (model, at) in self.targets() {
            let target = &model.target_of(at);
            let open = model.candidates[at].state.open_until().is_some();
            let only_unwell = which == Probe::Unwell || model.star.is_some();
            if target.model.contains('*') || (only_unwell && !open) {
                continue;
            }
            let request = ask(target);
            running.push(Box::pin(self.probe_one(model, at, request)));
        }
        All(running).await;
    }

    async fn probe_one<Q, B>(&self, model: Arc<Model>, at: usize, mut request: Request<Q>)
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        Q: Routable,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let shared = &self.shared;
        let Some(provider) = shared.providers.get(&model.candidates[at].target.provider) else {
            return;
        };
        let now = shared.rules.now();
        let state = &model.candidates[at].state;
        let key = provider.keys.alive(now, |key| state.is_spent(key, now));
        let target = model.target_of(at);
        let target = target.with_key(key.unwrap_or(0).into());
        request.extensions_mut().insert(target);
        let watch = request.extensions().get::<Watch>().cloned();
        let Some(mut place) = Place::take(0, &model, at, key, &provider.keys, now) else {
            // As busy as it may be: it is being asked enough.
            return;
        };
        let until = after(shared.timer.now(), shared.attempt_timeout);
        let call = provider.service.clone().oneshot(request);
        let good = match within(call, shared.timer.sleep_until(until)).await {
            None | Some(Err(_)) => Some(false),
            Some(Ok(mut response)) => match fault::of_response(&mut response) {
                None => Some(true),
                Some(error) => {
                    let class = fault::class(&error);
                    if matches!(class, Class::Credential | Class::Quota) {
                        let now = shared.rules.now();
                        let until = now.saturating_add(shared.rules.dead_for);
                        place.keys().bury(key, until);
                    }
                    if class == Class::ModelQuota {
                        let now = shared.rules.now();
                        let until = now.saturating_add(shared.rules.dead_for);
                        place.candidate().state.spend(key, until);
                    }
                    let row = shared.rules.policy.row(class);
                    (row.blame == Blame::Target).then_some(false)
                }
            },
        };
        if let Some(good) = good {
            learn(&mut place, good, &shared.rules, watch.as_ref());
        }
    }
}

/// The output of a future, unless the other one is ready first.
async fn within<F: Future, P: Future<Output = ()>>(call: F, timer: P) -> Option<F::Output> {
    let (mut call, mut timer) = (std::pin::pin!(call), std::pin::pin!(timer));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Ends when all have.
struct All<F>(Vec<Pin<Box<F>>>);

impl<F: Future<Output = ()>> Future for All<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if self.0.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
