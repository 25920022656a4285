//! The Messages API through the provider service: what goes up, what comes back.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_completions::{
    body::{BoxError, Full},
    dialect::Dialect,
    error::Class,
    meter::Tally,
    parse::ParseLayer,
    provider::{ParallelLayer, Provider, anthropic::Anthropic},
    reframe::ReframeLayer,
};

type Sent = Arc<Mutex<Option<Request<Bytes>>>>;

/// Asks through a provider whose upstream answers this; gives back the head, the text and what the
/// upstream was sent.
async fn ask(
    body: Value,
    answer: (u16, &'static str, String),
) -> (http::response::Parts, String, Request<Bytes>) {
    let sent = Sent::default();
    let kept = Arc::clone(&sent);
    let (status, kind, text) = answer;
    let upstream = tower::service_fn(move |request: Request<Full>| {
        let (kept, text) = (Arc::clone(&kept), text.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("whole").to_bytes();
            *kept.lock().expect("not poisoned") = Some(Request::from_parts(head, body));
            let mut response = Response::new(Full::new(text));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            let kind = kind.parse().expect("a header");
            response.headers_mut().insert("content-type", kind);
            Ok::<_, Infallible>(response)
        }
    });
    let translate = Anthropic::new("https://upstream/").expect("a URL");
    let provider = Provider::new("claude-sonnet-4-5", upstream, translate).with_keys(["sk-ant"]);
    let request = Request::post("/")
        .header("authorization", "Bearer sk-client")
        .body(Full::new(body.to_string()))
        .expect("a request");
    let response = ParseLayer::new().layer(provider).oneshot(request).await;
    let (head, body) = response.expect("infallible").into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    let text = String::from_utf8(text.to_vec()).expect("UTF-8");
    let sent = sent.lock().expect("not poisoned").take().expect("was sent");
    (head, text, sent)
}

fn question(stream: bool) -> Value {
    json!({"model": "claude-sonnet-4-5", "stream": stream, "temperature": 1.5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})
}

#[tokio::test]
async fn a_whole_answer() {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude-sonnet-4-5", "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 4, "cache_read_input_tokens": 8, "output_tokens": 2}});
    let (head, text, sent) = ask(
        question(false),
        (200, "application/json", message.to_string()),
    )
    .await;

    assert_eq!(sent.uri(), "https://upstream/v1/messages");
    assert_eq!(sent.headers()["x-api-key"], "sk-ant");
    assert_eq!(sent.headers()["anthropic-version"], "2023-06-01");
    assert!(!sent.headers().contains_key("authorization"));
    let body: Value = serde_json::from_slice(sent.body()).expect("JSON");
    assert_eq!(body["system"][0]["text"], "Be brief.");
    assert_eq!(body["messages"].as_array().map(Vec::len), Some(1));
    assert!(body["max_tokens"].is_u64());
    assert!(body.get("temperature").is_none(), "1 is the default");

    assert_eq!(head.status, 200);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["object"], "chat.completion");
    assert!(answer["created"].as_u64().is_some_and(|at| at > 0));
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["prompt_tokens"], 12);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
    let usage = head.extensions.get::<Tally>().and_then(Tally::usage);
    assert_eq!(usage.map(|it| (it.input, it.cached_input)), Some((12, 8)));
}

fn events() -> String {
    [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5",
            "content": [], "usage": {"input_tokens": 4, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a name")))
    .collect()
}

#[tokio::test]
async fn a_stream() {
    let (head, text, sent) = ask(question(true), (200, "text/event-stream", events())).await;
    let body: Value = serde_json::from_slice(sent.body()).expect("JSON");
    assert_eq!(body["stream"], true);

    let mut data: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    let [role, content, finish, usage] = &chunks[..] else {
        panic!("{text}")
    };
    assert_eq!(role["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(content["choices"][0]["delta"]["content"], "Hello");
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 6);
    for chunk in &chunks {
        assert_eq!(
            (&chunk["id"], &chunk["object"]),
            (&json!("msg_1"), &json!("chat.completion.chunk"))
        );
        assert_eq!(chunk["created"], role["created"]);
    }
    let usage = head.extensions.get::<Tally>().and_then(Tally::usage);
    assert_eq!(usage.map(|it| (it.input, it.output)), Some((4, 2)));
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error() {
    let whole = events();
    let cut = whole.rfind("event: message_stop").expect("there");
    let cut = whole[..cut].to_owned();
    let (_, text, _) = ask(question(true), (200, "text/event-stream", cut)).await;
    assert!(
        text.contains("\"error\"") && !text.contains("[DONE]"),
        "{text}"
    );
}

#[tokio::test]
async fn an_overloaded_upstream_is_told_by_class() {
    let body = json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}});
    let (head, _, _) = ask(question(false), (529, "application/json", body.to_string())).await;
    assert_eq!(head.status, 503);
    let error = head.extensions.get::<tower_completions::Error>();
    assert_eq!(error.and_then(|it| it.class()), Some(Class::Overload));
}

#[tokio::test]
async fn our_key_is_cut_out_of_what_the_upstream_quotes() {
    let message = "prompt is bad: header was sk-ant, really \"sk-ant\"";
    let body =
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
    let (head, text, _) = ask(question(false), (400, "application/json", body.to_string())).await;
    assert_eq!(head.status, 400);
    let error = head
        .extensions
        .get::<tower_completions::Error>()
        .expect("kept");
    let source = std::error::Error::source(error).expect("kept").to_string();
    assert!(text.contains("prompt is bad") && source.contains("prompt is bad"));
    assert!(
        !text.contains("sk-ant") && !source.contains("sk-ant"),
        "{text} {source}"
    );
}

/// One that thinks for long without showing it, pings meanwhile, and uses a tool of the provider's own.
#[tokio::test(start_paused = true)]
async fn whoever_thinks_without_a_word_is_not_silent() {
    let whole = events();
    let (first, rest) = whole.split_at(whole.find("event: content_block_start").expect("there"));
    let thought = |delta: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":9,\"delta\":{delta}}}\n\n"
        )
    };
    let pieces = [
        first.to_owned(),
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":9,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}}}\n\n".to_owned(),
        thought(r#"{"type":"input_json_delta","partial_json":"{\"query\""}"#),
        "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned(),
        thought(r#"{"type":"thinking_delta","thinking":""}"#),
        rest.to_owned(),
    ];
    for (pings, answers, whole, took) in [
        (true, 1, true, 75),
        (true, 2, true, 75),
        (false, 1, false, 20),
    ] {
        let kept = pieces.clone();
        let upstream = tower::service_fn(move |_: Request<Full>| {
            let mut left = kept.clone().to_vec();
            if !pings {
                // Comments are no events.
                left[1..5].fill(": ping\n\n".to_owned());
            }
            let body = futures_util::stream::unfold(
                (true, left.into_iter()),
                |(first, mut left)| async move {
                    let piece = left.next()?;
                    if !first {
                        tokio::time::sleep(Duration::from_secs(15)).await;
                    }
                    let frame = Ok::<_, BoxError>(Frame::data(Bytes::from(piece)));
                    Some((frame, (false, left)))
                },
            );
            let mut response = Response::new(StreamBody::new(Box::pin(body)));
            let kind = "text/event-stream".parse().expect("a header");
            response.headers_mut().insert("content-type", kind);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let translate = Anthropic::new("https://upstream/").expect("a URL");
        let provider = Provider::new("a", upstream, translate).with_keys(["sk-ant"]);
        let reframe = ReframeLayer::new(Dialect::openai()).idle_timeout(Duration::from_secs(20));
        let service = reframe.layer(ParallelLayer::new().layer(provider));
        let mut body = question(true);
        body["n"] = answers.into();
        let request = Request::post("/")
            .body(Full::new(body.to_string()))
            .expect("a request");
        let start = tokio::time::Instant::now();
        let response = service.oneshot(request).await.expect("infallible");
        let text = response
            .into_body()
            .collect()
            .await
            .expect("never fails")
            .to_bytes();
        let text = String::from_utf8(text.to_vec()).expect("UTF-8");
        assert_eq!(text.contains("[DONE]"), whole, "{text}");
        assert_eq!(text.contains("upstream_timeout"), !whole, "{text}");
        assert_eq!(start.elapsed().as_secs(), took);
        // Nothing but chunks and the comments that keep the connection alive.
        let chunks = text
            .lines()
            .all(|line| line.is_empty() || line == ": keep-alive" || line.starts_with("data: "));
        assert!(chunks && !text.contains("ping"), "{text}");
    }
}

#[tokio::test]
async fn a_custom_tool_is_called_as_one_and_its_call_sent_back() {
    let tools = json!([{"type": "custom", "custom": {"name": "code", "description": "runs it"}},
        {"type": "function", "function": {"name": "f"}}]);
    let mut body = question(false);
    body["tools"] = tools.clone();
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c",
        "content": [{"type": "tool_use", "id": "a", "name": "code", "input": {"input": "print(\"h\u{e9}\")\n"}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {"input": "x"}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 4, "output_tokens": 2}});
    let (_, text, sent) = ask(body.clone(), (200, "application/json", message.to_string())).await;
    let sent: Value = serde_json::from_slice(sent.body()).expect("JSON");
    assert_eq!(
        sent["tools"][0]["input_schema"]["required"],
        json!(["input"])
    );
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let calls = json!([
        {"id": "a", "type": "custom", "custom": {"name": "code", "input": "print(\"h\u{e9}\")\n"}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"input\":\"x\"}"}},
    ]);
    assert_eq!(answer["choices"][0]["message"]["tool_calls"], calls);
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");

    // What the client was told comes back.
    let said = body["messages"].as_array_mut().expect("some");
    said.push(answer["choices"][0]["message"].clone());
    said.push(json!({"role": "tool", "tool_call_id": "a", "content": "h\u{e9}"}));
    said.push(json!({"role": "tool", "tool_call_id": "b", "content": "y"}));
    body["stream"] = true.into();
    let events: String = [
        json!({"type": "message_start", "message": {"id": "msg_2", "model": "c", "usage": {"input_tokens": 4, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "code", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"inp"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "ut\": \"a\\"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "nb\"}"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| format!("data: {event}\n\n"))
    .collect();
    let (_, text, sent) = ask(body, (200, "text/event-stream", events)).await;
    let sent: Value = serde_json::from_slice(sent.body()).expect("JSON");
    assert_eq!(sent["messages"][1]["content"], message["content"]);
    let folded = tower_completions::reframe::fold(text.as_bytes()).expect("whole");
    let folded: Value = serde_json::from_slice(&folded).expect("JSON");
    assert_eq!(
        folded["choices"][0]["message"]["tool_calls"],
        json!([{"id": "c", "type": "custom", "custom": {"name": "code", "input": "a\nb"}}])
    );
}
