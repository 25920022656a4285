//! The connections of one worker: HTTP/1.1 or HTTP/2, timers, a graceful stop.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tower::Layer;
use tower_completions::{body::BoxBody, stack::RequestIdLayer};

use crate::{
    awake::{Awake, Received},
    patience::Patience,
    rest::Rest,
    streams::Streams,
};

/// How long a client may take for the head of a request, its first or the next on the connection.
const HEAD: Duration = Duration::from_secs(30);

/// What a client says first that speaks HTTP/2 without having asked.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether it says that, without taking it out of the socket: put back in front of what follows, it
/// would double the buffer that each connection reads into.
async fn speaks_http2(socket: &TcpStream) -> std::io::Result<bool> {
    let mut said = [0; PREFACE.len()];
    for look in 0.. {
        let length = socket.peek(&mut said).await?;
        if length == 0 || !PREFACE.starts_with(&said[..length]) {
            break;
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        // Nobody wakes who has seen a part of it already.
        tokio::time::sleep(pause(look)).await;
    }
    Ok(false)
}

/// Before the next look: short at first, and so long in the end that thousands who never say more
/// cost nothing.
fn pause(look: u32) -> Duration {
    Duration::from_millis(1 << look.min(8))
}

/// The body of a request.
pub type Body = Received<Rest>;

/// A client's connection, and what counts it as open until it ends.
pub type Accepted = (std::net::TcpStream, Counted);

/// One of the connections that a worker has open.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub fn one_of(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves the connections that come until it is told to stop; then open requests may end for as long as
/// it is told.
pub async fn serve<S>(
    mut sockets: mpsc::UnboundedReceiver<Accepted>,
    service: S,
    mut stop: oneshot::Receiver<Duration>,
) where
    S: Service<Request<Body>, Response = Response<BoxBody>, Error = Infallible>
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let mut http1 = http1::Builder::new();
    http1.header_read_timeout(HEAD);
    let streams = Streams::default();
    // One for all: it is cloned for each request, and a whole stack is much to clone.
    let service = Arc::new(service);
    // Every answer gets an id, those of our own routes too.
    let service =
        RequestIdLayer::new().layer(tower::service_fn(move |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let body = Rest::of(body, &head.headers);
            service.call(Request::from_parts(head, Received::new(body)))
        }));
    let service = TowerToHyperService::new(service);
    let graceful = GracefulShutdown::new();
    // Closed when it stops: whoever has not said a word is not waited for.
    let (serving, stopping) = watch::channel(());
    // Set when it stops: whoever has said half a head neither.
    let over = Arc::new(AtomicBool::new(false));
    let mut connections = JoinSet::new();
    let grace = loop {
        let (socket, counted) = tokio::select! {
            // Whoever came before it stopped is served.
            biased;
            Some(accepted) = sockets.recv() => accepted,
            grace = &mut stop => break grace.unwrap_or_default(),
            Some(_) = connections.join_next() => continue,
        };
        // Where they come faster than it waits for one that ends.
        while connections.try_join_next().is_some() {}
        let Ok(socket) = TcpStream::from_std(socket) else {
            continue;
        };
        let (mut http1, streams) = (http1.clone(), streams.of_one());
        http1.timer(Patience::until(&over));
        let (service, watcher) = (service.clone(), graceful.watcher());
        let mut stopping = stopping.clone();
        connections.spawn(async move {
            let _counted = counted;
            let speaks = tokio::select! {
                speaks = timeout(HEAD, speaks_http2(&socket)) => speaks,
                _ = stopping.changed() => return,
            };
            let ended = match speaks {
                Ok(Ok(true)) => {
                    let http2 = http2(&streams);
                    let connection =
                        http2.serve_connection(TokioIo::new(streams.watched(socket)), service);
                    // In a box: it is large, and few connections are one.
                    tokio::select! {
                        ended = Box::pin(watcher.watch(connection)) => ended,
                        () = streams.are_over(stopping) => return,
                    }
                }
                Ok(Ok(false)) => {
                    let connection = http1.serve_connection(TokioIo::new(socket), service);
                    Awake::new(watcher.watch(connection)).await
                }
                Ok(Err(_)) | Err(_) => return,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    };
    // Seen when the connections are told to end, right behind.
    over.store(true, Ordering::Relaxed);
    drop(serving);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still open after the grace period are dropped");
    }
    // Dropped here and waited for, so that every hold is settled when this returns.
    connections.shutdown().await;
    streams.shutdown().await;
}

fn http2(streams: &Streams) -> http2::Builder<Streams> {
    let mut http2 = http2::Builder::new(streams.clone());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(256);
    http2
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower_completions::body::Full;

    use super::*;

    #[test]
    fn who_never_says_more_is_looked_at_seldom() {
        let waited = |looks: u32| (0..looks).map(pause).sum::<Duration>();
        assert!(waited(5) < Duration::from_millis(50));
        assert!(waited(130) > HEAD);
    }

    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// Reads until a whole answer of two bytes is there.
    async fn answer(client: &mut TcpStream) -> String {
        let mut all = Vec::new();
        while !all.ends_with(b"ok") {
            assert_ne!(client.read_buf(&mut all).await.expect("open"), 0);
        }
        String::from_utf8(all).expect("UTF-8")
    }

    /// A client that says this and no more is let go when the time for a head is over. hyper reads the time
    /// from the system, which a paused clock leaves behind: each says so on a runtime of its own.
    async fn is_let_go(says: &[u8]) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("bound");
        let service = hyper::service::service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(BoxBody::new(Full::new("ok"))))
        });
        let (give, sockets) = mpsc::unbounded_channel();
        let (_stop, stopped) = oneshot::channel();
        tokio::spawn(serve(sockets, service, stopped));
        let mut client = TcpStream::connect(port).await.expect("accepted");
        let (socket, _) = listener.accept().await.expect("one");
        let socket = socket.into_std().expect("a socket");
        let counted = Counted::one_of(&Arc::default());
        assert!(give.send((socket, counted)).is_ok());
        let begun = tokio::time::Instant::now();
        client.write_all(says).await.expect("open");
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.expect("it is closed");
        assert_eq!(all.ends_with(b"ok"), says == WHOLE);
        let took = begun.elapsed().as_secs();
        assert!(
            (HEAD.as_secs() - 1..HEAD.as_secs() + 9).contains(&took),
            "{took}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_let_go() {
        is_let_go(&[]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_half_a_head_is_let_go() {
        is_let_go(&WHOLE[..9]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_more_is_let_go() {
        is_let_go(WHOLE).await;
    }

    /// Whoever has been answered, and whoever has not said a whole head, is not waited for when it stops; whoever
    /// has is.
    #[tokio::test]
    async fn who_has_not_said_a_whole_head_holds_up_no_stop() {
        for (says, answers) in [
            (&[][..], true),
            (&WHOLE[..9], false),
            (&WHOLE[..9], true),
            (&WHOLE[..WHOLE.len() - 1], true),
            (WHOLE, true),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.expect("a port");
            let port = listener.local_addr().expect("bound");
            let (asked, mut was_asked) = mpsc::unbounded_channel();
            let (go, may_go) = watch::channel(false);
            let service = hyper::service::service_fn(move |request: Request<Body>| {
                let (asked, mut may_go) = (asked.clone(), may_go.clone());
                async move {
                    let _ = asked.send(request.uri().path().to_owned());
                    let _ = may_go.wait_for(|go| *go).await;
                    Ok::<_, Infallible>(Response::new(BoxBody::new(Full::new("ok"))))
                }
            });
            let (give, sockets) = mpsc::unbounded_channel();
            let (stop, stopped) = oneshot::channel();
            let serving = tokio::spawn(serve(sockets, service, stopped));
            let mut client = TcpStream::connect(port).await.expect("accepted");
            let (socket, _) = listener.accept().await.expect("one");
            let socket = socket.into_std().expect("a socket");
            let counted = Counted::one_of(&Arc::default());
            assert!(give.send((socket, counted)).is_ok());
            if answers {
                client.write_all(WHOLE).await.expect("open");
                was_asked.recv().await.expect("asked");
                go.send_replace(true);
                assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
                go.send_replace(false);
            }
            client.write_all(says).await.expect("open");
            if says == WHOLE {
                was_asked.recv().await.expect("asked");
            }
            // Loopback is at once: the server reads it as soon as it has a turn.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            let begun = Instant::now();
            stop.send(Duration::from_secs(20)).expect("it serves");
            if says == WHOLE {
                go.send_replace(true);
                assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
            }
            serving.await.expect("no panic");
            assert!(begun.elapsed().as_secs() < 15, "{says:?} {answers}");
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
            assert_eq!(rest, b"", "nothing is told to half a request");
        }
    }

    /// Frames of HTTP/2: their kinds, from what a server sends.
    async fn frame(client: &mut TcpStream) -> Option<(u8, u8)> {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        client.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4]))
    }

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: x`, and the end of the stream.
    const ASK: [u8; 15] = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'x'];

    /// A client of HTTP/2 that says so, whoever serves it, and what stops that one.
    async fn http2_client(
        answer: &'static [u8],
        takes: Duration,
    ) -> (
        TcpStream,
        tokio::task::JoinHandle<()>,
        oneshot::Sender<Duration>,
        mpsc::UnboundedReceiver<()>,
    ) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("bound");
        let (asked, was_asked) = mpsc::unbounded_channel();
        let service = hyper::service::service_fn(move |_: Request<Body>| {
            let asked = asked.clone();
            async move {
                let _ = asked.send(());
                tokio::time::sleep(takes).await;
                Ok::<_, Infallible>(Response::new(BoxBody::new(Full::new(answer))))
            }
        });
        let (give, sockets) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(sockets, service, stopped));
        let mut client = TcpStream::connect(port).await.expect("accepted");
        let (socket, _) = listener.accept().await.expect("one");
        let counted = Counted::one_of(&Arc::default());
        let socket = socket.into_std().expect("a socket");
        assert!(give.send((socket, counted)).is_ok());
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .expect("open");
        client.write_all(&SETTINGS).await.expect("open");
        (client, serving, stop, was_asked)
    }

    /// A connection without a stream is not waited for, though its client never answers a ping; one with a
    /// stream is.
    #[tokio::test(start_paused = true)]
    async fn who_answers_no_ping_holds_up_a_stop_only_with_a_stream() {
        for asks in [false, true] {
            let served = http2_client(b"ok", Duration::from_secs(5)).await;
            let (mut client, serving, stop, mut was_asked) = served;
            if asks {
                client.write_all(&ASK).await.expect("open");
                was_asked.recv().await.expect("asked");
            }
            while frame(&mut client).await.expect("open") != (4, 1) {}
            let begun = tokio::time::Instant::now();
            stop.send(Duration::from_secs(60)).expect("it serves");
            serving.await.expect("no panic");
            let took = begun.elapsed().as_secs();
            assert_eq!((1..5).contains(&took), !asks, "{took}");
            assert!(took < 15, "{took}");
            let mut data = 0;
            while let Some((kind, _)) = frame(&mut client).await {
                data += u32::from(kind == 0);
            }
            assert_eq!(data > 0, asks);
        }
    }

    /// What serves the stream has put all of the answer into the connection when most of it is yet to be sent.
    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_the_whole_answer_though_it_stops() {
        // Twelve frames; no more than four go out before the client says that it has read one.
        static ANSWER: [u8; 12 << 14] = [b'x'; 12 << 14];
        let served = http2_client(&ANSWER, Duration::ZERO).await;
        let (mut client, serving, stop, mut was_asked) = served;
        client.set_nodelay(true).expect("a socket");
        client.write_all(&ASK).await.expect("open");
        was_asked.recv().await.expect("asked");
        let mut stop = Some(stop);
        let more = |stream| [0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 0, 1 << 6, 0];
        let mut ended = false;
        while let Some((kind, flags)) = frame(&mut client).await {
            if kind != 0 {
                continue;
            }
            ended |= flags & 1 == 1;
            if let Some(stop) = stop.take() {
                stop.send(Duration::from_secs(60)).expect("it serves");
            }
            tokio::time::sleep(Duration::from_millis(900)).await;
            let _ = client.write_all(&[more(0), more(1)].concat()).await;
        }
        assert!(ended);
        serving.await.expect("no panic");
    }
}
