//! Answers in another shape than was asked for, through the example gateway: streams where one
//! answer was to come, arrays where events were.

mod support;

use std::net::SocketAddr;

use axum::{body::Body, response::IntoResponse};
use http::{Request, header};
use serde_json::{Value, json};
use support::Gateway;

/// An upstream that gives one answer to everything.
async fn upstream(kind: &'static str, text: String) -> SocketAddr {
    let handler = move |_: Request<Body>| {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, kind)], text).into_response() }
    };
    let app = axum::Router::new().fallback(handler);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// A gateway before these upstreams, the first of them first.
fn gateway(kind: &str, upstreams: &[SocketAddr]) -> Gateway {
    let mut config = String::new();
    let mut targets = Vec::new();
    for (n, addr) in upstreams.iter().enumerate() {
        config.push_str(&format!(
            "[[providers]]\nname = \"p{n}\"\nkind = \"{kind}\"\nbase_url = \"http://{addr}\"\napi_keys = [\"k\"]\n\n"
        ));
        targets.push(format!(
            "{{ provider = \"p{n}\", model = \"u\", priority = {n} }}"
        ));
    }
    Gateway::start(&format!(
        "{config}[[models]]\nid = \"m\"\ntargets = [{}]\nprice = {{ input = \"1\", output = \"2\" }}\n\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n\n[routing]\nattempts = 2\n",
        targets.join(", ")
    ))
}

fn question(stream: bool) -> String {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]})
        .to_string()
}

fn chunk(delta: &Value, reason: Option<&str>) -> String {
    let usage = reason.map(|_| json!({"prompt_tokens": 4, "completion_tokens": 2}));
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": usage});
    format!("data: {chunk}\n\n")
}

const EVENTS: &str = "text/event-stream";
const LIMITED: &str =
    "data: {\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}\n\n";

fn hello() -> String {
    let content = json!({"role": "assistant", "content": "Hello"});
    chunk(&content, None) + &chunk(&json!({}), Some("stop")) + "data: [DONE]\n\n"
}

#[tokio::test]
async fn a_stream_that_nobody_asked_for_is_folded() {
    let openai = upstream(EVENTS, hello()).await;
    let events = [
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 4, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let named = events.iter().map(|event| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().expect("named")
        )
    });
    let anthropic = upstream(EVENTS, named.collect()).await;
    for (kind, addr) in [("openai", openai), ("anthropic", anthropic)] {
        let answer = gateway(kind, &[addr])
            .post("sk-demo", &question(false))
            .await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!(body["object"], "chat.completion", "{kind}");
        assert_eq!(body["choices"][0]["message"]["content"], "Hello", "{kind}");
        assert_eq!(answer.header("x-completion-cost"), "0.000008", "{kind}");
    }
}

#[tokio::test]
async fn an_error_in_it_keeps_its_class_and_is_tried_elsewhere_before_content() {
    let begun = chunk(&json!({"role": "assistant", "content": "He"}), None);
    let early = upstream(EVENTS, LIMITED.to_owned()).await;
    let late = upstream(EVENTS, begun + LIMITED).await;
    let good = upstream(EVENTS, hello()).await;
    for alone in [early, late] {
        let answer = gateway("openai", &[alone])
            .post("sk-demo", &question(false))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (429, "upstream_rate_limited"),
            "{}",
            answer.body
        );
    }
    let answer = gateway("openai", &[early, good])
        .post("sk-demo", &question(false))
        .await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello");
    assert_eq!(answer.header("x-attempts"), "2");
}

#[tokio::test]
async fn a_stream_that_fails_at_once_is_tried_elsewhere_or_told_as_what_it_is() {
    let role = chunk(&json!({"role": "assistant", "content": ""}), None);
    let good = upstream(EVENTS, hello()).await;
    for (text, status, code, again) in [
        (
            role.clone() + &chunk(&json!({}), Some("error")),
            502,
            "bad_upstream_response",
            true,
        ),
        (
            "data: {\"object\":\"error\",\"message\":\"slow\",\"type\":\"rate_limited\",\"code\":\"1300\"}\n\n".to_owned(),
            429,
            "upstream_rate_limited",
            true,
        ),
        (
            "data: {\"detail\":\"This model's maximum context length is 5 tokens\"}\n\n".to_owned(),
            400,
            "context_length_exceeded",
            false,
        ),
        (
            "data: [{\"error\":{\"code\":400,\"message\":\"bad\"}}]\n\n".to_owned(),
            400,
            "",
            false,
        ),
    ] {
        let addr = upstream(EVENTS, text.clone()).await;
        let answer = gateway("openai", &[addr]).post("sk-demo", &question(true)).await;
        let told = answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status.as_u16(), told.as_str()), (status, code), "{text}");
        let answer = gateway("openai", &[addr, good]).post("sk-demo", &question(true)).await;
        assert_eq!(answer.status == 200, again, "{text}: {}", answer.body);
    }
}

#[tokio::test]
async fn geminis_array_is_read_whatever_it_is_called() {
    let part = |text: &str, reason: Option<&str>| {
        json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason, "index": 0}],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}})
    };
    let array = json!([part("Hel", None), part("lo", Some("STOP"))]).to_string();
    for kind in ["application/json; charset=UTF-8", EVENTS] {
        let addr = upstream(kind, format!(" {array}")).await;
        let answer = gateway("gemini", &[addr])
            .post("sk-demo", &question(true))
            .await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        let events = answer.events();
        let text: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter_map(|chunk| {
                chunk["choices"][0]["delta"]["content"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(
            (text.as_str(), events.last().map(String::as_str)),
            ("Hello", Some("[DONE]"))
        );
    }
    for error in [
        json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}}]),
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}}),
    ] {
        let addr = upstream("application/json", error.to_string()).await;
        let answer = gateway("gemini", &[addr])
            .post("sk-demo", &question(true))
            .await;
        assert_eq!(answer.status, 429, "{error}: {}", answer.body);
    }
}
