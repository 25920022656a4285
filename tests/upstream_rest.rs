//! The end of an upstream's stream that comes apart from its last event.
#![cfg(all(feature = "client", feature = "tokio"))]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Dialect,
    provider::{
        Provider,
        anthropic::Anthropic,
        client::{Client, ClientConfig},
        openai::OpenAi,
    },
    reframe::ReframeLayer,
};

const OPENAI: &str = concat!(
    r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"#,
    r#""delta":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n"
);
const ANTHROPIC: &str = concat!(
    r#"data: {"type":"message_start","message":{"id":"a","type":"message","role":"assistant","model":"m","#,
    r#""content":[],"usage":{"input_tokens":1,"output_tokens":1}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hi"}}"#,
    "\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
    "\n\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n"
);

/// Answers each request by a stream whose end it sends when it is told to.
struct Upstream {
    port: u16,
    connections: Arc<AtomicUsize>,
    /// Takes the end of the stream that is open.
    end: mpsc::Receiver<mpsc::Sender<()>>,
}

impl Upstream {
    fn start(events: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (ends, end) = mpsc::channel();
        let accepted = Arc::clone(&connections);
        thread::spawn(move || {
            for socket in listener.incoming() {
                accepted.fetch_add(1, Ordering::Relaxed);
                let (socket, ends) = (socket.expect("accepted"), ends.clone());
                thread::spawn(move || serve(socket, events, &ends));
            }
        });
        Self {
            port,
            connections,
            end,
        }
    }
}

fn serve(mut socket: TcpStream, events: &str, ends: &mpsc::Sender<mpsc::Sender<()>>) {
    let mut said = Vec::new();
    let mut read = [0; 4096];
    loop {
        while !is_whole(&said) {
            match socket.read(&mut read) {
                Ok(length @ 1..) => said.extend_from_slice(&read[..length]),
                _ => return,
            }
        }
        said.clear();
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
        let begun = write!(socket, "{head}\r\n\r\n{:x}\r\n{events}\r\n", events.len());
        let (end, told) = mpsc::channel();
        if begun.is_err() || ends.send(end).is_err() || told.recv().is_err() {
            return;
        }
        if socket.write_all(b"0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() == length.expect("told").parse::<usize>().expect("a number")
}

fn request() -> Request<Full<Bytes>> {
    let body =
        r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
    Request::post("/v1/chat/completions")
        .body(Full::from(body))
        .expect("a request")
}

/// How many connections so many streams took.
async fn connections(events: &'static str, requests: usize) -> usize {
    let upstream = Upstream::start(events);
    let base = format!("http://127.0.0.1:{}/v1", upstream.port);
    let client = Client::new(ClientConfig::default());
    let provider = if events == OPENAI {
        Provider::new("up", client, OpenAi::new(&base).expect("a URL")).boxed()
    } else {
        Provider::new("up", client, Anthropic::new(&base).expect("a URL"))
            .with_keys(["sk-up"])
            .boxed()
    };
    let service = ReframeLayer::new(Dialect::openai()).layer(provider);
    for _ in 0..requests {
        let answer = service.clone().oneshot(request()).await;
        let body = answer.expect("an answer").into_body().collect().await;
        let body = body.expect("whole").to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"), "{body:?}");
        // The client has all, and the upstream has not ended its answer yet.
        let end = upstream.end.recv().expect("a stream is open");
        end.send(()).expect("it waits");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    upstream.connections.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_stream_whose_end_comes_late_gives_its_connection_back() {
    for events in [OPENAI, ANTHROPIC] {
        let connections = connections(events, 20).await;
        // The one or the other end may have been read a moment too late.
        assert!(connections < 10, "{connections}");
    }
}

/// An upstream of one stream, which goes on when it has begun, or says no more; ends with its connection.
fn once(begun: &'static str, goes_on: bool) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let (mut said, mut read) = (Vec::new(), [0; 4096]);
        while !is_whole(&said) {
            let length = socket.read(&mut read).expect("a request");
            said.extend_from_slice(&read[..length]);
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
        let length = begun.len();
        write!(socket, "{head}\r\n\r\n{length:x}\r\n{begun}\r\n").expect("open");
        let more = format!("400\r\n{}\r\n", ":".repeat(0x400));
        // Without end, until nobody takes it; or nothing at all.
        while goes_on && socket.write_all(more.as_bytes()).is_ok() {}
        while matches!(socket.read(&mut read), Ok(1..)) {}
    });
    (port, serving)
}

/// Reads a stream to its end, or leaves it before.
async fn ask(port: u16, reads: bool) {
    let base = format!("http://127.0.0.1:{port}/v1");
    let client = Client::new(ClientConfig::default());
    let provider = Provider::new("up", client, OpenAi::new(&base).expect("a URL"));
    let service = ReframeLayer::new(Dialect::openai()).layer(provider);
    let answer = service.oneshot(request()).await.expect("an answer");
    if reads {
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"), "{body:?}");
    }
}

async fn closed(serving: thread::JoinHandle<()>) {
    let joined = tokio::task::spawn_blocking(|| serving.join());
    let joined = tokio::time::timeout(std::time::Duration::from_secs(20), joined).await;
    let ended = joined.expect("its connection is closed").expect("joined");
    ended.expect("no panic");
}

#[tokio::test]
async fn what_does_not_end_behind_the_last_event_is_closed() {
    for goes_on in [true, false] {
        let (port, serving) = once(OPENAI, goes_on);
        ask(port, true).await;
        closed(serving).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_left_before_its_end_is_closed() {
    let (begun, _) = OPENAI.split_once("data: [DONE]").expect("it ends");
    let (port, serving) = once(begun, true);
    ask(port, false).await;
    closed(serving).await;
}
