//! The example gateway's connections: whoever leaves, says nothing, sends first, or speaks HTTP/2; and a signal to stop.

#[path = "support/mocked.rs"]
mod mocked;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use http::Method;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mocked::{ask, config};
use serde_json::json;
use support::Gateway;
use tower_completions::cost::Amount;

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot_and_hold() {
    let gateway = Gateway::start(&config("openai"));
    let body = ask(json!({ "model": "mock/stall", "stream": true }));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await.with_key("sk-rich");
        let response = client.begin(&body).await;
        held.push((client, response));
    }
    let refused = gateway.post("sk-rich", &ask(json!({}))).await;
    assert_eq!(refused.status, 429, "both slots are taken");
    let key = gateway.get("sk-rich", "/v1/key").await.json()["data"].clone();
    assert_eq!(key["concurrent"]["in_use"], 2);
    assert_ne!(key["held"].as_str().expect("a string").parse(), Ok(0.0));
    drop(held);
    let begun = Instant::now();
    loop {
        let key = gateway.get("sk-rich", "/v1/key").await.json()["data"].clone();
        if key["concurrent"]["in_use"] == 0
            && key["held"].as_str().expect("a string").parse() == Ok(0.0)
        {
            break;
        }
        assert!(begun.elapsed().as_secs() < 5, "still held: {key}");
        tokio::task::yield_now().await;
    }
    assert!(
        gateway.settled("sk-rich", "5").await > Amount::ZERO,
        "never free"
    );
}

/// An upstream of one stream, whose end it sends when it is told to.
fn upstream_that_waits() -> (u16, std::sync::mpsc::Sender<()>) {
    const EVENTS: [&str; 2] = [
        r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}"#,
        r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":"stop"}]}"#,
    ];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (go, may_go) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("asked");
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while !said.ends_with(b"}") {
            let read = socket.read(&mut piece).expect("a request");
            said.extend_from_slice(&piece[..read]);
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        write!(socket, "{head}{}\n\n", EVENTS[0]).expect("sent");
        if may_go.recv().is_ok() {
            write!(socket, "{}\n\ndata: [DONE]\n\n", EVENTS[1]).expect("sent");
        }
    });
    (port, go)
}

#[tokio::test]
async fn a_signal_lets_open_requests_end_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let (port, go) = upstream_that_waits();
        let mut gateway = Gateway::start(&format!(
            "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
             [[models]]\nid = \"m\"\ntargets = [{{ provider = \"p\", model = \"m\" }}]\n\
             [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
        ));
        let mut client = gateway.connect().await;
        let body = ask(json!({ "model": "m", "stream": true }));
        let request = client.request(Method::POST, "/v1/chat/completions", &body);
        let mut response = client.open(request).await;
        assert_eq!(response.status(), 200);
        let begun = response.body_mut().frame().await.expect("an event");
        let begun = begun.expect("sound").into_data().expect("data");
        assert!(begun.ends_with(b"\n\n"));
        gateway.signal(signal);
        while TcpStream::connect(&*gateway.addr).is_ok() {
            tokio::task::yield_now().await;
        }
        go.send(()).expect("it waits");
        let rest = response.into_body().collect().await.expect("whole");
        let rest = String::from_utf8(rest.to_bytes().to_vec()).expect("UTF-8");
        assert!(rest.contains(" there"), "{rest}");
        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        assert_eq!(gateway.wait(), Some(0), "{signal}");
    }
}

#[test]
fn a_connection_that_says_nothing_keeps_nothing_open() {
    let mut gateway = Gateway::start(&config("openai"));
    let silent = TcpStream::connect(&*gateway.addr).expect("connected");
    let mut begun = TcpStream::connect(&*gateway.addr).expect("connected");
    begun.write_all(b"PRI * HT").expect("sent");
    // Both have been accepted, for what comes later is served.
    let mut later = TcpStream::connect(&*gateway.addr).expect("connected");
    later
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    later.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    drop((silent, begun));
}

#[test]
fn http2_is_spoken_with_who_begins_with_it_whatever_the_pieces() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    socket.set_nodelay(true).expect("set");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().chain(&settings) {
        socket.write_all(&[*byte]).expect("sent");
        std::thread::yield_now();
    }
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "the server's settings come first: {frame:?}");
}

/// Whoever reads no answer before all of a body is sent, as Python's `http.client` does.
#[test]
fn a_refusal_reaches_who_sends_all_of_a_large_body_first() {
    let gateway = Gateway::start(&config("openai"));
    let body = vec![b' '; 24 << 20];
    for (path, key, status, chunked, expect) in [
        ("/v1/chat/completions", "sk-demo", "413", false, ""),
        ("/v1/chat/completions", "sk-demo", "413", true, ""),
        // Told to go on, for how much it is nobody knows before it is read.
        (
            "/v1/chat/completions",
            "sk-demo",
            "413",
            true,
            "expect: 100-continue\r\n",
        ),
        ("/v1/chat/completions", "sk-nobody", "401", false, ""),
        ("/nowhere", "sk-demo", "404", false, ""),
    ] {
        let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
        let framing = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\n{expect}{framing}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        if chunked {
            write!(socket, "{:x}\r\n", body.len()).expect("sent");
        }
        socket.write_all(&body).expect("all of it is taken");
        if chunked {
            socket.write_all(b"\r\n0\r\n\r\n").expect("sent");
        }
        // And the connection goes on.
        let last = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        socket.write_all(last.as_bytes()).expect("sent");
        let mut answers = String::new();
        socket.read_to_string(&mut answers).expect("two answers");
        let first = answers.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(first.is_some(), !expect.is_empty(), "{answers}");
        assert!(
            first
                .unwrap_or(&answers)
                .starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {key}: {answers}"
        );
        assert!(answers.ends_with("ok"), "{path} {key}: {answers}");
    }
}

/// A client that waits before it sends is answered without a word to go on.
#[test]
fn who_asks_first_is_not_told_to_send_what_is_refused() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-demo\r\n\
                expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

/// Some clients take a stream that is reset behind its answer for one that has failed.
#[test]
fn a_refusal_over_http2_is_no_reset() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // `:method: POST`, `:scheme: http`, `:path: /nowhere`, `:authority: x`; a body is to come.
    let ask = b"\x00\x00\x0f\x01\x04\x00\x00\x00\x01\x83\x86\x44\x08/nowhere\x41\x01x";
    let rest = b"\x00\x00\x02\x00\x01\x00\x00\x00\x01{}";
    let ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00whatever";
    socket
        .write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, ask].concat())
        .expect("sent");
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).expect("a frame");
        kinds.push(head[3]);
        match (head[3], head[4] & 1) {
            // The answer is whole: now comes the rest of the request, and what is answered behind it.
            (0, 1) => {
                socket.write_all(ping).expect("sent");
                socket.write_all(rest).expect("sent");
                socket.write_all(ping).expect("sent");
            }
            (6, 1) if kinds.iter().filter(|kind| **kind == 6).count() == 2 => break,
            _ => {}
        }
    }
    assert!(kinds.contains(&1), "{kinds:?}");
    assert!(!kinds.contains(&3), "no RST_STREAM: {kinds:?}");
}

#[tokio::test]
async fn a_head_over_http2_is_answered_without_a_body() {
    let gateway = Gateway::start(&config("openai"));
    let socket = tokio::net::TcpStream::connect(&*gateway.addr).await;
    let socket = TokioIo::new(socket.expect("connected"));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), socket)
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/v1/key", 200),
        ("/v1/models", 200),
        ("/v1/models/mock/echo", 200),
        ("/nowhere", 404),
        ("/v1/chat/completions", 405),
    ] {
        let mut answers = Vec::new();
        for method in [Method::GET, Method::HEAD] {
            let request = http::Request::builder()
                .method(method)
                .uri(format!("http://{}{path}", gateway.addr))
                .header("authorization", "Bearer sk-rich")
                .body(String::new())
                .expect("a request");
            let answer = client.send_request(request).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("a body that ends well");
            assert_eq!(head.status, status, "{path}");
            answers.push((head.headers, body.to_bytes()));
        }
        let [(told, body), (head, nothing)] = &answers[..] else {
            panic!("two answers");
        };
        assert!(!body.is_empty() && nothing.is_empty(), "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.get(name), told.get(name), "{path}: {name}");
        }
    }
}
