use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_service::Service;

use super::{body::Reset, upstream::Upstream};

/// An [`Upstream`] on a loopback port, over hyper's HTTP/1.1.
///
/// It stops when [`stop`](Self::stop) is called; dropped, it stops taking connections and leaves
/// the open ones to the runtime.
///
/// ```
/// use tower_completions::mock::{Server, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = Server::start(Upstream::new()).await?;
/// assert!(server.base_url().starts_with("http://127.0.0.1:"));
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    upstream: Upstream,
    accepting: JoinHandle<()>,
    open: Arc<GracefulShutdown>,
}

impl Server {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(upstream: Upstream) -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), upstream).await
    }

    /// Serves on this address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(addr: SocketAddr, upstream: Upstream) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let open = Arc::new(GracefulShutdown::new());
        let watched = Arc::clone(&open);
        let service = upstream.clone();
        let accepting = tokio::spawn(async move {
            loop {
                // A connection that fails to be accepted is the client's loss.
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let connection = serve(stream, service.clone());
                tokio::spawn(watched.watcher().watch(connection));
            }
        });
        Ok(Self {
            addr,
            upstream,
            accepting,
            open,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client takes as its base URL: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The service behind it, for scripts and the log.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Takes no more connections and waits for the open requests to end. Dropped, it lets them run.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // The task lets go of its share when it ends, and is not waited for longer than that.
        let _ = (&mut self.accepting).await;
        if let Some(open) = Arc::into_inner(std::mem::take(&mut self.open)) {
            open.shutdown().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn serve(stream: TcpStream, upstream: Upstream) -> http1::Connection<TokioIo<Socket>, Connected> {
    // Without it a short answer may wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let connected = Connected {
        upstream,
        reset: Reset(Some(Arc::clone(&reset))),
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(Socket { stream, reset }), connected)
}

/// The upstream, as one connection sees it.
struct Connected {
    upstream: Upstream,
    reset: Reset,
}

impl hyper::service::Service<Request<Incoming>> for Connected {
    type Response = Response<super::Body>;
    type Error = super::Broken;
    type Future = super::ResponseFuture;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.reset.clone());
        self.upstream.clone().call(request)
    }
}

/// An address of 127.0.0.1 that refuses connections: a port that was free a moment ago.
///
/// # Errors
/// When no port can be bound.
pub fn refused() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A socket that ends with a reset instead of a good end, when the script broke the connection.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
