//! A hyper server with timers, TCP_NODELAY and a graceful stop.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::Layer;
use tower_completions::{body::BoxBody, stack::RequestIdLayer};

/// How long a client may take for the head of a request, its first or the next on the connection.
const HEAD: Duration = Duration::from_secs(30);

/// Serves until `stop` ends, then lets open requests end for at most `grace`; what is left of that.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Duration
where
    S: Service<Request<Incoming>, Response = Response<BoxBody>, Error = Infallible>
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(256);
    // One for all: it is cloned for each request, and a whole stack is much to clone.
    let service = Arc::new(service);
    // Every answer gets an id, those of our own routes too.
    let service =
        RequestIdLayer::new().layer(tower::service_fn(move |request: Request<Incoming>| {
            service.call(request)
        }));
    let service = TowerToHyperService::new(service);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        // Without it the kernel holds back the end of every short stream for 40 ms.
        let _ = socket.set_nodelay(true);
        let connection = builder.serve_connection(TokioIo::new(socket), service.clone());
        let connection = graceful.watch(connection.into_owned());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let stopped = Instant::now();
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests still open after the grace period are dropped");
    }
    // Dropped here and waited for, so that every hold is settled when this returns.
    connections.shutdown().await;
    grace.saturating_sub(stopped.elapsed())
}
