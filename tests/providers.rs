//! The example gateway in front of fakes of providers' own APIs, each on a port of its own.

mod support;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{body::Body, extract::State, response::IntoResponse};
use bytes::{Bytes, BytesMut};
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::Gateway;
use tower_completions::sse::aws::{Kind, write_message};

type Seen = Arc<Mutex<Vec<(http::request::Parts, Value)>>>;

/// An upstream that answers `answer(path, body)` and keeps what it was sent.
async fn upstream(answer: fn(&str, &Value) -> (u16, &'static str, Bytes)) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let handler = move |State(seen): State<Seen>, request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let (status, kind, text) = answer(head.uri.path(), &body);
        seen.lock().expect("not poisoned").push((head, body));
        let status = http::StatusCode::from_u16(status).expect("a status");
        (status, [(header::CONTENT_TYPE, kind)], text).into_response()
    };
    let app = axum::Router::new()
        .fallback(handler)
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (addr, seen)
}

fn gateway(kind: &str, model: &str, addr: SocketAddr, more: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
[[providers]]
name = "fake"
kind = "{kind}"
base_url = "http://{addr}"
{more}

[[models]]
id = "m"
targets = [{{ provider = "fake", model = "{model}" }}]
price = {{ input = "1", output = "2" }}

[[keys]]
name = "demo"
secret = "sk-demo"
balance = "5.00"
"#
    ))
}

fn question(stream: bool) -> String {
    json!({"model": "m", "stream": stream, "stream_options": stream.then(|| json!({"include_usage": true})),
        "user": "u", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})
    .to_string()
}

/// Asks for both forms of an answer that says "Hello" in 4 and 2 tokens.
async fn check(gateway: &Gateway) {
    let answer = gateway.post("sk-demo", &question(false)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["model"], "m");
    assert_eq!(body["choices"][0]["message"]["content"], "Hello");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["total_tokens"], 6);
    assert!(body["id"].as_str().is_some_and(|id| !id.is_empty()));
    // 4 at 1 USD and 2 at 2 USD per million.
    assert_eq!(answer.header("x-completion-cost"), "0.000008");
    assert_eq!(answer.header("x-params-dropped"), "user");

    let answer = gateway.post("sk-demo", &question(true)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-params-dropped"), "user");
    let events = answer.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "Hello");
    let last = chunks.last().expect("some");
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(6))
    );

    let key = gateway.get("sk-demo", "/v1/key").await.json();
    assert_eq!(key["data"]["spent"], "0.000016");
    assert_eq!(
        key["data"]["held"]
            .as_str()
            .map(|it| it.trim_matches(['0', '.'])),
        Some("")
    );
}

fn converse(path: &str, _: &Value) -> (u16, &'static str, Bytes) {
    if path.ends_with("/converse") {
        let body = json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
            "stopReason": "end_turn", "usage": {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6}});
        return (200, "application/json", body.to_string().into());
    }
    let mut out = BytesMut::new();
    for (name, payload) in [
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "lo"}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 4, "outputTokens": 2}}),
        ),
    ] {
        write_message(&mut out, Kind::Event, name, payload.to_string().as_bytes());
    }
    (200, "application/vnd.amazon.eventstream", out.freeze())
}

#[tokio::test]
async fn bedrock_signed_and_by_bearer() {
    let (addr, seen) = upstream(converse).await;
    let model = "anthropic.claude-sonnet-4-5-v1:0";
    let keys = "region = \"eu-west-1\"\naccess_key_id = \"AKIDEXAMPLE\"\nsecret_access_key = \"hush\"\nsession_token = \"tok\"";
    check(&gateway("bedrock", model, addr, keys)).await;
    check(&gateway(
        "bedrock",
        model,
        addr,
        "api_keys = [\"bedrock-key\"]",
    ))
    .await;
    let seen = seen.lock().expect("not poisoned");
    let header = |nth: usize, name: &str| seen[nth].0.headers[name].to_str().expect("text");
    assert_eq!(
        seen[0].0.uri.path(),
        "/model/anthropic.claude-sonnet-4-5-v1%3A0/converse"
    );
    assert_eq!(
        seen[1].0.uri.path(),
        "/model/anthropic.claude-sonnet-4-5-v1%3A0/converse-stream"
    );
    assert!(header(0, "authorization").contains("AKIDEXAMPLE/"));
    assert!(header(0, "authorization").contains("/eu-west-1/bedrock/aws4_request"));
    assert_eq!(header(0, "x-amz-security-token"), "tok");
    assert_eq!(header(2, "authorization"), "Bearer bedrock-key");
    assert_eq!(seen[0].1["system"], json!([{"text": "Be brief."}]));
}

fn chat(_: &str, body: &Value) -> (u16, &'static str, Bytes) {
    if body["stream"] == false {
        let body = json!({"id": "c", "finish_reason": "COMPLETE", "message": {"content": [{"type": "text", "text": "Hello"}]},
            "usage": {"billed_units": {"input_tokens": 4, "output_tokens": 2}, "tokens": {"input_tokens": 99, "output_tokens": 2}}});
        return (200, "application/json", body.to_string().into());
    }
    let text = [
        json!({"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}}),
        json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}}),
        json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 4, "output_tokens": 2}}}}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a name")))
    .collect::<String>();
    (200, "text/event-stream", (text + "data: [DONE]\n\n").into())
}

#[tokio::test]
async fn cohere() {
    let (addr, seen) = upstream(chat).await;
    check(&gateway(
        "cohere",
        "command-a",
        addr,
        "api_keys = [\"co-key\"]",
    ))
    .await;
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen[0].0.uri.path(), "/v2/chat");
    assert_eq!(seen[0].0.headers["authorization"], "Bearer co-key");
    assert_eq!(seen[0].1["model"], "command-a");
}

fn local(_: &str, body: &Value) -> (u16, &'static str, Bytes) {
    let end = json!({"message": {"role": "assistant", "content": "lo"}, "done": true, "done_reason": "stop",
        "prompt_eval_count": 4, "eval_count": 2});
    if body["stream"] == false {
        let mut whole = end;
        whole["message"]["content"] = "Hello".into();
        return (200, "application/json", whole.to_string().into());
    }
    let start = json!({"message": {"role": "assistant", "content": "Hel"}, "done": false});
    (
        200,
        "application/x-ndjson",
        format!("{start}\n{end}\n").into(),
    )
}

#[tokio::test]
async fn ollama() {
    let (addr, seen) = upstream(local).await;
    check(&gateway("ollama", "llama3.2", addr, "")).await;
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen[0].0.uri.path(), "/api/chat");
    assert!(
        !seen[0].0.headers.contains_key("authorization"),
        "no key, no header"
    );
}

#[tokio::test]
async fn several_answers_from_one_at_a_time() {
    let (addr, seen) = upstream(chat).await;
    let gateway = gateway("cohere", "command-a", addr, "api_keys = [\"co-key\"]");
    let three = question(false).replacen('{', r#"{"n":3,"#, 1);
    let answer = gateway.post("sk-demo", &three).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    for nth in 0..3 {
        assert_eq!(body["choices"][nth]["index"], nth);
        assert_eq!(body["choices"][nth]["message"]["content"], "Hello");
    }
    assert_eq!(body["usage"]["total_tokens"], 18);
    assert_eq!(
        answer.header("x-completion-cost"),
        "0.000024",
        "one charge for all"
    );

    let three = question(true).replacen('{', r#"{"n":3,"#, 1);
    let answer = gateway.post("sk-demo", &three).await;
    let events = answer.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let mut indexes = std::collections::BTreeSet::new();
    for data in &events[..events.len() - 1] {
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        indexes.extend(chunk["choices"][0]["index"].as_u64());
    }
    assert_eq!(indexes.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    let last: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert_eq!(last["usage"]["total_tokens"], 18);
    assert_eq!(seen.lock().expect("not poisoned").len(), 6);
    let key = gateway.get("sk-demo", "/v1/key").await.json();
    assert_eq!(key["data"]["spent"], "0.000048");
}

fn refusing(path: &str, _: &Value) -> (u16, &'static str, Bytes) {
    match path {
        "/api/chat" => (
            404,
            "application/json",
            r#"{"error":"model \"m\" not found"}"#.into(),
        ),
        "/v2/chat" => (429, "application/json", r#"{"message":"slow down"}"#.into()),
        _ => (
            400,
            "application/json",
            r#"{"message":"Input is too long for requested model."}"#.into(),
        ),
    }
}

#[tokio::test]
async fn refusals_by_class() {
    let (addr, _) = upstream(refusing).await;
    for (kind, status, code) in [
        ("ollama", 502, "upstream_model_not_found"),
        ("cohere", 429, "upstream_rate_limited"),
        ("bedrock", 400, "context_length_exceeded"),
    ] {
        let gateway = gateway(kind, "m", addr, "api_keys = [\"k\"]");
        let answer = gateway.post("sk-demo", &question(true)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{kind}"
        );
    }
}
