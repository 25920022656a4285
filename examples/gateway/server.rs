//! A server with a runtime on each core.
//!
//! What belongs to a connection stays on the core that it was given to: its requests, the upstream's
//! connections, their timers. A runtime of several threads hands them around, and every count that a
//! request touches goes from one core's cache to the other's: a third of the CPU of a small request.
//! The price is that a core which is busy for long holds up its other connections, and that all
//! streams of one HTTP/2 connection share a core.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::service::Service;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::{mpsc, oneshot},
};
use tower_completions::body::BoxBody;

use crate::connection::{self, Accepted, Body, Counted};

/// Threads that serve connections.
pub struct Workers(Vec<Worker>);

struct Worker {
    sockets: mpsc::UnboundedSender<Accepted>,
    /// How many connections it has.
    open: Arc<AtomicUsize>,
    stop: oneshot::Sender<Duration>,
    stopped: oneshot::Receiver<()>,
    runtime: Runtime,
}

/// A worker's, which ends when this is dropped.
struct Runtime(#[expect(dead_code, reason = "dropped with it")] oneshot::Sender<()>);

impl Worker {
    fn start<S>(service: S) -> std::io::Result<Self>
    where
        S: Service<Request<Body>, Response = Response<BoxBody>, Error = Infallible>
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sockets, accepted) = mpsc::unbounded_channel();
        let (stop, told) = oneshot::channel();
        let (ended, stopped) = oneshot::channel();
        let (running, end) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    connection::serve(accepted, service, told).await;
                    let _ = ended.send(());
                    let _ = end.await;
                });
                // A name may still be looked up for nobody.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            sockets,
            open: Arc::default(),
            stop,
            stopped,
            runtime: Runtime(running),
        })
    }
}

impl Workers {
    /// So many threads, each with a service of its own.
    pub fn start<S>(threads: usize, service: impl Fn() -> S) -> std::io::Result<Self>
    where
        S: Service<Request<Body>, Response = Response<BoxBody>, Error = Infallible>
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let workers = (0..threads).map(|_| Worker::start(service()));
        workers.collect::<Result<_, _>>().map(Self)
    }

    /// Hands a connection to the worker that has the fewest, of those that still work.
    fn hand(&self, socket: std::net::TcpStream) {
        let working = |worker: &&Worker| !worker.sockets.is_closed();
        let least = |worker: &&Worker| worker.open.load(Ordering::Relaxed);
        if let Some(worker) = self.0.iter().filter(working).min_by_key(least) {
            let _ = worker.sockets.send((socket, Counted::one_of(&worker.open)));
        }
    }

    /// All at once: open requests may end for at most so long.
    async fn stop(self, grace: Duration) -> Vec<Runtime> {
        let told = self.0.into_iter().map(|worker| {
            let _ = worker.stop.send(grace);
            (worker.stopped, worker.runtime)
        });
        let mut runtimes = Vec::new();
        for (stopped, runtime) in told.collect::<Vec<_>>() {
            let _ = stopped.await;
            runtimes.push(runtime);
        }
        runtimes
    }
}

/// What is left of a server that has stopped.
pub struct Stopped {
    /// Of the time that requests had to end.
    pub grace: Duration,
    /// For what outlives its connection.
    _runtimes: Vec<Runtime>,
}

/// Serves until `stop` ends, then lets open requests end for at most `grace`.
pub async fn serve(
    listener: TcpListener,
    workers: Workers,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Stopped {
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted.and_then(|(socket, _)| taken(socket)) {
            Ok(socket) => workers.hand(socket),
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let stopped = Instant::now();
    let runtimes = workers.stop(grace).await;
    Stopped {
        grace: grace.saturating_sub(stopped.elapsed()),
        _runtimes: runtimes,
    }
}

/// A client's socket, as its worker has it.
fn taken(socket: TcpStream) -> std::io::Result<std::net::TcpStream> {
    // Without it the kernel holds back the end of every short stream for 40 ms.
    let _ = socket.set_nodelay(true);
    socket.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_to_a_client_goes_out_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).await.expect("accepted");
        let (socket, _) = listener.accept().await.expect("one");
        assert!(!socket.nodelay().expect("told"), "not by itself");
        let socket = taken(socket).expect("a socket");
        assert!(socket.nodelay().expect("told"));
        drop(client);
    }
}
