use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::request::Parts;
use metrics::{counter, gauge, histogram};

use super::names;
use crate::observe::{Breaker, Event, Finished, Gate, Observe, Watch, Watcher};

/// Counts requests through the `metrics` facade, under the names of [`names`].
///
/// Labels are bounded by configuration: models and providers as configured, kinds of errors. A
/// request that no upstream answered has neither.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Meter;

impl Meter {
    /// Counts with whatever recorder is installed.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Observe for Meter {
    fn begin(&self, _: &Parts) -> Watch {
        Watch::new(One::default())
    }
}

/// What one request holds of the gauges.
#[derive(Default)]
struct One {
    hold: AtomicBool,
    stream: AtomicBool,
}

impl One {
    fn take(&self, held: &AtomicBool, name: &'static str) {
        if !held.swap(true, Ordering::AcqRel) {
            gauge!(name).increment(1.0);
        }
    }

    fn give(&self, held: &AtomicBool, name: &'static str) {
        if held.swap(false, Ordering::AcqRel) {
            gauge!(name).decrement(1.0);
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.give(&self.hold, names::HOLDS);
        self.give(&self.stream, names::STREAMS);
    }
}

impl Watcher for One {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Admitted {
                gate: Gate::Balance,
            } => self.take(&self.hold, names::HOLDS),
            Event::Attempt { target, error, .. } => {
                let outcome = error.map_or("ok".to_owned(), |e| names::error_type(e.kind()));
                let provider = Arc::clone(&target.provider);
                counter!(names::ATTEMPTS, "provider" => provider, "outcome" => outcome)
                    .increment(1);
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
                self.take(&self.stream, names::STREAMS);
                histogram!(names::FIRST_EVENT).record(after.as_secs_f64());
            }
            Event::Finished(end) => {
                self.give(&self.stream, names::STREAMS);
                finished(end);
            }
            Event::Settled { picodollars, .. } => {
                self.give(&self.hold, names::HOLDS);
                counter!(names::COST).increment(*picodollars);
            }
            _ => {}
        }
    }
}

fn finished(end: &Finished<'_>) {
    let none = || Arc::<str>::from("");
    let (provider, model) = match end.served {
        Some(served) => (Arc::clone(&served.provider), Arc::clone(&served.id)),
        None => (none(), none()),
    };
    let outcome = match end.error {
        Some(_) => "error",
        None if end.cancelled => "cancelled",
        None => "ok",
    };
    counter!(names::REQUESTS, "provider" => provider, "model" => Arc::clone(&model), "outcome" => outcome)
        .increment(1);
    if let Some(error) = end.error {
        counter!(names::ERRORS, "kind" => names::error_type(error.kind())).increment(1);
    }
    histogram!(names::DURATION, "model" => Arc::clone(&model)).record(end.took.as_secs_f64());
    let Some(usage) = end.usage else {
        return;
    };
    for (class, tokens) in [
        ("input", usage.input),
        ("cached", usage.cached_input),
        ("output", usage.output),
        ("reasoning", usage.reasoning),
    ] {
        if tokens > 0 {
            counter!(names::TOKENS, "model" => Arc::clone(&model), "class" => class)
                .increment(tokens);
        }
    }
    if let (Some(first), true) = (end.first_event, usage.output > 1) {
        let rest = end.took.saturating_sub(first).as_secs_f64();
        histogram!(names::PER_TOKEN, "model" => model).record(rest / (usage.output - 1) as f64);
    }
}
