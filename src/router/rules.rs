use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    breaker::Breaking,
    policy::Policy,
    state::{Adaptive, Millis},
};

/// What all requests of a router share and a course decides by.
pub(crate) struct Rules {
    /// Of this router alone.
    pub(super) id: u64,
    pub(crate) attempts: u32,
    pub(crate) policy: Policy,
    pub(crate) breaking: Breaking,
    pub(crate) percent: u32,
    pub(crate) longest_wait: Millis,
    /// Whether a pause would end.
    pub(crate) can_wait: bool,
    pub(crate) dead_for: Millis,
    pub(crate) adaptive: Option<Adaptive>,
    clock: Box<dyn Fn() -> Millis + Send + Sync>,
}

impl Rules {
    pub(crate) fn with_clock(mut self, clock: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    pub(crate) fn now(&self) -> Millis {
        (self.clock)()
    }
}

impl Default for Rules {
    fn default() -> Self {
        static ROUTERS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: ROUTERS.fetch_add(1, Ordering::Relaxed),
            attempts: 3,
            policy: Policy::default(),
            breaking: Breaking::default(),
            percent: 10,
            longest_wait: 5_000,
            can_wait: true,
            dead_for: 600_000,
            adaptive: None,
            clock: Box::new(|| 0),
        }
    }
}
