use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Cache, service::Shared};
use crate::{
    parse::Parse,
    time::{DefaultTimer, Reading, Timer},
};

/// Puts [`Cache`] around a service. All services of one layer share one cache.
#[derive(Clone, Debug)]
#[must_use]
pub struct CacheLayer<T = DefaultTimer> {
    ttl: Duration,
    max_bytes: usize,
    max_answer: usize,
    timer: T,
    shared: Arc<std::sync::OnceLock<Arc<Shared>>>,
}

impl CacheLayer {
    /// Keeps answers for so long; zero only joins requests that are under way at the same time.
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            max_bytes: 64 << 20,
            max_answer: 1 << 20,
            timer: DefaultTimer::default(),
            shared: Arc::default(),
        }
    }
}

impl<T> CacheLayer<T> {
    /// How much is kept in all, requests and answers together; the oldest goes first. Default:
    /// 64 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self.shared = Arc::default();
        self
    }

    /// The longest answer that is kept, and how far one of several readers of an answer may fall
    /// behind before it is cut off. Default: 1 MiB.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// The timer, of which only the clock is looked at. Default: tokio's with the feature `tokio`, else the
    /// system's clock.
    pub fn timer<U>(self, timer: U) -> CacheLayer<U> {
        CacheLayer {
            ttl: self.ttl,
            max_bytes: self.max_bytes,
            max_answer: self.max_answer,
            timer,
            shared: Arc::default(),
        }
    }
}

impl<S, T: Timer> Layer<S> for CacheLayer<T> {
    type Service = Parse<Cache<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = self.shared.get_or_init(|| {
            let timer = self.timer.clone();
            let clock = Reading::new(move || timer.now());
            Arc::new(Shared::new(self.max_bytes, self.ttl, clock))
        });
        Parse::new(Cache::new(inner, Arc::clone(shared), self.max_answer))
    }
}
