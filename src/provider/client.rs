//! An HTTP client for upstreams, over hyper.
//!
//! Connections are pooled and sent on without delay (`TCP_NODELAY`); nothing is redirected,
//! decompressed or retried behind the caller's back. With neither `tls-ring` nor `tls-aws-lc`
//! only `http` is reached: a request for `https` fails before a connection is made.

use std::{
    convert::Infallible,
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
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use thread_local::ThreadLocal;
use tokio::runtime::Handle;
use tower_service::Service;

use super::rest::Rest;
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
use super::socket;
use crate::{
    body::{BoxError, Full},
    error::{Error, TimeOut},
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

type Pool = legacy::Client<Connect<Sockets>, Sent>;

/// What makes a pool.
struct Maker {
    connect: Connect<Sockets>,
    idle: Duration,
}

impl Maker {
    fn make(&self) -> Pool {
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(self.idle)
            .retry_canceled_requests(false)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .build(self.connect.clone())
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
    // Named, not taken from the process: with two in the tree the default would panic.
    #[cfg(feature = "tls-ring")]
    let provider = rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "tls-ring"))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let config = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
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

/// What is sent to an upstream. It is read once there is a connection for it: before that, nothing of it
/// has been sent.
struct Sent {
    body: Full,
    sending: Option<Sending>,
}

impl http_body::Body for Sent {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        if let Some(sending) = self.sending.take() {
            sending.begins();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// What an upstream sends. One that is dropped closes its connection, but behind the last event of a stream:
/// its end, which may come apart from that, is waited for so that the connection can be used again.
#[derive(Debug)]
pub struct ClientBody {
    // Gone when it is dropped.
    body: Option<Incoming>,
    rest: Option<Rest>,
}

impl ClientBody {
    fn of(response: Response<Incoming>) -> Response<Self> {
        let (mut head, body) = response.into_parts();
        // Where the length is known, there is nothing behind the last byte.
        let open = body.size_hint().exact().is_none();
        let rest = open.then(Rest::default);
        if let Some(rest) = &rest {
            head.extensions.insert(rest.clone());
        }
        let body = Some(body);
        Response::from_parts(head, Self { body, rest })
    }
}

/// So long and so much is read of what stands behind the last event: nothing should.
const REST_TIME: Duration = Duration::from_secs(1);
const REST_BYTES: usize = 16 * 1024;

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.rest.as_ref().is_some_and(Rest::is_all) {
            return;
        }
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (body, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(REST_TIME, read_rest(body)));
        }
    }
}

async fn read_rest(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > REST_BYTES {
            return;
        }
    }
}

impl http_body::Body for ClientBody {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BoxError>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(Default::default, Incoming::size_hint)
    }
}

/// A request under way. Dropping it closes its connection.
pub struct ClientFuture(legacy::ResponseFuture);

impl fmt::Debug for ClientFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientFuture")
    }
}

impl Future for ClientFuture {
    type Output = Result<Response<ClientBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map_ok(ClientBody::of)
            .map_err(|error| match error.is_connect() && is_late(&error) {
                true => Error::timed_out(TimeOut::Connect).with_cause(error).into(),
                false => error.into(),
            })
    }
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
        ClientFuture(pool.request(request.map(|body| Sent { body, sending })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_send_without_delay() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("bound"));
        let mut http = sockets(ClientConfig::default());
        let socket = http.call(uri.parse().expect("a URI")).await;
        let socket = socket.expect("connected").into_inner();
        assert!(socket.nodelay().expect("told"));
    }

    #[tokio::test]
    async fn sockets_alone_carry_nothing_that_wants_tls() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let uri = format!("https://{}", listener.local_addr().expect("bound"));
        let mut http = sockets(ClientConfig::default());
        let refused = http.call(uri.parse().expect("a URI")).await;
        assert!(refused.is_err(), "with TLS it is around them");
        listener.set_nonblocking(true).expect("set");
        let accepted = listener.accept().map(|_| ());
        assert!(accepted.is_err(), "nobody has connected");
    }

    #[tokio::test]
    async fn a_request_waits_until_it_has_a_connection() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let addr = listener.local_addr().expect("bound");
        for (scheme, waits) in [("https", true), ("http", false)] {
            if waits && !cfg!(any(feature = "tls-ring", feature = "tls-aws-lc")) {
                continue;
            }
            let sending = Sending::new();
            let mut request = Request::post(format!("{scheme}://{addr}"));
            let extensions = request.extensions_mut().expect("sound");
            extensions.insert(sending.clone());
            let call = Client::default().call(request.body(Full::new("hi")).expect("a request"));
            assert!(sending.is_waiting(), "{scheme}");
            let call = tokio::spawn(call);
            let (mut socket, _) = listener.accept().await.expect("a connection");
            // The greeting of TLS, which nobody answers, or the request to its end.
            let mut read = Vec::new();
            while read.is_empty() || !(waits || read.ends_with(b"hi")) {
                socket.read_buf(&mut read).await.expect("sent");
            }
            assert_eq!(sending.is_waiting(), waits, "{scheme}");
            if waits {
                call.abort();
                continue;
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            socket.write_all(answer.as_bytes()).await.expect("sent");
            let answer = call.await.expect("no panic").expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    }

    #[test]
    fn each_thread_may_have_a_pool_of_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("bound"));
        let accepted = std::thread::spawn(move || {
            let mut accepted = Vec::new();
            for _ in 0..2 {
                let (mut socket, _) = listener.accept().expect("a connection");
                accepted.push(std::thread::spawn(move || answer_all(&mut socket)));
            }
            accepted
                .into_iter()
                .map(|one| one.join().expect("served"))
                .collect::<Vec<_>>()
        });
        let client = Client::new(ClientConfig {
            pool_per_thread: true,
            ..ClientConfig::default()
        });
        // Both at once, lest one has ended before the other begins and its pool is taken over.
        let both = Arc::new(std::sync::Barrier::new(2));
        let threads = [3, 5].map(|requests| {
            let (mut client, uri, both) = (client.clone(), uri.clone(), Arc::clone(&both));
            std::thread::spawn(move || {
                both.wait();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(async {
                    for _ in 0..requests {
                        let request = Request::post(&uri)
                            .body(Full::default())
                            .expect("a request");
                        let mut answer = client.call(request).await.expect("answered").into_body();
                        while poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut answer), cx))
                            .await
                            .is_some()
                        {}
                        tokio::task::yield_now().await;
                    }
                });
                both.wait();
            })
        });
        for thread in threads {
            thread.join().expect("answered");
        }
        drop(client);
        let mut answered = accepted.join().expect("served");
        answered.sort_unstable();
        assert_eq!(answered, [3, 5]);
    }

    /// How many requests there were until the connection closed.
    fn answer_all(socket: &mut std::net::TcpStream) -> usize {
        use std::io::{Read, Write};
        let (mut said, mut requests) = (Vec::new(), 0);
        let mut read = [0; 1024];
        while let Ok(length @ 1..) = socket.read(&mut read) {
            said.extend_from_slice(&read[..length]);
            while let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
                said.drain(..end + 4);
                requests += 1;
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    .expect("sent");
            }
        }
        requests
    }

    #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
    #[tokio::test]
    async fn a_handshake_that_is_not_done_in_time_is_the_connections_time_out() {
        // It takes connections, and never says a word of TLS.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound");
        let mut client = Client::new(ClientConfig {
            connect_timeout: Duration::from_millis(100),
            ..ClientConfig::default()
        });
        let request = Request::post(format!("https://{at}")).body(Full::default());
        let asked = client.call(request.expect("a request"));
        let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let error = asked.expect("bounded").expect_err("nobody shakes hands");
        let error = error.downcast::<Error>().expect("ours");
        assert_eq!(error.time_out(), Some(TimeOut::Connect));
        listener.accept().expect("it was connected to");
    }

    #[tokio::test]
    async fn a_connection_that_is_not_made_in_time_is_a_time_out_of_its_own() {
        // A socket whose queue is full answers nobody who asks for one more connection.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1).expect("listening");
        let at = listener.local_addr().expect("bound");
        let short = Duration::from_millis(100);
        let mut waiting = Vec::new();
        while let Ok(socket) = std::net::TcpStream::connect_timeout(&at, short) {
            waiting.push(socket);
            assert!(waiting.len() < 100, "the queue never fills");
        }
        let mut client = Client::new(ClientConfig {
            connect_timeout: short,
            ..ClientConfig::default()
        });
        let ask = |client: &mut Client, uri: String| {
            client.call(Request::post(uri).body(Full::default()).expect("a request"))
        };
        let error = ask(&mut client, format!("http://{at}"))
            .await
            .expect_err("nobody accepts");
        let error = error.downcast::<Error>().expect("ours");
        assert_eq!(error.time_out(), Some(TimeOut::Connect));
        assert_eq!(error.code(), Some("upstream_timeout"));
        assert!(StdError::source(&*error).is_some(), "for the operator");
        // One that is refused is not late.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = closed.local_addr().expect("bound");
        drop(closed);
        let error = ask(&mut client, format!("http://{at}"))
            .await
            .expect_err("refused");
        assert!(error.downcast::<Error>().is_err());
    }
}
