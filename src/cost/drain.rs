use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    ext::Sending,
    time::{DefaultTimer, Timer},
};

/// What is left of a request whose client has gone.
type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Puts [`Drain`] around a service: for operators who would rather pay for the rest of an answer than
/// guess what the part of it has cost.
///
/// Without it a client that leaves cancels the upstream, and is charged for what was counted until
/// then, as an estimate. With it what is inside goes on without the client until it has ended, and
/// is charged by the usage that comes last; or until the time or the bytes are used up, and is
/// cancelled then. Stack it outside of what counts and charges.
///
/// ```
/// use std::time::Duration;
/// use tower_completions::cost::DrainLayer;
///
/// # #[cfg(feature = "tokio")]
/// let layer = DrainLayer::new(|rest| { tokio::spawn(rest); }).within(Duration::from_secs(10));
/// ```
#[derive(Clone)]
#[must_use]
pub struct DrainLayer<T = DefaultTimer> {
    config: Arc<Config<T>>,
}

struct Config<T> {
    spawn: Box<dyn Fn(Rest) + Send + Sync>,
    within: Duration,
    max_bytes: u64,
    timer: T,
}

impl DrainLayer {
    /// Gives what is left of a request to a function that spawns it: in `Drop`, so it must neither
    /// block nor panic. At most 30 seconds and 1 MiB of an answer are waited for.
    pub fn new(spawn: impl Fn(Rest) + Send + Sync + 'static) -> Self {
        Self {
            config: Arc::new(Config {
                spawn: Box::new(spawn),
                within: Duration::from_secs(30),
                max_bytes: 1 << 20,
                timer: DefaultTimer::default(),
            }),
        }
    }
}

impl<T: Timer> DrainLayer<T> {
    fn into_config(self) -> Config<T> {
        match Arc::try_unwrap(self.config) {
            Ok(config) => config,
            Err(shared) => Config {
                spawn: {
                    let shared = Arc::clone(&shared);
                    Box::new(move |rest| (shared.spawn)(rest))
                },
                within: shared.within,
                max_bytes: shared.max_bytes,
                timer: shared.timer.clone(),
            },
        }
    }

    fn change(self, change: impl FnOnce(&mut Config<T>)) -> Self {
        let mut config = self.into_config();
        change(&mut config);
        Self {
            config: Arc::new(config),
        }
    }

    /// How long the rest of an answer may take. Default: 30 seconds.
    pub fn within(self, time: Duration) -> Self {
        self.change(|config| config.within = time)
    }

    /// How many bytes the rest of an answer may have. Default: 1 MiB.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.change(|config| config.max_bytes = bytes)
    }

    /// The timer. Default: tokio's with the feature `tokio`; without it only the bytes bound a rest.
    pub fn timer<U: Timer>(self, timer: U) -> DrainLayer<U> {
        let config = self.into_config();
        DrainLayer {
            config: Arc::new(Config {
                spawn: config.spawn,
                within: config.within,
                max_bytes: config.max_bytes,
                timer,
            }),
        }
    }
}

impl<T> fmt::Debug for DrainLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer")
            .field("within", &self.config.within)
            .field("max_bytes", &self.config.max_bytes)
            .finish_non_exhaustive()
    }
}

impl<S, T> Layer<S> for DrainLayer<T> {
    type Service = Drain<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Drain {
            inner,
            config: Arc::clone(&self.config),
        }
    }
}

/// Lets the upstream finish what a client no longer waits for. See [`DrainLayer`].
pub struct Drain<S, T = DefaultTimer> {
    inner: S,
    config: Arc<Config<T>>,
}

impl<S: Clone, T> Clone for Drain<S, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Drain<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, T, B, R> Service<Request<B>> for Drain<S, T>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    T: Timer,
{
    type Response = Response<DrainBody<R, T>>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future, R, S::Error, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sending = request.extensions().get::<Sending>().cloned();
        DrainFuture {
            sending,
            call: Some(Box::pin(self.inner.call(request))),
            config: Arc::clone(&self.config),
            left: rest_of_call,
        }
    }
}

/// The response of [`Drain`]. Dropped, what is left of it is spawned.
pub struct DrainFuture<F, R, E, T: Timer>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    call: Option<Pin<Box<F>>>,
    /// There when a layer that charges stands outside of this one, against the advice.
    sending: Option<Sending>,
    config: Arc<Config<T>>,
    /// A function pointer, so that `Drop` needs no bounds beyond those of the type.
    left: fn(Pin<Box<F>>, &Arc<Config<T>>),
}

fn rest_of_call<F, R, E, T>(call: Pin<Box<F>>, config: &Arc<Config<T>>)
where
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    E: Send + 'static,
    T: Timer,
{
    let mine = Arc::clone(config);
    config.spawn(async move {
        if let Ok(response) = call.await {
            drain(Box::pin(response.into_body()), mine.max_bytes).await;
        }
    });
}

fn rest_of_body<R, T>(body: Pin<Box<R>>, config: &Arc<Config<T>>)
where
    R: Body<Data = Bytes> + Send + 'static,
    T: Timer,
{
    config.spawn(drain(body, config.max_bytes));
}

impl<T: Timer> Config<T> {
    /// Spawns work that ends at the deadline at the latest; what is in it is dropped then.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let sleep = self.timer.sleep(self.within);
        (self.spawn)(Box::pin(async move {
            let (mut sleep, mut work) = (pin!(sleep), pin!(work));
            poll_fn(|cx| {
                if work.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }));
    }
}

/// Reads a body to its end, or so many bytes.
async fn drain<R: Body<Data = Bytes>>(mut body: Pin<Box<R>>, most: u64) {
    let mut read = 0_u64;
    while read <= most && !body.is_end_stream() {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                read = read.saturating_add(length as u64);
            }
            _ => return,
        }
    }
}

impl<F, R, E, T> fmt::Debug for DrainFuture<F, R, E, T>
where
    F: Future<Output = Result<Response<R>, E>>,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DrainFuture")
    }
}

impl<F, R, E, T> Future for DrainFuture<F, R, E, T>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes> + Send + 'static,
    T: Timer,
{
    type Output = Result<Response<DrainBody<R, T>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken while it is polled: a panic ends it, also where it is caught further out.
        let mut call = self.call.take().expect("polled after completion");
        let Poll::Ready(response) = call.as_mut().poll(cx) else {
            self.call = Some(call);
            return Poll::Pending;
        };
        let config = Arc::clone(&self.config);
        Poll::Ready(response.map(|response| {
            response.map(|body| DrainBody {
                body: Some(Box::pin(body)),
                config,
                left: rest_of_body,
            })
        }))
    }
}

impl<F, R, E, T> Drop for DrainFuture<F, R, E, T>
where
    F: Future<Output = Result<Response<R>, E>>,
    T: Timer,
{
    fn drop(&mut self) {
        // A panic beside it takes all that unwinds with it.
        if let Some(call) = self.call.take().filter(|_| !std::thread::panicking()) {
            // It goes on: what waits will be sent.
            if let Some(sending) = &self.sending {
                sending.begins();
            }
            (self.left)(call, &self.config);
        }
    }
}

/// The body of [`Drain`]'s answers. Dropped before its end, what is left of it is spawned.
pub struct DrainBody<R, T: Timer> {
    body: Option<Pin<Box<R>>>,
    config: Arc<Config<T>>,
    left: fn(Pin<Box<R>>, &Arc<Config<T>>),
}

impl<R, T: Timer> fmt::Debug for DrainBody<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DrainBody")
    }
}

impl<R: Body<Data = Bytes>, T: Timer> Body for DrainBody<R, T> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        // As for the call.
        let Some(mut body) = self.body.take() else {
            return Poll::Ready(None);
        };
        let polled = body.as_mut().poll_frame(cx);
        let goes_on = match &polled {
            Poll::Pending => true,
            Poll::Ready(frame) => matches!(frame, Some(Ok(_))) && !body.is_end_stream(),
        };
        if goes_on {
            self.body = Some(body);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

impl<R, T: Timer> Drop for DrainBody<R, T> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|_| !std::thread::panicking()) {
            (self.left)(body, &self.config);
        }
    }
}
