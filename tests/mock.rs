//! The mock provider as its users see it: in memory under paused time, and over a socket.

use std::{panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tower::ServiceExt;
use tower_completions::mock::{self, Fault, MODELS, Script, Server, Upstream};

fn ask(model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"one two three four"}}]}}"#
    );
    Request::post("http://mock/v1/chat/completions")
        .body(Full::new(body.into()))
        .expect("a request")
}

async fn text(response: Response<mock::Body>) -> String {
    let bytes = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(bytes.to_bytes().to_vec()).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn delays_run_on_virtual_time() {
    let script = Script::echo()
        .with_delay(Duration::from_secs(5))
        .with_event_delay(Duration::from_secs(60));
    let upstream = Upstream::new().with_default(script);
    let begun = Instant::now();
    let response = upstream.oneshot(ask("m", true)).await.expect("an answer");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(text(response).await.ends_with("data: [DONE]\n\n"));
    // Role, four words, finish and `[DONE]`: six waits.
    assert_eq!(begun.elapsed().as_secs(), 5 + 6 * 60);
}

#[tokio::test(start_paused = true)]
async fn queued_scripts_come_before_the_models_own() {
    let upstream = Upstream::new()
        .with_model("m", Script::text("mine"))
        .with_fn(|seen| (seen.json("/model")? == "\"x\"").then(|| Script::text("chosen")));
    upstream.queue(Script::overloaded());
    let mut statuses = Vec::new();
    for model in ["m", "m", "x", "mock/error"] {
        let response = upstream.clone().oneshot(ask(model, false)).await;
        statuses.push(response.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [503, 200, 200, 500]);
    let last = upstream.log().last().expect("a request");
    assert_eq!(last.json("/messages/0/role").as_deref(), Some("\"user\""));
    assert!(!format!("{last:?}").contains("one two"));
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_finished_from_cancelled() {
    let upstream = Upstream::new();
    let response = upstream.clone().oneshot(ask("m", true)).await.expect("ok");
    assert_eq!(upstream.log().counts().open, 1);
    text(response).await;
    assert_eq!(upstream.log().counts().finished, 1);

    let response = upstream.clone().oneshot(ask("m", true)).await.expect("ok");
    let mut body = response.into_body();
    body.frame().await.expect("an event").expect("no error");
    drop(body);
    assert_eq!(upstream.log().counts().cancelled, 1);

    let waiting = upstream.clone().oneshot(ask("mock/silent", true));
    let gave_up = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    assert!(gave_up.is_err());
    let counts = upstream.log().counts();
    assert_eq!((counts.calls, counts.open, counts.cancelled), (3, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn every_model_does_what_it_says_and_none_hangs_a_patient_reader() {
    for model in MODELS {
        for stream in [false, true] {
            let upstream = Upstream::new();
            let patience = Duration::from_secs(3600);
            let read = async {
                let Ok(response) = upstream.clone().oneshot(ask(model.id, stream)).await else {
                    return "reset";
                };
                let ok = response.status() == StatusCode::OK;
                let mut body = response.into_body();
                let mut bytes = 0;
                while let Some(frame) = body.frame().await {
                    match frame {
                        Ok(frame) => bytes += frame.into_data().expect("data").len(),
                        Err(_) => return "cut",
                    }
                    if bytes > 8 << 20 {
                        return "endless";
                    }
                }
                if ok { "whole" } else { "refused" }
            };
            let read = AssertUnwindSafe(read).catch_unwind();
            let ended = match tokio::time::timeout(patience, read).await {
                Ok(read) => read.unwrap_or("panic"),
                Err(_) => "stalled",
            };
            let expected = match model.id.trim_start_matches("mock/") {
                "reset" => "reset",
                "panic" => "panic",
                "cut" => "cut",
                "silent" | "stall" | "only-comments" => "stalled",
                "endless" | "infinite-line" | "gzip-bomb" => "endless",
                "rate-limited" | "hostile-retry" | "overloaded" | "error" | "unauthorized"
                | "out-of-quota" | "gone" | "too-long" => "refused",
                _ => "whole",
            };
            assert_eq!(ended, expected, "{} {stream}", model.id);
        }
    }
}

#[tokio::test]
async fn a_server_says_over_a_socket_what_the_service_says() {
    let server = Server::start(Upstream::new()).await.expect("a port");
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let url = format!("{}/chat/completions", server.base_url());
    for stream in [false, true] {
        let mut request = ask("m", stream);
        *request.uri_mut() = url.parse().expect("a URI");
        let answer = client.request(request).await.expect("an answer");
        let over_socket = answer
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let in_memory = Upstream::new();
        if stream {
            text(
                in_memory
                    .clone()
                    .oneshot(ask("m", false))
                    .await
                    .expect("ok"),
            )
            .await;
        }
        let expected = text(in_memory.oneshot(ask("m", stream)).await.expect("ok")).await;
        assert_eq!(over_socket, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_socket_is_seen_as_cancelled() {
    let server = Server::start(Upstream::new()).await.expect("a port");
    let mut socket = TcpStream::connect(server.addr()).await.expect("connected");
    let body =
        r#"{"model":"mock/stall","stream":true,"messages":[{"role":"user","content":"a b c d"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    socket.read_u8().await.expect("an answer begins");
    drop(socket);
    let log = server.upstream().log();
    assert_eq!(log.until(|counts| counts.open == 0).await.cancelled, 1);
}

#[tokio::test]
async fn a_broken_connection_is_a_reset_on_the_wire() {
    let server = Server::start(Upstream::new()).await.expect("a port");
    for model in ["mock/reset", "mock/cut"] {
        let stream = TcpStream::connect(server.addr()).await.expect("connected");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("a connection");
        let driven = tokio::spawn(connection);
        let mut request = ask(model, true);
        *request.uri_mut() = "/v1/chat/completions".parse().expect("a path");
        let read = match sender.send_request(request).await {
            Ok(response) => response.into_body().collect().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(read.is_err(), "{model}");
        drop(driven);
    }
    let refused = mock::refused().expect("a free port");
    assert!(TcpStream::connect(refused).await.is_err());
}

#[tokio::test]
async fn stopping_waits_for_what_is_open() {
    let slow = Script::echo().with_fault(2, Fault::Stall);
    let server = Server::start(Upstream::new().with_default(slow))
        .await
        .expect("a port");
    let log = server.upstream().log().clone();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = ask("m", true);
    *request.uri_mut() = format!("{}/chat/completions", server.base_url())
        .parse()
        .expect("a URI");
    let answer = client.request(request).await.expect("an answer");
    let stopping = tokio::spawn(server.stop());
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    drop(answer);
    stopping.await.expect("stopped");
    assert_eq!(log.counts().cancelled, 1);
}
