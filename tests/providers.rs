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
    Gateway::start(&config(kind, model, addr, more))
}

fn config(kind: &str, model: &str, addr: SocketAddr, more: &str) -> String {
    format!(
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
    )
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

fn raw_predict(path: &str, body: &Value) -> (u16, &'static str, Bytes) {
    assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
    assert!(body.get("model").is_none(), "it stands in the URL");
    if path.ends_with(":rawPredict") {
        let body = json!({"id": "msg", "type": "message", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hello"}], "usage": {"input_tokens": 4, "output_tokens": 2}});
        return (200, "application/json", body.to_string().into());
    }
    let events = [
        json!({"type": "message_start", "message": {"id": "msg", "model": "claude", "usage": {"input_tokens": 4, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let event = |event: &Value| {
        let name = event["type"].as_str().expect("a name");
        format!("event: {name}\ndata: {event}\n\n")
    };
    let text: String = events.iter().map(event).collect();
    (200, "text/event-stream", text.into())
}

#[tokio::test]
async fn claude_on_vertex() {
    let (addr, seen) = upstream(raw_predict).await;
    let more = "project = \"p\"\nlocation = \"europe-west1\"\napi_keys = [\"ya29.token\"]";
    let gateway = gateway("vertex", "claude-sonnet-4-5@20250929", addr, more);
    let without_user = |stream| question(stream).replace(r#""user":"u","#, "");
    for stream in [false, true] {
        let answer = gateway.post("sk-demo", &without_user(stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("Hello") && answer.body.contains("\"total_tokens\":6"));
    }
    // Claude gives one answer at a time there, too.
    let two = without_user(false).replacen('{', r#"{"n":2,"#, 1);
    let answer = gateway.post("sk-demo", &two).await;
    assert_eq!(answer.json()["choices"][1]["message"]["content"], "Hello");
    let key = gateway.get("sk-demo", "/v1/key").await.json();
    assert_eq!(key["data"]["spent"], "0.000032");
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.len(), 4);
    let model = "/v1/projects/p/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-5%4020250929";
    assert_eq!(seen[0].0.uri.path(), format!("{model}:rawPredict"));
    assert_eq!(seen[1].0.uri.path(), format!("{model}:streamRawPredict"));
    assert_eq!(seen[0].0.headers["authorization"], "Bearer ya29.token");
}

/// A compatible server that knows tools and no functions, and gives one answer at a time.
fn tools_only(_: &str, body: &Value) -> (u16, &'static str, Bytes) {
    assert!(
        body.get("functions").is_none() && body.get("n").is_none(),
        "{body}"
    );
    let call = json!({"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let usage = json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6});
    let said = match body["tools"].is_null() {
        true => json!({"role": "assistant", "content": "Hello"}),
        false => json!({"role": "assistant", "content": null, "tool_calls": [call]}),
    };
    let reason = if body["tools"].is_null() {
        "stop"
    } else {
        "tool_calls"
    };
    if body["stream"] == true {
        let chunk = json!({"id": "i", "model": "m", "object": "chat.completion.chunk", "created": 1, "usage": usage,
            "choices": [{"index": 0, "delta": said, "finish_reason": reason}]});
        let text = format!("data: {chunk}\n\ndata: [DONE]\n\n");
        return (200, "text/event-stream", text.into());
    }
    let body = json!({"id": "i", "model": "m", "object": "chat.completion", "created": 1, "usage": usage,
        "choices": [{"index": 0, "message": said, "finish_reason": reason}]});
    (200, "application/json", body.to_string().into())
}

#[tokio::test]
async fn functions_and_n_of_vendors_that_know_neither() {
    let (addr, seen) = upstream(tools_only).await;
    let gateway = gateway("openai", "m", addr, "vendor = \"groq\"\napi_keys = [\"k\"]");
    let body = |stream: bool| {
        json!({"model": "m", "stream": stream, "functions": [{"name": "f"}], "function_call": "auto",
            "messages": [{"role": "user", "content": "Hi"},
                {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"}]})
        .to_string()
    };
    let answer = gateway.post("sk-demo", &body(false)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    let choice = &json["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(
        choice["message"]["function_call"],
        json!({"name": "f", "arguments": "{}"})
    );
    assert!(choice["message"].get("tool_calls").is_none());
    assert_eq!(answer.header("x-params-mapped"), "functions, messages");
    let answer = gateway.post("sk-demo", &body(true)).await;
    assert!(
        answer
            .body
            .contains(r#""function_call":{"arguments":"{}","name":"f"}"#),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains(r#""finish_reason":"function_call""#),
        "{}",
        answer.body
    );
    {
        let seen = seen.lock().expect("not poisoned");
        let sent = &seen[0].1;
        assert_eq!(
            sent["tools"],
            json!([{"type": "function", "function": {"name": "f"}}])
        );
        assert_eq!(
            sent["messages"][2]["tool_call_id"],
            sent["messages"][1]["tool_calls"][0]["id"]
        );
    }
    let three = question(false)
        .replacen('{', r#"{"n":3,"#, 1)
        .replace(r#""user":"u","#, "");
    let answer = gateway.post("sk-demo", &three).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["choices"][2]["message"]["content"], "Hello");
    assert_eq!(answer.json()["usage"]["total_tokens"], 18);
}

#[tokio::test]
async fn the_contract_of_a_provider() {
    let (addr, _) = upstream(chat).await;
    for (rule, status) in [("by_meaning", 200), ("refuse", 400), ("drop", 200)] {
        let more = format!("api_keys = [\"k\"]\nunsupported = \"{rule}\"");
        let gateway = gateway("cohere", "command-a", addr, &more);
        let answer = gateway.post("sk-demo", &question(false)).await;
        assert_eq!(answer.status, status, "{rule}: {}", answer.body);
        let biased = question(false).replacen('{', r#"{"logit_bias":{"1":1},"#, 1);
        let answer = gateway.post("sk-demo", &biased).await;
        let wanted = if rule == "drop" { 200 } else { 400 };
        assert_eq!(answer.status, wanted, "{rule}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_dialects_defaults_are_nobodys_mistake() {
    let (addr, seen) = upstream(converse).await;
    let model = "us.anthropic.claude-opus-4-7-v1:0";
    let config = config("bedrock", model, addr, "api_keys = [\"k\"]");
    let gateway = Gateway::start(&format!("dialect = \"onysoft\"\n{config}"));
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = gateway.post("sk-demo", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.headers.contains_key("x-params-dropped"));
    assert_eq!(
        seen.lock().expect("not poisoned")[0]
            .1
            .get("inferenceConfig"),
        None
    );
    body["temperature"] = 0.5.into();
    let answer = gateway.post("sk-demo", &body.to_string()).await;
    assert_eq!(answer.status, 400, "what was asked for is told");
}

/// A prompt that Ollama had in its cache has no count there, and costs nothing.
fn half_counted(path: &str, body: &Value) -> (u16, &'static str, Bytes) {
    if path.ends_with(":generateContent") {
        let whole = json!({"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": -1, "candidatesTokenCount": 1_000_000_000_000_u64}});
        return (200, "application/json", whole.to_string().into());
    }
    let mut end = json!({"message": {"content": "Hello"}, "done": true, "done_reason": "stop"});
    match body["messages"][0]["content"].as_str() {
        Some("cached") => end["eval_count"] = 2.into(),
        _ => end["prompt_eval_count"] = 4.into(),
    }
    let kind = match body["stream"] == false {
        true => "application/json",
        false => "application/x-ndjson",
    };
    (200, kind, format!("{end}\n").into())
}

#[tokio::test]
async fn counts_that_are_missing_are_told_as_they_are_charged() {
    let (addr, _) = upstream(half_counted).await;
    for (kind, model, text, streams, told) in [
        ("ollama", "llama3.2", "cached", true, Some((0, 2))),
        // Five bytes, of which four are a token.
        ("ollama", "llama3.2", "counted", true, Some((4, 2))),
        ("gemini", "gemini-2.5-flash", "Hi", false, None),
    ] {
        let key = if kind == "gemini" {
            "api_keys = [\"k\"]"
        } else {
            ""
        };
        let gateway = gateway(kind, model, addr, key);
        let mut spent = 0;
        for stream in [false, true] {
            if stream && !streams {
                continue;
            }
            let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}],
                "stream_options": stream.then(|| json!({"include_usage": true}))});
            let answer = gateway.post("sk-demo", &body.to_string()).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let usage = match stream {
                false => answer.json()["usage"].clone(),
                true => {
                    let events = answer.events();
                    let last: Value =
                        serde_json::from_str(&events[events.len() - 2]).expect("JSON");
                    last["usage"].clone()
                }
            };
            let count = |name: &str| usage[name].as_u64().expect("a count");
            let (input, output) = (count("prompt_tokens"), count("completion_tokens"));
            assert_eq!(count("total_tokens"), input + output);
            match told {
                Some(told) => assert_eq!((input, output), told, "{kind} {text} {stream}"),
                None => assert!(input > 0 && usage["estimated"] == true, "{usage}"),
            }
            spent += input + 2 * output;
            let key = gateway.get("sk-demo", "/v1/key").await.json();
            let charged = format!("0.{spent:06}");
            assert_eq!(key["data"]["spent"], charged, "{kind} {text} {stream}");
        }
    }
}
