use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{ServiceAccount, account};
use crate::{
    body::{BoxError, Full},
    error::{Class, Error, Kind, Origin},
    ext::Sending,
    provider::cut::Spellings,
    time::Reading,
};

/// How long before its end a token is asked for anew.
const MARGIN: Duration = Duration::from_secs(300);

/// How long the token that took a refused one's place is kept, though it be refused as well: what
/// refuses all of them is not asked for one after the other.
const PAUSE: Duration = Duration::from_secs(10);

/// The most of a token service's answer that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// Puts a service account's token into what an HTTP client sends.
///
/// It goes between a [`Provider`](crate::provider::Provider) and its client, fetches through that
/// client, and keeps what it has until five minutes before its end. One request at a time fetches:
/// without a token the others wait for it, with one they go on. A failure is told to all that waited
/// and tried again by the next request; one that is dropped leaves the fetch to the next. A token that
/// the API refuses with a 401 is forgotten, so that the next request fetches another: once in ten
/// seconds, should all be refused.
pub struct TokenLayer(Arc<Config>);

struct Config {
    account: ServiceAccount,
    clock: Reading<SystemTime>,
    kept: Mutex<Kept>,
    /// The right to fetch.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    token: Option<account::Token>,
    /// How many tokens there have been.
    fetched: u64,
    /// When one was last forgotten because it was refused.
    forgotten: Option<SystemTime>,
    failures: u64,
    why: Option<Error>,
}

/// What a request is sent with.
struct Bearer {
    value: HeaderValue,
    /// What it is known by in an answer.
    sent: Spellings,
    /// Which of the tokens it is.
    nth: u64,
}

impl TokenLayer {
    /// With the tokens of an account.
    #[must_use]
    pub fn new(account: ServiceAccount) -> Self {
        Self::with_clock(account, SystemTime::now)
    }

    /// The same by another clock than the system's.
    #[must_use]
    pub fn with_clock(
        account: ServiceAccount,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Config {
            account,
            clock: Reading::new(clock),
            kept: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }
}

impl Clone for TokenLayer {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for TokenLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenLayer")
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = WithToken<S>;

    fn layer(&self, inner: S) -> WithToken<S> {
        WithToken {
            inner,
            config: Arc::clone(&self.0),
        }
    }
}

/// Puts a token into each request before an HTTP client sends it. Made by [`TokenLayer`].
#[derive(Clone)]
pub struct WithToken<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> fmt::Debug for WithToken<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithToken")
    }
}

/// A request that waits for its token, then for its answer. Dropping it gives both up.
pub struct TokenFuture<T>(Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>);

impl<T> fmt::Debug for TokenFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFuture")
    }
}

impl<T> Future for TokenFuture<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<S, B> Service<Request<Full>> for WithToken<S>
where
    S: Service<Request<Full>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = TokenFuture<Response<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Full>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that is ready sends the request; a clone fetches.
        let mut inner = mem::replace(&mut self.inner, clone.clone());
        let config = Arc::clone(&self.config);
        let sending = request.extensions().get::<Sending>().cloned();
        if let Some(sending) = &sending {
            sending.waits();
        }
        TokenFuture(Box::pin(async move {
            let Bearer { value, sent, nth } = config.bearer(clone).await?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
            let call = Sending::sends(sending.as_ref(), || inner.call(request));
            let mut response = call.await.map_err(Into::into)?;
            if response.status() == StatusCode::UNAUTHORIZED {
                config.kept().forget(nth, config.clock.now());
            }
            response.extensions_mut().insert(sent);
            Ok(response)
        }))
    }
}

impl Config {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token that is kept, or a new one.
    async fn bearer<S, B>(&self, client: S) -> Result<Bearer, Error>
    where
        S: Service<Request<Full>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let failures = {
            let kept = self.kept();
            let now = self.clock.now();
            if let Some(bearer) = kept.usable(now, MARGIN) {
                return bearer;
            }
            kept.failures
        };
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                // Somebody fetches: with a token that still lasts there is nothing to wait for.
                if let Some(bearer) = self.kept().usable(self.clock.now(), Duration::ZERO) {
                    return bearer;
                }
                self.turn.lock().await
            }
        };
        let now = self.clock.now();
        {
            let kept = self.kept();
            if let Some(bearer) = kept.usable(now, MARGIN) {
                return bearer;
            }
            if let (true, Some(why)) = (kept.failures != failures, &kept.why) {
                return Err(why.clone());
            }
        }
        let fetched = fetch(&self.account, client, now).await;
        let mut kept = self.kept();
        match fetched {
            Ok(token) => {
                kept.token = Some(token);
                kept.fetched += 1;
            }
            Err(source) => {
                let error = Error::new(
                    Kind::BadUpstream,
                    "The upstream's credential could not be renewed.",
                )
                .with_code("upstream_unauthorized")
                .with_class(Class::Credential)
                .with_origin(Origin::Gateway)
                .with_source(source);
                kept.failures += 1;
                kept.why = Some(error);
            }
        }
        drop(turn);
        match kept.usable(now, Duration::ZERO) {
            Some(bearer) => bearer,
            None => Err(kept.why.clone().expect("a failure is kept with its error")),
        }
    }
}

impl Kept {
    fn usable(&self, now: SystemTime, margin: Duration) -> Option<Result<Bearer, Error>> {
        let token = self.token.as_ref()?;
        let left = token.ends.duration_since(now).ok()?;
        (left > margin).then(|| {
            let text = format!("Bearer {}", token.secret.expose());
            let mut value = HeaderValue::from_str(&text).map_err(|source| {
                Error::new(
                    Kind::BadUpstream,
                    "The upstream's credential cannot be sent.",
                )
                .with_code("upstream_unauthorized")
                .with_class(Class::Credential)
                .with_origin(Origin::Gateway)
                .with_source(source)
            })?;
            value.set_sensitive(true);
            Ok(Bearer {
                value,
                sent: token.sent.clone(),
                nth: self.fetched,
            })
        })
    }

    /// Forgets a token that was refused, where it is the one that is kept still.
    fn forget(&mut self, nth: u64, now: SystemTime) {
        let just_now = self.forgotten.and_then(|at| now.duration_since(at).ok());
        if nth == self.fetched && just_now.is_none_or(|since| since >= PAUSE) {
            self.token = None;
            self.forgotten = Some(now);
        }
    }
}

async fn fetch<S, B>(
    account: &ServiceAccount,
    mut client: S,
    now: SystemTime,
) -> Result<account::Token, BoxError>
where
    S: Service<Request<Full>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    std::future::poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    let (head, body) = client
        .call(account.ask(now)?)
        .await
        .map_err(Into::into)?
        .into_parts();
    let mut body = std::pin::pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(Into::into)?.into_data() {
            if read.len() + data.len() > LONGEST {
                return Err("the token service's answer is too long".into());
            }
            read.extend_from_slice(&data);
        }
    }
    if !head.status.is_success() {
        return Err(format!("the token service answered {}", head.status).into());
    }
    ServiceAccount::read(&read, now)
}
