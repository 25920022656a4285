//! Time as a value, so that no layer is bound to a runtime.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

/// Where a layer that waits takes its time from.
pub trait Timer: Clone + Send + Sync + 'static {
    /// Ends at the instant it was made for.
    type Sleep: Future<Output = ()> + Send;

    /// Now, on a clock that never goes back.
    fn now(&self) -> Instant;

    /// A future that ends at `deadline`. Nothing is armed before its first poll.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// A future that ends after `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(after(self.now(), duration))
    }

    /// Whether what it sleeps for ever comes. Where it does not, time-outs are off, and nothing waits
    /// that could only be woken by the time: a router gives up where it would pause, a queue refuses.
    /// Default: yes.
    fn can_wait(&self) -> bool {
        true
    }
}

/// A clock that is only looked at: of the time of day, or of instants.
pub(crate) struct Reading<T>(Arc<dyn Fn() -> T + Send + Sync>);

impl<T> Reading<T> {
    pub(crate) fn new(now: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> T {
        (self.0)()
    }
}

impl<T> Clone for Reading<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Reading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

/// The instant so long after another; one too far for the clock is a hundred years away, so that
/// `Duration::MAX` may stand for "never" without a panic.
#[must_use]
pub fn after(instant: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
    instant
        .checked_add(duration)
        .unwrap_or_else(|| instant + FAR)
}

/// Tokio's clock and timers, paused time included.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline.into())
    }
}

/// Never waits: every time-out is switched off, and so is every pause. What the layers use without the
/// feature `tokio`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTimer;

impl Timer for NoTimer {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> Self::Sleep {
        std::future::pending()
    }

    fn can_wait(&self) -> bool {
        false
    }
}

/// The timer that layers start with: tokio's with the feature `tokio`, else none.
#[cfg(feature = "tokio")]
pub type DefaultTimer = TokioTimer;
/// The timer that layers start with: tokio's with the feature `tokio`, else none.
#[cfg(not(feature = "tokio"))]
pub type DefaultTimer = NoTimer;
