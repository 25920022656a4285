use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Credentials,
    sigv4::{self, Scope},
    time::http_date,
};
use crate::{
    body::{BoxError, Full},
    error::{Class, Error, Kind, Origin},
    ext::Sending,
    provider::cut::Spellings,
    time::Reading,
};

/// A clock off by less is none of a signature's troubles: AWS takes five minutes.
const SKEW: i64 = 240;

/// Signs what an HTTP client sends, with AWS's Signature Version 4.
///
/// It goes between a [`Provider`](crate::provider::Provider) and its client, and works for any AWS
/// service. When a signature is refused and the answer's `date` shows that the clock here is wrong,
/// it signs once more by that date and keeps the difference.
///
/// ```
/// use tower::Layer;
/// use tower_completions::{
///     mock::Upstream,
///     provider::{Provider, bedrock::{AccessKey, Bedrock, SignLayer}},
/// };
///
/// let key = AccessKey::new("AKID", "secret");
/// // In place of the mock: any HTTP client service.
/// let client = SignLayer::bedrock(key, "eu-west-1").layer(Upstream::new());
/// let provider = Provider::new("aws", client, Bedrock::region("eu-west-1")?);
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
pub struct SignLayer<P>(Arc<Config<P>>);

struct Config<P> {
    credentials: P,
    scope: Scope,
    clock: Reading<SystemTime>,
    /// How many seconds AWS's clock is before ours.
    ahead: AtomicI64,
}

impl<P> SignLayer<P> {
    /// Signs for a service in a region with the keys of `credentials`.
    #[must_use]
    pub fn new(credentials: P, region: &str, service: &str) -> Self {
        Self(Arc::new(Config {
            credentials,
            scope: Scope {
                region: region.into(),
                service: service.into(),
            },
            clock: Reading::new(SystemTime::now),
            ahead: AtomicI64::new(0),
        }))
    }

    /// Signs for Bedrock.
    #[must_use]
    pub fn bedrock(credentials: P, region: &str) -> Self {
        Self::new(credentials, region, "bedrock")
    }

    /// Another clock. Default: the system's.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self
    where
        P: Clone,
    {
        Self(Arc::new(Config {
            credentials: self.0.credentials.clone(),
            scope: self.0.scope.clone(),
            clock: Reading::new(clock),
            ahead: AtomicI64::new(0),
        }))
    }
}

impl<P> Clone for SignLayer<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> fmt::Debug for SignLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignLayer")
            .field("scope", &self.0.scope)
            .finish_non_exhaustive()
    }
}

impl<S, P> Layer<S> for SignLayer<P> {
    type Service = Sign<S, P>;

    fn layer(&self, inner: S) -> Sign<S, P> {
        Sign {
            inner,
            config: Arc::clone(&self.0),
        }
    }
}

/// Signs each request before an HTTP client sends it. Made by [`SignLayer`].
pub struct Sign<S, P> {
    inner: S,
    config: Arc<Config<P>>,
}

impl<S: Clone, P> Clone for Sign<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for Sign<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, P, B> Service<Request<Full>> for Sign<S, P>
where
    S: Service<Request<Full>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    P: Credentials,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = SignFuture<S, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Full>) -> SignFuture<S, P> {
        // The key may have to be waited for: the service that is ready now goes along.
        let clone = self.inner.clone();
        let client = mem::replace(&mut self.inner, clone);
        if let Some(sending) = request.extensions().get::<Sending>() {
            sending.waits();
        }
        SignFuture {
            state: State::Asking {
                keys: self.config.credentials.access_key(),
                ready: Some(client),
                request: Some(request),
            },
            config: Arc::clone(&self.config),
            sent: None,
            retried: false,
        }
    }
}

pin_project! {
    /// The response of [`Sign`]. Dropping it drops the fetch of a key or the client's future.
    pub struct SignFuture<S: Service<Request<Full>>, P: Credentials> {
        #[pin]
        state: State<S, S::Future, P::Future>,
        config: Arc<Config<P>>,
        sent: Option<Spellings>,
        retried: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, K> {
        Asking { #[pin] keys: K, ready: Option<S>, request: Option<Request<Full>> },
        Calling { #[pin] call: F, again: Option<(S, Request<Full>)> },
        Readying { client: Option<S>, request: Option<Request<Full>> },
    }
}

impl<S: Service<Request<Full>>, P: Credentials> fmt::Debug for SignFuture<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignFuture")
    }
}

impl<S, P, B> Future for SignFuture<S, P>
where
    S: Service<Request<Full>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    P: Credentials,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Asking {
                    keys,
                    ready,
                    request,
                } => {
                    let key = ready!(keys.poll(cx)).map_err(no_key)?;
                    let mut client = ready.take().expect("polled after completion");
                    let mut request = request.take().expect("polled after completion");
                    let now = this.config.now();
                    sigv4::sign(&mut request, &key, &this.config.scope, now)?;
                    *this.sent = key.sent();
                    let again = (!*this.retried).then(|| (client.clone(), request.clone()));
                    let sending = request.extensions().get::<Sending>().cloned();
                    State::Calling {
                        call: Sending::sends(sending.as_ref(), || client.call(request)),
                        again,
                    }
                }
                StateProj::Calling { call, again } => {
                    let mut response = ready!(call.poll(cx)).map_err(Into::into)?;
                    if let Some(sent) = this.sent.take() {
                        response.extensions_mut().insert(sent);
                    }
                    let refused = response.status() == StatusCode::FORBIDDEN;
                    if !refused || !this.config.correct(response.headers()) {
                        return Poll::Ready(Ok(response));
                    }
                    let Some((client, request)) = again.take() else {
                        return Poll::Ready(Ok(response));
                    };
                    *this.retried = true;
                    if let Some(sending) = request.extensions().get::<Sending>() {
                        sending.has_failed();
                    }
                    State::Readying {
                        client: Some(client),
                        request: Some(request),
                    }
                }
                StateProj::Readying { client, request } => {
                    let inner = client.as_mut().expect("taken when it is ready");
                    ready!(inner.poll_ready(cx)).map_err(Into::into)?;
                    State::Asking {
                        keys: this.config.credentials.access_key(),
                        ready: client.take(),
                        request: request.take(),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<P> Config<P> {
    /// Now, by AWS's clock as far as it is known.
    fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        let now = self.clock.now();
        let corrected = if ahead < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        corrected.unwrap_or(now)
    }

    /// Learns from an answer's date; whether another signature is worth while.
    fn correct(&self, headers: &HeaderMap) -> bool {
        let date = headers
            .get(header::DATE)
            .and_then(|date| http_date(date.to_str().ok()?));
        let Some(theirs) = date else { return false };
        let signed = difference(theirs, self.now());
        if signed.abs() < SKEW {
            return false;
        }
        let ahead = difference(theirs, self.clock.now());
        self.ahead.store(ahead, Ordering::Relaxed);
        true
    }
}

fn difference(a: SystemTime, b: SystemTime) -> i64 {
    let seconds = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    match a.duration_since(b) {
        Ok(later) => seconds(later),
        Err(earlier) => -seconds(earlier.duration()),
    }
}

fn no_key(source: BoxError) -> BoxError {
    Error::new(
        Kind::BadUpstream,
        "The gateway has no credentials for the upstream.",
    )
    .with_code("upstream_unauthorized")
    .with_class(Class::Credential)
    .with_origin(Origin::Gateway)
    .with_source(source)
    .into()
}
