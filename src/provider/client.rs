//! An HTTP client for upstreams, over hyper.
//!
//! Connections are pooled and sent on without delay (`TCP_NODELAY`); nothing is redirected,
//! decompressed or retried behind the caller's back. With neither `tls-ring` nor `tls-aws-lc`
//! only `http` is reached: a request for `https` fails before a connection is made.

mod body;
mod ends;

use std::{
    error::Error as StdError,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use http_body::Body as _;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use thread_local::ThreadLocal;
use tower_service::Service;

pub use self::body::ClientBody;
use self::{body::Sent, ends::Ends};
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
use super::socket;
use crate::{
    body::{BoxError, Full},
    error::{Class, Error, Kind, Origin, TimeOut},
    ext::Sending,
};

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
type Sockets = tower::util::MapResponse<
    hyper_rustls::HttpsConnector<HttpConnector>,
    fn(hyper_rustls::MaybeHttpsStream<socket::Tcp>) -> socket::Socket,
>;
#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
type Sockets = HttpConnector;

/// How the client keeps its connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[must_use]
pub struct ClientConfig {
    /// The longest for a connection to be made: the name looked up, TCP connected and the handshake
    /// of TLS done. After it the error is an [`Error`] whose [`time_out`](Error::time_out) is
    /// [`TimeOut::Connect`]. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Default: 30 s, less than most servers keep theirs.
    pub pool_idle: Duration,
    /// Whether each thread that asks has a pool of its own. Default: no. For a server with a runtime on
    /// each of its threads: a connection is driven by the runtime that made it, and a request that takes
    /// one of another thread goes from one core to the other and back.
    /// The pools last as long as the client, whatever becomes of the threads.
    pub pool_per_thread: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pool_idle: Duration::from_secs(30),
            pool_per_thread: false,
        }
    }
}

/// A pooled HTTP/1.1 and HTTP/2 client. Clones share the pool, or the pools of the threads
/// ([`pool_per_thread`](ClientConfig::pool_per_thread)).
// Each request clones it at least twice, and hyper-util's counts a dozen references each time.
#[derive(Clone)]
pub struct Client(Pools);

#[derive(Clone)]
enum Pools {
    One(Arc<Pool>),
    PerThread(Arc<(ThreadLocal<Pool>, Maker)>),
}

struct Pool {
    client: legacy::Client<Connect<Sockets>, Sent>,
    ends: Ends,
}

/// What makes a pool.
struct Maker {
    connect: Connect<Sockets>,
    idle: Duration,
}

impl Maker {
    fn make(&self) -> Pool {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(self.idle)
            .retry_canceled_requests(false)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .build(self.connect.clone());
        Pool {
            client,
            ends: Ends::default(),
        }
    }
}

impl Client {
    /// A client of its own pool.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let maker = Maker {
            connect: Connect {
                sockets: Arc::new(connector(sockets(config))),
                longest: config.connect_timeout,
            },
            idle: config.pool_idle,
        };
        Self(if config.pool_per_thread {
            Pools::PerThread(Arc::new((ThreadLocal::new(), maker)))
        } else {
            Pools::One(Arc::new(maker.make()))
        })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientConfig::default())
    }
}

fn sockets(config: ClientConfig) -> HttpConnector {
    let mut http = HttpConnector::new();
    // Without it a request in two writes waits 40 ms for the acknowledgement of its first.
    http.set_nodelay(true);
    // What is to be sent under TLS never goes to a socket alone, with the key in plain sight.
    http.enforce_http(true);
    http.set_connect_timeout(Some(config.connect_timeout));
    http.set_keepalive(Some(Duration::from_secs(30)));
    http
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
fn connector(mut http: HttpConnector) -> Sockets {
    // Both are told apart around it.
    http.enforce_http(false);
    let config = crate::tls::trusting(crate::tls::well_known());
    let either = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    tower::util::MapResponse::new(either, socket::Socket::new)
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
fn connector(http: HttpConnector) -> Sockets {
    http
}

/// Makes connections within a time, all that belongs to it together.
struct Connect<C> {
    sockets: Arc<C>,
    longest: Duration,
}

impl<C> Clone for Connect<C> {
    fn clone(&self) -> Self {
        Self {
            sockets: Arc::clone(&self.sockets),
            longest: self.longest,
        }
    }
}

impl<C> Service<Uri> for Connect<C>
where
    C: Service<Uri, Future: Send + 'static> + Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // One's own is asked when a connection is made, which few requests want.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (mut sockets, longest) = (C::clone(&self.sockets), self.longest);
        let made = async move {
            poll_fn(|cx| sockets.poll_ready(cx)).await?;
            sockets.call(to).await
        };
        Box::pin(async move {
            match tokio::time::timeout(longest, made).await {
                Ok(made) => made.map_err(Into::into),
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// A request under way. Dropping it closes its connection.
pub struct ClientFuture(UnderWay);

struct UnderWay {
    response: legacy::ResponseFuture,
    ends: Ends,
}

impl fmt::Debug for ClientFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientFuture")
    }
}

impl Future for ClientFuture {
    type Output = Result<Response<ClientBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let UnderWay { response, ends } = &mut self.0;
        Pin::new(response)
            .poll(cx)
            .map_ok(|response| ClientBody::of(response, ends))
            .map_err(told)
    }
}

/// What it says itself of a failure, where that is more than that the upstream could not be reached.
fn told(error: legacy::Error) -> BoxError {
    let own = match error.is_connect() {
        true if is_late(&error) => Error::timed_out(TimeOut::Connect),
        false if is_broken_off(&error) => Error::new(
            Kind::BadUpstream,
            "The upstream broke off before an answer.",
        )
        .with_class(Class::Transient)
        .with_origin(Origin::Upstream),
        _ => return error.into(),
    };
    own.with_cause(error).into()
}

/// Whether a connection was there, and what came on it was no answer, or its end.
fn is_broken_off(error: &legacy::Error) -> bool {
    let http = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>());
    http.is_some_and(|error| !error.is_canceled() && !error.is_user())
}

/// Whether a time-out is at the bottom of it: ours for a connection, or the system's.
fn is_late(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(at) = cause {
        let io = at.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = at.source();
    }
    false
}

impl Service<Request<Full>> for Client {
    type Response = Response<ClientBody>;
    type Error = BoxError;
    type Future = ClientFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full>) -> ClientFuture {
        let pool = match &self.0 {
            Pools::One(pool) => pool,
            Pools::PerThread(pools) => pools.0.get_or(|| pools.1.make()),
        };
        let sending = request.extensions().get::<Sending>().cloned();
        // What has no body is sent with its head.
        let sending = sending.filter(|_| !request.body().is_end_stream());
        if let Some(sending) = &sending {
            sending.waits();
        }
        let request = request.map(|body| Sent::new(body, sending));
        ClientFuture(UnderWay {
            response: pool.client.request(request),
            ends: pool.ends.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
