use std::time::Duration;

use tower_layer::Layer;

use super::Commit;
use crate::time::{DefaultTimer, Timer};

/// How far a stream is read before its head goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: u32,
    pub(super) bytes: usize,
    pub(super) first_event: Duration,
    pub(super) idle: Duration,
    pub(super) look_ahead: Duration,
}

/// The layer of [`Commit`]. A [`Router`](crate::router::Router) brings its own: see
/// [`Builder::commit`](crate::router::Builder::commit).
#[derive(Clone, Debug)]
#[must_use]
pub struct CommitLayer<T = DefaultTimer> {
    bounds: Bounds,
    timer: T,
}

impl CommitLayer {
    /// With the default bounds, on the default timer.
    pub fn new() -> Self {
        Self {
            bounds: Bounds {
                events: 64,
                bytes: 65_536,
                first_event: Duration::from_secs(30),
                idle: Duration::from_secs(60),
                look_ahead: Duration::from_secs(10),
            },
            timer: DefaultTimer::default(),
        }
    }
}

impl Default for CommitLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> CommitLayer<T> {
    /// The timer. Default: tokio's with the feature `tokio`; without it these times never end.
    pub fn timer<U: Timer>(self, timer: U) -> CommitLayer<U> {
        CommitLayer {
            bounds: self.bounds,
            timer,
        }
    }

    /// How long a stream may take to its first event, comments not counted; then it has failed
    /// with `upstream_timeout`. From when the request went out if that asks for a stream
    /// ([`Routable::streams`](crate::router::Routable::streams)), else from the head of the answer. Default: 30 s.
    pub fn first_event_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.first_event = timeout;
        self
    }

    /// How long the silence between two events may be while content is waited for, events included of
    /// which a translation inside makes nothing; then the stream has failed with `upstream_timeout`.
    /// Without meaning where it is longer than [`look_ahead`](Self::look_ahead): whoever reads the
    /// answer then minds its silences. Default: 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.idle = timeout;
        self
    }

    /// How long after its first event content is waited for; then the head goes out without.
    /// Default: 10 s.
    pub fn look_ahead(mut self, time: Duration) -> Self {
        self.bounds.look_ahead = time;
        self
    }

    /// After how many events or bytes without content the head goes out. Default: 64 and 64 KiB.
    pub fn at_most(mut self, events: u32, bytes: usize) -> Self {
        self.bounds.events = events;
        self.bounds.bytes = bytes;
        self
    }
}

impl CommitLayer {
    /// Around a service, on another timer.
    pub(in super::super) fn around<S, T>(&self, inner: S, timer: T) -> Commit<S, T> {
        Commit {
            inner,
            bounds: Some(self.bounds),
            timer,
        }
    }
}

impl<S, T: Clone> Layer<S> for CommitLayer<T> {
    type Service = Commit<S, T>;

    fn layer(&self, inner: S) -> Commit<S, T> {
        Commit {
            inner,
            bounds: Some(self.bounds),
            timer: self.timer.clone(),
        }
    }
}
