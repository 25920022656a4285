//! The example gateway under clients that mean no good, each kind beside a client that does.
//!
//! `ABUSE=N` runs each with N hostile clients instead of 100: `scripts/abuse` takes 2000.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Client, Gateway};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_completions::mock::{Script, Server, Upstream};

const ASK: &str = r#"{"model":"a","messages":[{"role":"user","content":"Merhaba"}]}"#;

fn hostile() -> usize {
    std::env::var("ABUSE").map_or(100, |n| n.parse().expect("ABUSE is a number"))
}

fn config(top: &str, base_url: &str) -> String {
    format!(
        "{top}\n[[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n\
         [[models]]\nid = \"a\"\ntargets = [{{ provider = \"far\", model = \"mock/echo\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n\
         [[keys]]\nname = \"flood\"\nsecret = \"sk-flood\"\nmax_concurrent = 8\n"
    )
}

async fn start(top: &str, upstream: Upstream) -> (Server, Gateway) {
    let server = Server::start(upstream).await.expect("a port");
    let gateway = Gateway::start(&config(top, &server.base_url()));
    (server, gateway)
}

/// A log whose reader has stopped fills its pipe after the first requests, and stops nobody.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody() {
    let server = Server::start(Upstream::new()).await.expect("a port");
    let config = config("", &server.base_url());
    let mut gateway = Gateway::run_unread(&config, &[("RUST_LOG", "trace")], &[]);
    for _ in 0..200 {
        let answer = tokio::time::timeout(Duration::from_secs(20), gateway.post("sk-demo", ASK));
        assert_eq!(answer.await.expect("it is answered").status, 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
}

/// As many lines as are kept for a reader, and more, are no reason to stay.
#[tokio::test]
async fn lines_that_are_lost_keep_nothing_from_ending() {
    let server = Server::start(Upstream::new()).await.expect("a port");
    let config = config("", &server.base_url());
    let mut gateway = Gateway::run_unread(&config, &[("RUST_LOG", "trace")], &[]);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-demo\r\n\
        content-type: application/json\r\ncontent-length: 2\r\n";
    let last = format!("{head}connection: close\r\n\r\n{{}}");
    let all = format!("{head}\r\n{{}}").repeat(12_000) + &last;
    let mut socket = TcpStream::connect(&gateway.addr).await.expect("it listens");
    let (mut read, mut write) = socket.split();
    let (mut answers, mut sink) = (0, Vec::new());
    let (sent, read) = tokio::join!(write.write_all(all.as_bytes()), async {
        while read.read_buf(&mut sink).await? > 0 {
            answers += memchr::memmem::find_iter(&sink, b"HTTP/1.1 ").count();
            sink.clear();
        }
        std::io::Result::Ok(())
    });
    sent.and(read).expect("it stays");
    assert!(answers > 11_000, "{answers}");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
}

/// The memory of a process in KiB, as far as it is resident.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a number").parse().expect("a number")
}

/// A client that behaves is served at once, and no hostile connection costs more than this many KiB.
async fn serves_the_good(gateway: &Gateway, before: u64, each: u64) {
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(client.post(ASK).await.status, 200);
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
    let grown = resident(gateway.pid()).saturating_sub(before);
    let most = each * hostile() as u64 + 16_384;
    assert!(grown <= most, "{grown} KiB for {} connections", hostile());
}

/// Opens the hostile connections, each having sent these bytes.
async fn connections(gateway: &Gateway, sent: &str) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..hostile() {
        let mut socket = TcpStream::connect(&gateway.addr).await.expect("accepted");
        socket.write_all(sent.as_bytes()).await.expect("sent");
        all.push(socket);
    }
    all
}

#[tokio::test]
async fn slow_heads_wait_without_harm() {
    let (_upstream, gateway) = start("", Upstream::new()).await;
    let before = resident(gateway.pid());
    let mut slow = connections(
        &gateway,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-a: ",
    )
    .await;
    for socket in &mut slow {
        socket.write_all(b"b").await.expect("still open");
    }
    serves_the_good(&gateway, before, 32).await;
    if hostile() > 100 {
        // The time for a head is 30 s.
        for mut socket in slow {
            let mut answer = Vec::new();
            let ended = socket.read_to_end(&mut answer);
            let ended = tokio::time::timeout(Duration::from_secs(40), ended).await;
            assert!(ended.is_ok(), "still open");
        }
    }
}

#[tokio::test]
async fn slow_bodies_are_told_408() {
    let top = "[body]\nidle_timeout_ms = 1500\ntimeout_ms = 3000";
    let (_upstream, gateway) = start(top, Upstream::new()).await;
    let before = resident(gateway.pid());
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-demo\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let slow = connections(&gateway, head).await;
    serves_the_good(&gateway, before, 40).await;
    for mut socket in slow {
        let mut answer = [0; 512];
        let n = socket.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..n]);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let (_upstream, gateway) = start("", Upstream::new()).await;
    let before = resident(gateway.pid());
    let many: String = (0..5000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let long = format!("x-a: {}\r\n", "a".repeat(1 << 20));
    for headers in [many, long] {
        for _ in 0..hostile().div_ceil(10) {
            let mut socket = TcpStream::connect(&gateway.addr).await.expect("accepted");
            let head = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
            // It may be refused, and the connection closed, before all of it is written.
            let _ = socket.write_all(head.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
                "{answer}"
            );
        }
    }
    serves_the_good(&gateway, before, 32).await;
}

#[tokio::test]
async fn streams_reset_at_once_leave_nothing_behind() {
    let upstream = Upstream::new().with_model(
        "mock/echo",
        Script::echo().with_delay(Duration::from_millis(20)),
    );
    let (server, gateway) = start("", upstream).await;
    let before = resident(gateway.pid());
    let socket = TcpStream::connect(&gateway.addr).await.expect("accepted");
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("a handshake");
    let connection = tokio::spawn(connection);
    for _ in 0..hostile() * 10 {
        let request = Request::builder()
            .method(Method::GET)
            .version(Version::HTTP_2)
            .uri("http://gateway/v1/models")
            .header("authorization", "Bearer sk-demo")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        if send.ready().await.is_err() {
            break;
        }
        // Dropped as soon as it is sent: the stream is reset.
        drop(send.send_request(request));
        tokio::task::yield_now().await;
    }
    drop(send);
    let _ = connection.await;
    serves_the_good(&gateway, before, 32).await;
    server
        .upstream()
        .log()
        .until(|counts| counts.open == 0)
        .await;
}

/// A completion that is reset while its upstream is asked gives back its slot and its upstream's connection.
#[tokio::test]
async fn completions_reset_on_their_way_are_cancelled_and_give_back_their_slots() {
    let waits = Script::echo().with_delay(Duration::from_secs(3_600));
    let (server, gateway) = start("", Upstream::new().with_model("mock/echo", waits)).await;
    let log = server.upstream().log().clone();
    let socket = TcpStream::connect(&gateway.addr).await.expect("accepted");
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("a handshake");
    let connection = tokio::spawn(connection);
    // Of the slots of this key there are eight.
    let resets = hostile() as u64;
    for n in 1..=resets {
        let request = Request::post("http://gateway/v1/chat/completions")
            .version(Version::HTTP_2)
            .header("authorization", "Bearer sk-flood")
            .body(Full::new(Bytes::from_static(ASK.as_bytes())))
            .expect("a request");
        send.ready().await.expect("still open");
        let answer = send.send_request(request);
        let asked = log.until(|counts| counts.calls >= n);
        let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
        assert!(asked.is_ok(), "{n}: {:?}", log.counts());
        drop(answer);
        if n % 8 == 0 {
            // The slots are back when the upstreams are left.
            let left = log.until(|counts| counts.cancelled >= n);
            let left = tokio::time::timeout(Duration::from_secs(30), left).await;
            assert!(left.is_ok(), "{n}: {:?}", log.counts());
        }
    }
    drop(send);
    let _ = connection.await;
    let left = log.until(|counts| counts.open == 0);
    let left = tokio::time::timeout(Duration::from_secs(30), left).await;
    let left = left.expect("nothing is left open");
    assert_eq!((left.calls, left.cancelled), (resets, resets));
    let standing = gateway.get("sk-flood", "/v1/key").await.json();
    assert_eq!(standing["data"]["concurrent"]["in_use"], 0, "{standing}");
}

/// Posts again and again until `until`, a short pause after each refusal; counts the answers.
async fn hammer(mut client: Client, until: Instant, served: Arc<AtomicUsize>) {
    while Instant::now() < until {
        let answer = client.post(ASK).await;
        if answer.status == 200 {
            served.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(answer.status, 429, "{}", answer.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// By the clock, on a machine that does nothing else; `tests/overload.rs` judges by counts.
#[tokio::test]
async fn ten_times_the_load_gets_as_much_done_in_time() {
    if hostile() <= 100 {
        return;
    }
    let script = Script::echo().with_delay(Duration::from_millis(50));
    let (_upstream, gateway) = start("", Upstream::new().with_model("mock/echo", script)).await;
    let (time, least) = (10, 0.9);
    let mut done = Vec::new();
    for clients in [8, 80] {
        let served = Arc::new(AtomicUsize::new(0));
        let until = Instant::now() + Duration::from_secs(time);
        let mut tasks = Vec::new();
        for _ in 0..clients {
            let client = gateway.connect().await.with_key("sk-flood");
            tasks.push(tokio::spawn(hammer(client, until, Arc::clone(&served))));
        }
        // Another key is served all the while.
        let mut other = gateway.connect().await;
        while Instant::now() < until {
            assert_eq!(other.post(ASK).await.status, 200);
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        done.push(served.load(Ordering::Relaxed) as f64);
    }
    let ratio = done[1] / done[0];
    assert!(ratio >= least, "{done:?}: {ratio:.2}");
    println!("ten times the load: {ratio:.2} of the answers");
}
