use std::{num::NonZeroU32, sync::atomic::Ordering};

use super::{Millis, State};

/// A concurrency that follows what the target can bear: one more after a round of answers, half as
/// many after it has failed, or was overloaded, limited or too slow. What was under way together when
/// it did halves it once.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Adaptive {
    start: u32,
    least: u32,
    most: u32,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            start: 20,
            least: 1,
            most: 1000,
        }
    }
}

impl Adaptive {
    /// Between 1 and 1000 requests at once, 20 at first.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many requests at once at first. Default: 20.
    pub fn start(mut self, requests: NonZeroU32) -> Self {
        self.start = requests.get();
        self
    }

    /// The bounds. Default: 1 and 1000. A target's own limit counts beside them.
    pub fn between(mut self, least: NonZeroU32, most: NonZeroU32) -> Self {
        self.least = least.get();
        self.most = most.get().max(self.least);
        self
    }
}

impl State {
    /// One more at once after a round of answers, as far as so many places are made use of. `busy` counts
    /// the one that has just been answered.
    pub(crate) fn grow(&self, adaptive: &Adaptive, busy: u32) {
        self.adapt(adaptive, |now| {
            let used = u64::from(busy) * 2000 >= now;
            if used {
                now + 1_000_000 / now.max(1000)
            } else {
                now
            }
        });
    }

    /// Half as many at once, after a failure of what was sent at `sent`. All that were under way when it
    /// was last halved are of the same trouble.
    pub(crate) fn shrink(&self, adaptive: &Adaptive, sent: Millis, now: Millis) {
        let halved = |last: u64| (sent >= last).then_some(now.saturating_add(1));
        let (order, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.halved.fetch_update(order, seen, halved).is_ok() {
            self.adapt(adaptive, |now| now / 2);
        }
    }

    fn adapt(&self, adaptive: &Adaptive, change: impl Fn(u64) -> u64) {
        let bound = |requests: u32| u64::from(requests) * 1000;
        let change = |now: u64| {
            let now = if now == 0 { bound(adaptive.start) } else { now };
            Some(change(now).clamp(bound(adaptive.least), bound(adaptive.most)))
        };
        let _ = self
            .ceiling
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    pub(crate) fn start_adaptive(&self, adaptive: &Adaptive) {
        let start = u64::from(adaptive.start.clamp(adaptive.least, adaptive.most)) * 1000;
        let _ = self
            .ceiling
            .compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    }
}
