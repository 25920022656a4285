//! Time as a value, so that no layer is bound to a runtime.

use std::{
    any::TypeId,
    cell::Cell,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
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

/// What the clocks have said in the poll that is running on this thread.
struct Moment {
    running: Cell<bool>,
    /// Something within it has been polled as a whole of its own.
    within: Cell<bool>,
    steady: Cell<Option<Instant>>,
    wall: Cell<Option<SystemTime>>,
}

thread_local! {
    static MOMENT: Moment = const {
        Moment {
            running: Cell::new(false),
            within: Cell::new(false),
            steady: Cell::new(None),
            wall: Cell::new(None),
        }
    };
}

impl Moment {
    fn kept<T: Copy>(&self, kept: &Cell<Option<T>>, read: impl FnOnce() -> T) -> T {
        if let Some(kept) = kept.get() {
            return kept;
        }
        let now = read();
        if self.running.get() {
            kept.set(Some(now));
        }
        now
    }
}

/// A poll or a call in which each clock is read once at most, until this is dropped: see [`lately`] and [`wall`].
/// Every layer of a gateway looks at the time, and each look takes as long as two hundred instructions.
///
/// Whatever is polled within shares the readings. What is polled within for a second time is run by an executor
/// inside of this poll, which may last: each further poll reads the clocks anew. That holds for what says that it
/// is [polled](Self::poll); a layer that stands alone does not, and sees one time for as long as such an executor
/// runs.
#[must_use]
pub(crate) struct AtOnce {
    outermost: bool,
    /// Of this thread, and so not to be kept over an await: the time would stand still for all that it runs.
    here: PhantomData<*const ()>,
}

impl AtOnce {
    /// For a poll.
    pub(crate) fn poll() -> Self {
        let poll = Self::begin();
        MOMENT.with(|moment| {
            if !poll.outermost && moment.within.replace(true) {
                moment.steady.set(None);
                moment.wall.set(None);
            }
        });
        poll
    }

    /// For a call.
    pub(crate) fn begin() -> Self {
        let outermost = MOMENT.with(|moment| !moment.running.replace(true));
        Self {
            outermost,
            here: PhantomData,
        }
    }
}

impl Drop for AtOnce {
    fn drop(&mut self) {
        if self.outermost {
            MOMENT.with(|moment| {
                moment.running.set(false);
                moment.within.set(false);
                moment.steady.set(None);
                moment.wall.set(None);
            });
        }
    }
}

/// Now, or when this was last asked in the same poll: for what is counted and noted. Whoever decides
/// whether a wait is over, or measures what happens meanwhile, asks the timer.
pub(crate) fn lately<T: Timer>(timer: &T) -> Instant {
    if !is_shared::<T>() {
        return timer.now();
    }
    MOMENT.with(|moment| moment.kept(&moment.steady, || timer.now()))
}

/// Now, for whoever asks [`lately`] behind this, too.
pub(crate) fn now<T: Timer>(timer: &T) -> Instant {
    if is_shared::<T>() {
        MOMENT.with(|moment| moment.steady.set(None));
    }
    lately(timer)
}

/// Whether the readings of such a timer are for all: any other may have a clock of its own.
fn is_shared<T: Timer>() -> bool {
    TypeId::of::<T>() == TypeId::of::<DefaultTimer>()
}

/// The time of day, or what it was when this was last asked in the same poll.
pub(crate) fn wall() -> SystemTime {
    MOMENT.with(|moment| moment.kept(&moment.wall, SystemTime::now))
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Waits awake until the clock has gone on.
    fn pass() {
        let now = Instant::now();
        while Instant::now() == now {}
    }

    #[test]
    fn one_reading_serves_a_poll_with_all_inside_and_no_longer() {
        let timer = DefaultTimer::default();
        let poll = || {
            let _poll = AtOnce::begin();
            let (steady, day) = (lately(&timer), wall());
            pass();
            assert_eq!((lately(&timer), wall()), (steady, day));
            steady
        };
        let first = poll();
        pass();
        let between = lately(&timer);
        pass();
        assert!(first < between && between < lately(&timer));
        let _outer = AtOnce::begin();
        let outer = lately(&timer);
        assert!(between < outer);
        assert_eq!([poll(), lately(&timer)], [outer; 2]);
        let later = now(&timer);
        assert!(outer < later, "the timer itself goes on");
        assert_eq!(lately(&timer), later);
    }

    #[test]
    fn time_goes_on_under_an_executor_within_a_poll() {
        let timer = DefaultTimer::default();
        let poll = || {
            let _poll = AtOnce::poll();
            let read = (lately(&timer), wall());
            pass();
            assert_eq!((lately(&timer), wall()), read);
            read.0
        };
        let _outer = AtOnce::poll();
        let outer = lately(&timer);
        pass();
        // What is polled once is a part of it.
        assert_eq!(poll(), outer);
        let inner = [poll(), poll()];
        assert!(outer < inner[0] && inner[0] < inner[1]);
    }

    #[test]
    fn a_poll_that_panics_is_over() {
        let timer = DefaultTimer::default();
        let panicked = std::panic::catch_unwind(|| {
            let _poll = AtOnce::begin();
            panic!("in a poll");
        });
        assert!(panicked.is_err());
        let now = lately(&timer);
        pass();
        assert!(lately(&timer) > now);
    }

    /// A clock that goes on by a second whenever it is asked.
    #[derive(Clone)]
    struct Steps(Arc<AtomicU64>, Instant);

    impl Timer for Steps {
        type Sleep = std::future::Pending<()>;

        fn now(&self) -> Instant {
            self.1 + Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }

        fn sleep_until(&self, _: Instant) -> Self::Sleep {
            std::future::pending()
        }
    }

    #[test]
    fn a_timer_of_ones_own_is_asked_each_time() {
        let timer = Steps(Arc::default(), Instant::now());
        let _poll = AtOnce::begin();
        let read = [lately(&timer), lately(&timer)];
        assert_eq!(read[1] - read[0], Duration::from_secs(1));
    }
}
