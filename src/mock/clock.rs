use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use crate::time::{Timer, after};

/// A clock that stands until it is moved, for every layer that takes a [`Timer`].
///
/// Clones are the same clock. It needs no runtime, and no time passes but by [`advance`](Self::advance);
/// under tokio, `tokio::time::pause` does the same for layers that keep their default timer. The delays
/// of an [`Upstream`](super::Upstream) are tokio's: with those in a test, pause tokio's time and leave the
/// layers their timer, for the two clocks know nothing of one another.
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_completions::{
///     Principal,
///     body::Full,
///     limit::{Limiter, Limits, Memory, RateLimitLayer},
///     mock::Clock,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Clock::new();
/// let limiter = Limiter::with_store(Memory::with_timer(clock.clone()));
/// let service = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(limiter))
///     .service(service_fn(async |_: http::Request<Full>| {
///         Ok::<_, std::convert::Infallible>(http::Response::new(Full::new("hi")))
///     }));
/// let one_a_minute = Principal::new("demo").attach(Limits::new().requests_per_minute(1));
/// let ask = || {
///     let mut request = http::Request::new(Full::new(""));
///     request.extensions_mut().insert(one_a_minute.clone());
///     service.clone().oneshot(request)
/// };
/// assert_eq!(ask().await?.status(), 200);
/// assert_eq!(ask().await?.status(), 429);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(ask().await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Mutex<State>>);

struct State {
    now: Instant,
    /// What waits, by its end and the number of its sleep.
    sleeps: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl Clock {
    /// A clock that stands at the present.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::now(),
            sleeps: BTreeMap::new(),
            next: 0,
        })))
    }

    /// Moves it forward and wakes every sleep that ends by then, earliest first.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = self.state();
            let now = after(state.now, by);
            state.now = now;
            let later = state.sleeps.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleeps, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// The time of day by this clock, which begins with the system's now: for what takes a `wall_clock`.
    pub fn wall_clock(&self) -> impl Fn() -> SystemTime + Clone + Send + Sync + use<> {
        let (clock, begun, wall) = (self.clone(), self.now(), SystemTime::now());
        move || wall + clock.now().saturating_duration_since(begun)
    }

    /// How long until the earliest sleep ends; `None` when nothing waits for this clock.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let state = self.state();
        let ((end, _), _) = state.sleeps.first_key_value()?;
        Some(end.saturating_duration_since(state.now))
    }

    /// How many sleeps have been polled, have not ended and were not dropped.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().sleeps.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Timer for Clock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.state().now
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        Sleep {
            clock: self.clone(),
            key: (deadline, number),
        }
    }
}

/// Ends when its [`Clock`] has been moved so far.
#[derive(Debug)]
pub struct Sleep {
    clock: Clock,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        let ended = state.now >= self.key.0;
        let before = if ended {
            state.sleeps.remove(&self.key)
        } else {
            state.sleeps.insert(self.key, cx.waker().clone())
        };
        // A waker may do anything when it is dropped: not under the lock.
        drop(state);
        drop(before);
        if ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let _waker = self.clock.state().sleeps.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::Wake,
    };

    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_sleep_ends_at_its_instant_and_not_before() {
        let clock = Clock::new();
        let mut late = task::spawn(clock.sleep(2 * SECOND));
        let mut soon = task::spawn(clock.sleep(SECOND));
        assert_eq!(clock.next_wake(), None);
        assert_pending!(late.poll());
        assert_pending!(soon.poll());
        assert_eq!(clock.next_wake(), Some(SECOND));

        clock.advance(SECOND - Duration::from_nanos(1));
        assert!(!soon.is_woken());
        clock.advance(Duration::from_nanos(1));
        assert!(soon.is_woken() && !late.is_woken());
        assert_ready!(soon.poll());
        assert_eq!((clock.waiting(), clock.next_wake()), (1, Some(SECOND)));

        clock.clone().advance(Duration::MAX);
        assert!(late.is_woken());
        assert_ready!(late.poll());
        assert_eq!(clock.waiting(), 0);
    }

    #[test]
    fn a_dropped_sleep_leaves_nothing() {
        let clock = Clock::new();
        let mut sleep = task::spawn(clock.sleep(SECOND));
        assert_pending!(sleep.poll());
        assert_eq!(clock.waiting(), 1);
        drop(sleep);
        assert_eq!(clock.waiting(), 0);
    }

    /// The last waker of a task that sleeps, too: counts how often its sleep could end where the task is
    /// dropped.
    struct Leaves(Clock, Arc<AtomicU32>);

    impl Wake for Leaves {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Leaves {
        fn drop(&mut self) {
            let free = self.0.0.try_lock().is_ok();
            self.1.fetch_add(u32::from(free), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_nobody_is_to_wake_any_more_may_end_its_sleep_at_once() {
        let clock = Clock::new();
        let left = Arc::<AtomicU32>::default();
        let mut sleep = Box::pin(clock.sleep(SECOND));
        let mut polled_by_another = || {
            let waker = Waker::from(Arc::new(Leaves(clock.clone(), Arc::clone(&left))));
            let polled = sleep.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        };
        polled_by_another();
        polled_by_another();
        assert_eq!(left.load(Ordering::Relaxed), 1);
        drop(sleep);
        assert_eq!(left.load(Ordering::Relaxed), 2);
    }
}
