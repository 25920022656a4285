use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use http::request::Parts;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::names;
use crate::{
    ext::Served,
    observe::{Breaker, Event, Finished, Gate, Observe, Watch, Watcher},
    wire::Usage,
};

/// Counts requests through the `metrics` facade, under the names of [`names`].
///
/// Labels are bounded by configuration: models and providers as configured, kinds of errors. A
/// request that no upstream answered has neither.
///
/// A series is looked up in the recorder once, when it is first needed, and kept: install the
/// recorder before the first request.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Series>);

impl Meter {
    /// Counts with whatever recorder is installed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the recorder that is installed what each metric is, and of times the unit: Prometheus shows it
    /// as `# HELP`. Once, before the first request.
    pub fn describe() {
        for (name, help) in names::METRICS.iter().zip(names::HELP) {
            let of_time = names::BUCKETS.iter().any(|(timed, _)| timed == name);
            let is_level = [names::BREAKER, names::HOLDS, names::STREAMS].contains(name);
            if of_time {
                describe_histogram!(*name, Unit::Seconds, help);
            } else if is_level {
                describe_gauge!(*name, help);
            } else {
                describe_counter!(*name, help);
            }
        }
    }
}

impl Observe for Meter {
    fn begin(&self, _: &Parts) -> Watch {
        Watch::new(One {
            series: Arc::clone(&self.0),
            hold: AtomicBool::new(false),
            stream: AtomicBool::new(false),
        })
    }
}

/// What has been looked up in the recorder. To build a series' key takes several times as long as
/// to count in it.
#[derive(Debug, Default)]
struct Series {
    holds: OnceLock<Gauge>,
    streams: OnceLock<Gauge>,
    cost: OnceLock<Counter>,
    overrun: OnceLock<Counter>,
    first_event: OnceLock<Histogram>,
    /// Attempts that succeeded, by provider. As in the other, series are added seldom and looked up
    /// with each request, so it is a table anew for each one that is added: who looks up counts no
    /// reference and takes no lock.
    attempts: ArcSwap<HashMap<Arc<str>, Counter, RandomState>>,
    /// By provider and configured model.
    served: ArcSwap<HashMap<Arc<str>, ByModel, RandomState>>,
}

type ByModel = HashMap<Arc<str>, Arc<Answered>, RandomState>;

impl Series {
    fn holds(&self) -> &Gauge {
        self.holds.get_or_init(|| gauge!(names::HOLDS))
    }

    fn streams(&self) -> &Gauge {
        self.streams.get_or_init(|| gauge!(names::STREAMS))
    }

    fn finished(&self, end: &Finished<'_>) {
        if let Some(error) = end.error {
            counter!(names::ERRORS, "kind" => names::error_type(error.kind())).increment(1);
        }
        let Some(served) = end.served else {
            return Answered::new(&Arc::from(""), &Arc::from("")).finished(end);
        };
        let known = self.served.load();
        let of = known.get(&served.provider);
        match of.and_then(|models| models.get(&served.id)) {
            Some(series) => series.finished(end),
            None => self.add(served).finished(end),
        }
    }

    /// The series of a model, which is not there yet.
    fn add(&self, served: &Served) -> Arc<Answered> {
        let series = Arc::new(Answered::new(&served.provider, &served.id));
        self.served.rcu(|known| {
            let mut known = HashMap::clone(known);
            let models = known.entry(Arc::clone(&served.provider)).or_default();
            models
                .entry(Arc::clone(&served.id))
                .or_insert_with(|| Arc::clone(&series));
            known
        });
        series
    }

    fn attempt(&self, provider: &Arc<str>) {
        if let Some(counter) = self.attempts.load().get(provider) {
            return counter.increment(1);
        }
        let counter =
            counter!(names::ATTEMPTS, "provider" => Arc::clone(provider), "outcome" => "ok");
        counter.increment(1);
        self.attempts.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(Arc::clone(provider), counter.clone());
            known
        });
    }
}

/// The series of the answers of one provider to one configured model, each looked up when needed:
/// what was never counted is not shown as zero.
#[derive(Debug)]
struct Answered {
    provider: Arc<str>,
    model: Arc<str>,
    requests: [OnceLock<Counter>; 3],
    tokens: [OnceLock<Counter>; 4],
    duration: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
}

const OUTCOMES: [&str; 3] = ["ok", "cancelled", "error"];
const CLASSES: [&str; 4] = ["input", "cached", "output", "reasoning"];

impl Answered {
    fn new(provider: &Arc<str>, model: &Arc<str>) -> Self {
        Self {
            provider: Arc::clone(provider),
            model: Arc::clone(model),
            requests: Default::default(),
            tokens: Default::default(),
            duration: OnceLock::new(),
            per_token: OnceLock::new(),
        }
    }

    fn finished(&self, end: &Finished<'_>) {
        let outcome = match end.error {
            Some(_) => 2,
            None => usize::from(end.cancelled),
        };
        self.requests[outcome]
            .get_or_init(|| {
                let (provider, model) = (Arc::clone(&self.provider), Arc::clone(&self.model));
                let outcome = OUTCOMES[outcome];
                counter!(names::REQUESTS, "provider" => provider, "model" => model, "outcome" => outcome)
            })
            .increment(1);
        self.duration
            .get_or_init(|| histogram!(names::DURATION, "model" => Arc::clone(&self.model)))
            .record(end.took.as_secs_f64());
        let Some(usage) = end.usage else {
            return;
        };
        self.used(&usage);
        if let (Some(first), true) = (end.first_event, usage.output > 1) {
            let rest = end.took.saturating_sub(first).as_secs_f64();
            self.per_token
                .get_or_init(|| histogram!(names::PER_TOKEN, "model" => Arc::clone(&self.model)))
                .record(rest / (usage.output - 1) as f64);
        }
    }

    fn used(&self, usage: &Usage) {
        let counts = [
            usage.input,
            usage.cached_input,
            usage.output,
            usage.reasoning,
        ];
        for ((tokens, class), series) in counts.into_iter().zip(CLASSES).zip(&self.tokens) {
            if tokens > 0 {
                series
                    .get_or_init(|| {
                        let model = Arc::clone(&self.model);
                        counter!(names::TOKENS, "model" => model, "class" => class)
                    })
                    .increment(tokens);
            }
        }
    }
}

/// What one request holds of the gauges.
struct One {
    series: Arc<Series>,
    hold: AtomicBool,
    stream: AtomicBool,
}

fn take(held: &AtomicBool, gauge: &Gauge) {
    if !held.swap(true, Ordering::AcqRel) {
        gauge.increment(1.0);
    }
}

impl One {
    fn give_hold(&self) {
        if self.hold.load(Ordering::Relaxed) && self.hold.swap(false, Ordering::AcqRel) {
            self.series.holds().decrement(1.0);
        }
    }

    fn give_stream(&self) {
        if self.stream.load(Ordering::Relaxed) && self.stream.swap(false, Ordering::AcqRel) {
            self.series.streams().decrement(1.0);
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.give_hold();
        self.give_stream();
    }
}

impl Watcher for One {
    fn wants_calls(&self, _: u32) -> bool {
        false
    }

    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Admitted {
                gate: Gate::Balance,
            } => take(&self.hold, self.series.holds()),
            Event::Attempt {
                target,
                error: None,
                ..
            } => self.series.attempt(&target.provider),
            Event::Attempt {
                target,
                error: Some(error),
                ..
            } => {
                let outcome = names::error_type(error.kind());
                let provider = Arc::clone(&target.provider);
                counter!(names::ATTEMPTS, "provider" => provider, "outcome" => outcome)
                    .increment(1);
            }
            Event::Lost { target, .. } => {
                let provider = Arc::clone(&target.provider);
                counter!(names::ATTEMPTS, "provider" => provider, "outcome" => "lost").increment(1);
            }
            Event::Breaker { target, state } => {
                let value = match state {
                    Breaker::Closed => 0.0,
                    Breaker::HalfOpen => 1.0,
                    Breaker::Open => 2.0,
                };
                let (provider, model) = (Arc::clone(&target.provider), Arc::clone(&target.model));
                gauge!(names::BREAKER, "provider" => provider, "model" => model).set(value);
            }
            Event::FirstEvent { after } => {
                take(&self.stream, self.series.streams());
                self.series
                    .first_event
                    .get_or_init(|| histogram!(names::FIRST_EVENT))
                    .record(after.as_secs_f64());
            }
            Event::Finished(end) => {
                self.give_stream();
                self.series.finished(end);
            }
            Event::Settled {
                picodollars,
                overrun,
                ..
            } => {
                self.give_hold();
                let cost = self.series.cost.get_or_init(|| counter!(names::COST));
                cost.increment(*picodollars);
                if *overrun > 0 {
                    let over = self.series.overrun.get_or_init(|| counter!(names::OVERRUN));
                    over.increment(*overrun);
                }
            }
            _ => {}
        }
    }
}
