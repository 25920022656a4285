use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    Idempotency,
    store::{Room, Store},
};
use crate::{
    parse::Parse,
    time::{DefaultTimer, Reading, Timer},
};

/// Puts [`Idempotency`] around a service. Clones, and the services that they make, share what is
/// kept.
#[derive(Clone)]
#[must_use]
pub struct IdempotencyLayer {
    limits: Room,
    store: Arc<Store>,
}

impl IdempotencyLayer {
    /// Keeps answers of at most 4 MiB for a day, at most 64 MiB and 10 000 keys together, and of one
    /// caller 16 MiB and 1 000 keys.
    pub fn new() -> Self {
        Self::of(Room {
            keep: Duration::from_secs(86_400),
            entries: 10_000,
            bytes: 64 << 20,
            answer: 4 << 20,
            caller_entries: None,
            caller_bytes: None,
            now: Reading::new(|| DefaultTimer::default().now()),
        })
    }

    fn of(limits: Room) -> Self {
        Self {
            store: Arc::new(Store::new(limits.clone())),
            limits,
        }
    }

    /// For how long after its end an answer is given again. Default: a day.
    pub fn keep(mut self, time: Duration) -> Self {
        self.limits.keep = time;
        Self::of(self.limits)
    }

    /// How many keys there may be, of requests under way and of answers. When all are requests under
    /// way another one is refused with a 503. Default: 10 000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.limits.entries = keys;
        Self::of(self.limits)
    }

    /// How many of the keys one caller may have; who has more has its own oldest answer forgotten, and
    /// when all are under way another one is refused with a 503. Default: a tenth of all, or a hundred.
    pub fn max_keys_per_caller(mut self, keys: usize) -> Self {
        self.limits.caller_entries = Some(keys);
        Self::of(self.limits)
    }

    /// How many bytes of one caller's answers are kept; then its own oldest are forgotten. So many
    /// again it may have of answers under way. Default: a quarter of all, or one answer's.
    pub fn max_bytes_per_caller(mut self, bytes: usize) -> Self {
        self.limits.caller_bytes = Some(bytes);
        Self::of(self.limits)
    }

    /// How many bytes of answers are kept; then the oldest are forgotten. So many again there may be
    /// of answers under way; beyond them an answer can no longer be joined or given again. Default:
    /// 64 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        Self::of(self.limits)
    }

    /// How many bytes one answer may have to be kept, or to be joined while it is under way; who
    /// comes again for a larger one is told so with a 409. Default: 4 MiB.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.limits.answer = bytes;
        Self::of(self.limits)
    }

    /// The timer, of which only the clock is looked at. Default: tokio's with the feature `tokio`, else the
    /// system's clock.
    pub fn timer(mut self, timer: impl Timer) -> Self {
        self.limits.now = Reading::new(move || timer.now());
        Self::of(self.limits)
    }
}

impl Default for IdempotencyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdempotencyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Parse<Idempotency<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        Parse::new(Idempotency::new(inner, Arc::clone(&self.store)))
    }
}
