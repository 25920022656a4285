use std::{
    any::Any,
    collections::HashMap,
    fmt,
    hash::RandomState,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use tower_service::Service;

use super::{
    ResponseBody, ResponseFuture,
    flight::Flight,
    store::{Kept, Key, Store},
};
use crate::{
    body::BoxError,
    ext::{Principal, Sending},
    parse::ChatBody,
    time::Reading,
};

/// What all clones of a cache share.
pub(super) struct Shared {
    store: Mutex<Store>,
    /// Answers under way. Their types are those of the service; a clone of another service over
    /// the same cache finds nothing of its own under the key, and asks for itself.
    flights: Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>,
    random: RandomState,
    clock: Reading<Instant>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub(super) fn new(max_bytes: usize, ttl: Duration, clock: Reading<Instant>) -> Self {
        Self {
            store: Mutex::new(Store::new(max_bytes, ttl)),
            flights: Mutex::default(),
            random: RandomState::new(),
            clock,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn key(&self, tenant: Option<Arc<str>>, request: Bytes) -> Key {
        Key::new(&self.random, tenant, request)
    }

    pub(super) fn keep(&self, key: &Key, kept: Kept) {
        let key = key.copied();
        self.with_store(|store| store.keep(key, kept));
    }

    /// An answer that nobody reads any more is gone, unless another one has taken its place.
    pub(super) fn land(&self, key: &Key) {
        let mut flights = self.flights();
        if flights
            .get(key)
            .is_some_and(|flight| flight.strong_count() == 0)
        {
            flights.remove(key);
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Key, Weak<dyn Any + Send + Sync>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_store<V>(&self, look: impl FnOnce(&mut Store) -> V) -> V {
        look(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers the same request of the same caller with the same bytes. See the [module](super).
///
/// A client that sends `cache-control: no-cache` is given a new answer, which is kept; with
/// `no-store` the cache is left out of it. Every answer that passes has `x-cache`: `hit`, `shared`
/// or `miss`, and a hit has its `age` in seconds. Only whole answers with a success are kept.
/// Trailers are left out: an answer that is given again has none. Dropping the future or the body leaves the
/// answer to the others that read it; the last to leave drops the upstream.
pub struct Cache<S> {
    inner: S,
    shared: Arc<Shared>,
    max_answer: usize,
}

impl<S> Cache<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>, max_answer: usize) -> Self {
        Self {
            inner,
            shared,
            max_answer,
        }
    }
}

impl<S: Clone> Cache<S> {
    /// The service inside is not called: what was made ready goes, with whatever it keeps free for a request.
    fn let_go(&mut self) {
        self.inner = self.inner.clone();
    }
}

impl<S: Clone> Clone for Cache<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            max_answer: self.max_answer,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<ChatBody>> for Cache<S>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    S::Future: Send + 'static,
    S::Error: Clone + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::Future, B, S::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let wants = Wants::of(request.headers());
        let tenant = request.extensions().get::<Principal>();
        let tenant = tenant.map(Principal::shared_id);
        let key = self.shared.key(tenant, request.body().chat().bytes());
        if wants == Wants::Any {
            let now = self.shared.now();
            if let Some(kept) = self.shared.with_store(|store| store.find(&key, now)) {
                self.let_go();
                return ResponseFuture::kept(kept, now);
            }
        }
        if wants == Wants::Unkept {
            return ResponseFuture::apart(self.inner.call(request));
        }
        // Let go of after the lock: the last to let go of a flight takes the lock itself.
        let under_way;
        let mut flights = self.shared.flights();
        if wants == Wants::Any {
            under_way = flights.get(&key).and_then(Weak::upgrade);
            let flight = under_way.as_ref().map(Arc::clone);
            let flight =
                flight.and_then(|any| any.downcast::<Flight<S::Future, B, S::Error>>().ok());
            let sending = request.extensions().get::<Sending>();
            // Another request was sent for it.
            if let Some(member) = flight.and_then(|flight| flight.join(sending)) {
                drop(flights);
                self.let_go();
                return ResponseFuture::joined(member);
            }
        }
        let sending = request.extensions().get::<Sending>().cloned();
        let shared = Arc::clone(&self.shared);
        let flight = Arc::new(Flight::new(sending, key.clone(), shared, self.max_answer));
        let first = flight.first();
        let any: Arc<dyn Any + Send + Sync> = flight;
        flights.insert(key, Arc::downgrade(&any));
        drop(flights);
        // The service that was made ready is called; the clone is made ready anew. Not under the lock: whoever
        // asks the same meanwhile has joined.
        let clone = self.inner.clone();
        first.begin(mem::replace(&mut self.inner, clone).call(request));
        ResponseFuture::first(first)
    }
}

/// How a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Any,
    /// A new one.
    New,
    /// A new one that is not kept.
    Unkept,
}

impl Wants {
    fn of(headers: &HeaderMap) -> Self {
        let mut wants = Self::Any;
        for value in headers.get_all(header::CACHE_CONTROL) {
            for word in value.as_bytes().split(|byte| *byte == b',') {
                match word.trim_ascii() {
                    word if word.eq_ignore_ascii_case(b"no-store") => return Self::Unkept,
                    word if word.eq_ignore_ascii_case(b"no-cache") => wants = Self::New,
                    _ => {}
                }
            }
        }
        wants
    }
}
