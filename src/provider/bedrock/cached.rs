use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, SystemTime},
};

use pin_project_lite::pin_project;

use super::{AccessKey, Credentials};
use crate::{body::BoxError, time::Reading};

/// How long before its end a key is asked for anew.
const MARGIN: Duration = Duration::from_secs(300);

/// How long after a failure the next try is made, while the old key still serves.
const PAUSE: Duration = Duration::from_secs(10);

/// Keeps a key that must be fetched, and fetches the next one before it expires.
///
/// One request at a time fetches: when the first key is not there yet the others wait for it, later
/// they go on with the old one. A fetch that fails while the old key is good is tried again after
/// 10 s; a request that is dropped while it fetches leaves the fetch to the next.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_completions::provider::bedrock::{AccessKey, Cached, Credentials};
///
/// let fetched = Cached::new(|| async {
///     // Here a token service, an instance's metadata, a vault.
///     let until = SystemTime::now() + Duration::from_secs(3600);
///     Ok(AccessKey::new("AKID", "secret").with_session_token("token").with_expiry(until))
/// });
/// # tokio_test::block_on(async {
/// assert_eq!(fetched.access_key().await?.id(), "AKID");
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(()) }).expect("a key");
/// ```
pub struct Cached<P> {
    inner: Arc<P>,
    kept: Arc<Mutex<Kept>>,
    clock: Reading<SystemTime>,
}

#[derive(Default)]
struct Kept {
    key: Option<AccessKey>,
    /// When the next one is to be fetched; `None` is never.
    renew: Option<SystemTime>,
    fetching: bool,
    waiting: Vec<Waker>,
    /// How many fetches have failed, and why the last one did.
    failures: u64,
    why: String,
}

impl Kept {
    fn usable(&self, now: SystemTime) -> Option<&AccessKey> {
        let key = self.key.as_ref()?;
        key.expires().is_none_or(|at| now < at).then_some(key)
    }
}

impl<P> Cached<P> {
    /// Keeps what `inner` fetches.
    pub fn new(inner: P) -> Self {
        Self {
            inner: Arc::new(inner),
            kept: Arc::default(),
            clock: Reading::new(SystemTime::now),
        }
    }

    /// Another clock. Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Reading::new(clock);
        self
    }
}

impl<P> Clone for Cached<P> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            kept: Arc::clone(&self.kept),
            clock: self.clock.clone(),
        }
    }
}

impl<P> fmt::Debug for Cached<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached")
    }
}

impl<P: Credentials> Credentials for Cached<P> {
    type Future = CachedFuture<P>;

    fn access_key(&self) -> CachedFuture<P> {
        CachedFuture {
            cached: self.clone(),
            state: State::Looking { failures: None },
        }
    }
}

pin_project! {
    /// The key of a [`Cached`]: at once, or when it has been fetched.
    pub struct CachedFuture<P: Credentials> {
        cached: Cached<P>,
        #[pin]
        state: State<P::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Looking { failures: Option<u64> },
        Fetching { #[pin] fetch: F, turn: Turn },
    }
}

impl<P: Credentials> fmt::Debug for CachedFuture<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedFuture")
    }
}

/// The right to fetch. Dropped with a request that was given up, it passes on.
struct Turn(Arc<Mutex<Kept>>);

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = {
            let mut kept = lock(&self.0);
            kept.fetching = false;
            mem::take(&mut kept.waiting)
        };
        // Woken outside of the lock: a waker may do anything.
        waiting.into_iter().for_each(Waker::wake);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Credentials> Future for CachedFuture<P> {
    type Output = Result<AccessKey, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let turn = match this.state.as_mut().project() {
                StateProj::Looking { failures } => {
                    let now = this.cached.clock.now();
                    let mut kept = lock(&this.cached.kept);
                    let fresh = kept.renew.is_none_or(|at| now < at);
                    if let Some(key) = kept.usable(now).filter(|_| fresh || kept.fetching) {
                        return Poll::Ready(Ok(key.clone()));
                    }
                    if failures.is_some_and(|seen| seen != kept.failures) {
                        // The fetch that this one waited for failed.
                        return Poll::Ready(Err(kept.why.clone().into()));
                    }
                    if kept.fetching {
                        *failures = Some(kept.failures);
                        if !kept.waiting.iter().any(|it| it.will_wake(cx.waker())) {
                            kept.waiting.push(cx.waker().clone());
                        }
                        return Poll::Pending;
                    }
                    kept.fetching = true;
                    Turn(Arc::clone(&this.cached.kept))
                }
                StateProj::Fetching { fetch, turn } => {
                    let fetched = ready!(fetch.poll(cx));
                    let now = this.cached.clock.now();
                    let mut kept = lock(&turn.0);
                    let answer = match fetched {
                        Ok(key) => {
                            kept.renew = key.expires().map(|at| renewal(now, at));
                            kept.key = Some(key.clone());
                            Ok(key)
                        }
                        Err(why) => {
                            kept.failures += 1;
                            kept.why = why.to_string();
                            kept.renew = Some(now + PAUSE);
                            kept.usable(now).cloned().ok_or(why)
                        }
                    };
                    drop(kept);
                    // The turn ends with the state, and wakes those that wait.
                    this.state.set(State::Looking { failures: None });
                    return Poll::Ready(answer);
                }
            };
            let fetch = this.cached.inner.access_key();
            this.state.set(State::Fetching { fetch, turn });
        }
    }
}

/// Some minutes before the end; half way to it when that is sooner than soon.
fn renewal(now: SystemTime, end: SystemTime) -> SystemTime {
    let left = end.duration_since(now).unwrap_or_default();
    now + left.saturating_sub(MARGIN).max(left / 2)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, AtomicUsize, Ordering},
        time::UNIX_EPOCH,
    };

    use tokio::sync::Semaphore;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    /// A service of tokens: each lasts an hour, each is given when a permit is there.
    struct Tokens {
        permits: Semaphore,
        fetched: AtomicUsize,
        fail: AtomicUsize,
        now: AtomicU64,
    }

    fn cached(now: u64) -> (Arc<Tokens>, impl Credentials) {
        let tokens = Arc::new(Tokens {
            permits: Semaphore::new(0),
            fetched: AtomicUsize::new(0),
            fail: AtomicUsize::new(0),
            now: AtomicU64::new(now),
        });
        let (mine, clock) = (Arc::clone(&tokens), Arc::clone(&tokens));
        let fetch = move || {
            let tokens = Arc::clone(&mine);
            async move {
                let nth = tokens.fetched.fetch_add(1, Ordering::SeqCst);
                tokens.permits.acquire().await.expect("open").forget();
                if tokens.fail.load(Ordering::SeqCst) > 0 {
                    tokens.fail.fetch_sub(1, Ordering::SeqCst);
                    return Err("no token".into());
                }
                let until = tokens.now.load(Ordering::SeqCst) + 3600;
                let until = UNIX_EPOCH + Duration::from_secs(until);
                Ok(AccessKey::new(nth.to_string(), "s").with_expiry(until))
            }
        };
        let now = move || UNIX_EPOCH + Duration::from_secs(clock.now.load(Ordering::SeqCst));
        (tokens, Cached::new(fetch).with_clock(now))
    }

    fn id(got: Result<AccessKey, BoxError>) -> String {
        got.expect("a key").id().to_owned()
    }

    #[test]
    fn a_hundred_at_once_fetch_one_key() {
        let (tokens, cached) = cached(0);
        let mut all: Vec<_> = (0..100).map(|_| task::spawn(cached.access_key())).collect();
        for one in &mut all {
            assert_pending!(one.poll());
        }
        tokens.permits.add_permits(1);
        for one in &mut all {
            assert!(one.is_woken());
            assert_eq!(id(assert_ready!(one.poll())), "0");
        }
        assert_eq!(tokens.fetched.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_key_is_renewed_while_the_old_one_serves() {
        let (tokens, cached) = cached(0);
        tokens.permits.add_permits(1);
        assert_eq!(
            id(assert_ready!(task::spawn(cached.access_key()).poll())),
            "0"
        );
        tokens.now.store(3600 - 299, Ordering::SeqCst);
        let mut fetcher = task::spawn(cached.access_key());
        assert_pending!(fetcher.poll());
        assert_eq!(
            id(assert_ready!(task::spawn(cached.access_key()).poll())),
            "0"
        );
        tokens.permits.add_permits(1);
        assert_eq!(id(assert_ready!(fetcher.poll())), "1");
        assert_eq!(
            id(assert_ready!(task::spawn(cached.access_key()).poll())),
            "1"
        );
    }

    #[test]
    fn a_dropped_fetch_passes_to_the_next() {
        let (tokens, cached) = cached(0);
        let mut first = task::spawn(cached.access_key());
        let mut second = task::spawn(cached.access_key());
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        drop(first);
        assert!(second.is_woken());
        tokens.permits.add_permits(1);
        assert_eq!(id(assert_ready!(second.poll())), "1");
    }

    #[test]
    fn a_failed_fetch_is_told_to_all_that_waited_and_tried_again() {
        let (tokens, cached) = cached(0);
        tokens.fail.store(1, Ordering::SeqCst);
        let mut all: Vec<_> = (0..3).map(|_| task::spawn(cached.access_key())).collect();
        for one in &mut all {
            assert_pending!(one.poll());
        }
        tokens.permits.add_permits(2);
        for one in &mut all {
            let error = assert_ready!(one.poll()).expect_err("no token");
            assert_eq!(error.to_string(), "no token");
        }
        assert_eq!(
            id(assert_ready!(task::spawn(cached.access_key()).poll())),
            "1"
        );

        // While the old one is good a failure is nobody's, and the next try waits.
        tokens.now.store(3400, Ordering::SeqCst);
        tokens.fail.store(1, Ordering::SeqCst);
        tokens.permits.add_permits(1);
        for _ in 0..2 {
            assert_eq!(
                id(assert_ready!(task::spawn(cached.access_key()).poll())),
                "1"
            );
        }
        assert_eq!(tokens.fetched.load(Ordering::SeqCst), 3);
        tokens.now.store(3411, Ordering::SeqCst);
        tokens.permits.add_permits(1);
        assert_eq!(
            id(assert_ready!(task::spawn(cached.access_key()).poll())),
            "3"
        );
    }

    /// Notes whether a key can be asked for from where it is woken.
    struct Asks {
        kept: Arc<Mutex<Kept>>,
        free: AtomicUsize,
    }

    impl std::task::Wake for Asks {
        fn wake(self: Arc<Self>) {
            let free = self.kept.try_lock().is_ok();
            self.free.fetch_add(usize::from(free), Ordering::Relaxed);
        }
    }

    #[test]
    fn who_is_woken_by_the_end_of_a_fetch_may_ask_at_once() {
        let cached = Cached::new(std::future::pending::<Result<AccessKey, BoxError>>);
        let asks = Arc::new(Asks {
            kept: Arc::clone(&cached.kept),
            free: AtomicUsize::new(0),
        });
        let mut first = task::spawn(cached.access_key());
        assert_pending!(first.poll());
        let waker = Waker::from(Arc::clone(&asks));
        let mut second = std::pin::pin!(cached.access_key());
        let polled = second.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(first);
        assert_eq!(asks.free.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn short_lived_keys_are_not_fetched_for_every_request() {
        let (now, end) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(60));
        assert_eq!(renewal(now, end), now + Duration::from_secs(30));
        let past = end + Duration::from_secs(1);
        assert_eq!(renewal(past, end), past);
    }
}
