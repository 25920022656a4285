use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{clock::Times, service::Reframe};
use crate::{
    dialect::Dialect,
    parse::Parse,
    sse::MaxSizes,
    time::{DefaultTimer, Timer},
};

/// Which model an answer names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelName {
    /// The one that the client asked for.
    #[default]
    Asked,
    /// The one that the upstream says has answered.
    Served,
}

/// Makes the answers of any OpenAI-like service canonical: streams event by event, whole ones at
/// once.
///
/// | | default |
/// |---|---|
/// | [`model_name`](Self::model_name) | [`ModelName::Asked`] |
/// | [`first_event_timeout`](Self::first_event_timeout) | 30 s |
/// | [`idle_timeout`](Self::idle_timeout) | 60 s |
/// | [`total_timeout`](Self::total_timeout) | 600 s |
/// | [`keep_alive`](Self::keep_alive) | 15 s |
/// | [`limits`](Self::limits) | [`MaxSizes::new`] |
/// | [`max_answer_bytes`](Self::max_answer_bytes) | 32 MiB |
#[derive(Clone)]
#[must_use]
pub struct ReframeLayer<T = DefaultTimer> {
    settings: Arc<Settings>,
    timer: T,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) dialect: Dialect,
    pub(super) model_name: ModelName,
    pub(super) times: Times,
    pub(super) limits: MaxSizes,
    pub(super) max_answer: usize,
    pub(super) done_after_error: bool,
    pub(super) convert: bool,
}

impl ReframeLayer {
    /// A layer for one dialect, on the default timer.
    pub fn new(dialect: Dialect) -> Self {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Self {
            settings: Arc::new(Settings {
                dialect,
                model_name: ModelName::Asked,
                times: Times {
                    first: seconds(30),
                    idle: seconds(60),
                    total: seconds(600),
                    keep_alive: seconds(15),
                },
                limits: MaxSizes::new(),
                max_answer: 32 << 20,
                done_after_error: false,
                convert: false,
            }),
            timer: DefaultTimer::default(),
        }
    }
}

impl<T> ReframeLayer<T> {
    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Which model an answer names.
    pub fn model_name(self, name: ModelName) -> Self {
        self.set(|settings| settings.model_name = name)
    }

    /// How long a stream's first event may take; `None`: for ever. A comment is not an event.
    pub fn first_event_timeout(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(|settings| settings.times.first = time.into())
    }

    /// How long the next event of a stream may take, a chunk or not; `None`: for ever. A comment is not
    /// an event.
    pub fn idle_timeout(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(|settings| settings.times.idle = time.into())
    }

    /// How long a whole answer may take from the request on. A stream must begin within it, and has
    /// as much again from its head on. `None`: for ever.
    pub fn total_timeout(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(|settings| settings.times.total = time.into())
    }

    /// After how long a silence a comment goes out on a stream that has begun; `None`: never.
    pub fn keep_alive(self, time: impl Into<Option<Duration>>) -> Self {
        let time = time.into().filter(|time| !time.is_zero());
        self.set(|settings| settings.times.keep_alive = time)
    }

    /// How large lines, events and streams of an upstream may be.
    pub fn limits(self, limits: MaxSizes) -> Self {
        self.set(|settings| settings.limits = limits)
    }

    /// How large a whole answer may be; a larger one is a 502.
    pub fn max_answer_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_answer = bytes)
    }

    /// Ends broken streams with `[DONE]` behind the error, for clients that wait for it. To others
    /// it says that the answer is whole.
    pub fn done_after_error(self) -> Self {
        self.set(|settings| settings.done_after_error = true)
    }

    /// Folds a stream into one answer where none was asked for, and unfolds an answer where a
    /// stream was. Default: what was not asked for passes as it is.
    pub fn convert(self) -> Self {
        self.set(|settings| settings.convert = true)
    }

    /// Takes the time from another timer.
    pub fn timer<U: Timer>(self, timer: U) -> ReframeLayer<U> {
        ReframeLayer {
            settings: self.settings,
            timer,
        }
    }
}

impl<T: Clone> ReframeLayer<T> {
    /// The bare service, for where the request has been parsed already and nothing is to be
    /// wrapped around it.
    pub fn alone<S>(&self, inner: S) -> Reframe<S, T> {
        Reframe::new(inner, Arc::clone(&self.settings), self.timer.clone())
    }
}

impl<T> fmt::Debug for ReframeLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReframeLayer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<S, T: Timer> Layer<S> for ReframeLayer<T> {
    type Service = Parse<Reframe<S, T>>;

    fn layer(&self, inner: S) -> Self::Service {
        Parse::new(self.alone(inner))
    }
}
