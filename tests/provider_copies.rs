//! A text is copied at most once on its way: from the request into the provider's body, from the
//! provider's answer into ours, from an event into a chunk.

use std::{
    future::Future as _,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use serde_json::{Value, json};
use tower::{Layer as _, Service as _};
use tower_completions::{
    Target,
    body::Full,
    messages::{MessagesLayer, RequestBody},
    parse::{Chat, ChatBody},
    provider::{
        Asked, Contract, Notes, Provider, Translate, TranslateStream, Unsupported,
        anthropic::Anthropic,
        azure::{Api, Azure},
        bedrock::Bedrock,
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        openai::{OpenAi, Vendor},
        vertex::Vertex,
    },
};

/// Long, and with what must be escaped.
fn long() -> String {
    "A line of a story, \"quoted\", with an \u{e9} and a \u{1f600}.\n".repeat(5_000)
}

/// All that does not grow with the text.
const ELSE: u64 = 16 << 10;

/// Each provider and a model of it.
macro_rules! providers {
    ($check:ident) => {
        let url = "http://host";
        $check(
            "anthropic",
            &Anthropic::new(url).expect("a URL"),
            "claude-sonnet-4-5",
        );
        $check(
            "gemini",
            &Gemini::new(url).expect("a URL"),
            "gemini-2.5-pro",
        );
        $check(
            "vertex",
            &Vertex::at(url, "p", "l").expect("a URL"),
            "gemini-2.5-pro",
        );
        $check(
            "claude on vertex",
            &Vertex::at(url, "p", "l").expect("a URL"),
            "claude-sonnet-4-5",
        );
        $check(
            "bedrock",
            &Bedrock::new(url).expect("a URL"),
            "anthropic.claude-sonnet-4-5-v1:0",
        );
        $check(
            "cohere",
            &Cohere::new(url).expect("a URL"),
            "command-a-03-2025",
        );
        $check("ollama", &Ollama::new(url).expect("a URL"), "llama3.2");
    };
}

/// Conversations with one long text: of each role, in a part, and beside other parts.
fn conversations() -> Vec<(&'static str, Value)> {
    let long = long();
    let text = json!({"type": "text", "text": long});
    let short = json!({"type": "text", "text": "Hi."});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let called = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let asks = json!({"role": "user", "content": "Hi"});
    vec![
        ("user", json!([{"role": "user", "content": long}])),
        ("part", json!([{"role": "user", "content": [text]}])),
        ("parts", json!([{"role": "user", "content": [short, text]}])),
        ("system", json!([{"role": "system", "content": long}, asks])),
        (
            "system in parts",
            json!([{"role": "system", "content": [text, short]}, asks]),
        ),
        (
            "assistant",
            json!([asks, {"role": "assistant", "content": long}, asks]),
        ),
        (
            "assistant in parts",
            json!([asks, {"role": "assistant", "content": [short, text]}, asks]),
        ),
        (
            "tool",
            json!([asks, called, {"role": "tool", "tool_call_id": "c", "content": long}]),
        ),
        (
            "tool in parts",
            json!([asks, called, {"role": "tool", "tool_call_id": "c", "content": [text, short]}]),
        ),
    ]
}

#[test]
fn from_the_request_into_the_body() {
    fn check<T: Translate>(name: &str, translate: &T, model: &str) {
        for (place, messages) in conversations() {
            let body = json!({"model": "m", "max_tokens": 100, "messages": messages,
                "tools": [{"type": "function", "function": {"name": "f"}}]})
            .to_string();
            let size = body.len() as u64;
            let chat = Chat::parse(Bytes::from(body)).expect("a request");
            let target = Target::new("p", model);
            let mut sent = None;
            let info = measure(|| {
                sent = Some(translate.request(&chat, &target, &mut Notes::default()));
            });
            sent.expect("asked").expect("translated");
            assert!(
                info.bytes_total <= size + ELSE,
                "{name}, {place}: {} bytes for {size}",
                info.bytes_total
            );
        }
    }
    providers!(check);
    check(
        "openai",
        &OpenAi::new("http://host").expect("a URL"),
        "other",
    );
    let azure = Azure::new("http://host", Api::V1, None).expect("a URL");
    check("azure", &azure, "other");
}

/// Members that were set, added and removed on the way are translated without writing the body anew.
#[test]
fn from_a_request_with_changes_into_the_body() {
    fn check<T: Translate>(name: &str, translate: &T, model: &str) {
        let body = json!({"temperature": 0.5, "model": "m", "n": 1, "mine": 1,
            "messages": [{"role": "user", "content": long()}]});
        let body = body.to_string();
        let size = body.len() as u64;
        let mut chat = Chat::parse(Bytes::from(body)).expect("a request");
        chat.set("temperature", "0.25");
        chat.set("max_tokens", "77");
        chat.set("us", "2");
        chat.remove("mine");
        let target = Target::new("p", model);
        let mut notes = Notes::default();
        let mut sent = None;
        let info = measure(|| sent = Some(translate.request(&chat, &target, &mut notes)));
        assert!(
            info.bytes_total <= size + ELSE,
            "{name}: {} bytes for {size}",
            info.bytes_total
        );
        let sent = sent.expect("asked").expect("translated").into_body();
        let sent: Value = serde_json::from_slice(sent.remaining()).expect("JSON");
        let sent = sent.to_string();
        assert!(sent.contains("0.25") && sent.contains("77"), "{name}");
        assert_eq!(notes.dropped(), ["us"], "{name}");
    }
    providers!(check);
}

/// From the Messages API into ours and back.
#[test]
fn from_messages_and_back() {
    let text = json!({"type": "text", "text": long()});
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD".repeat(50_000)}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [text]});
    for content in [
        json!(long()),
        json!([text]),
        json!([image]),
        json!([result]),
    ] {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
        let body = Bytes::from(body.to_string());
        let size = body.len() as u64;
        let layer = MessagesLayer::new();
        let mut service = layer.layer(tower::service_fn(
            async |request: http::Request<RequestBody<Full>>| {
                let mut body = std::pin::pin!(request.into_body());
                let mut whole = Bytes::new();
                while let Some(frame) =
                    std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await
                {
                    let data = frame.expect("readable").into_data().expect("data");
                    if !data.is_empty() {
                        whole = data;
                    }
                }
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(whole)))
            },
        ));
        let request = http::Request::new(Full::new(body));
        let mut call = std::pin::pin!(service.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        // What comes back is no completion, which is told in few words.
        let info = measure(|| assert!(call.as_mut().poll(&mut cx).is_ready()));
        assert!(
            info.bytes_total <= size + ELSE,
            "{} bytes for {size}",
            info.bytes_total
        );
    }
    let message = json!({"role": "assistant", "content": long()});
    let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let delta = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": message}]});
    for (kind, body) in [
        ("application/json", body.to_string()),
        ("text/event-stream", format!("data: {delta}\n\n")),
    ] {
        let size = body.len() as u64;
        let answer = http::Response::builder().header("content-type", kind);
        let mut answer = answer.body(Full::new(body)).ok();
        let mut service = MessagesLayer::new().layer(tower::service_fn(move |_| {
            let answer = answer.take().expect("asked once");
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        }));
        let mut call = std::pin::pin!(service.call(http::Request::new(Full::default())));
        let mut cx = Context::from_waker(Waker::noop());
        let mut written = 0;
        let info = measure(|| {
            let Poll::Ready(Ok(answer)) = call.as_mut().poll(&mut cx) else {
                panic!("an answer at once")
            };
            let mut body = std::pin::pin!(answer.into_body());
            let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) else {
                panic!("a body at once")
            };
            written = frame.into_data().expect("data").len() as u64;
        });
        assert!(written + ELSE > size, "{kind} kept its text");
        assert!(
            info.bytes_total <= size + ELSE,
            "{kind}: {} bytes for {size}",
            info.bytes_total
        );
    }
}

/// What vendors of OpenAI's family edit: a role, ids, parts and members that they do not take.
#[test]
fn from_the_request_into_the_body_with_edits() {
    let long = long();
    let text = json!({"type": "text", "text": long});
    let image = json!({"type": "image_url", "image_url": {"url": "https://host/x.png"}});
    let call =
        json!({"id": "call_abc", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let asks = json!({"role": "user", "content": "Hi"});
    let called = json!({"role": "assistant", "content": "So.", "tool_calls": [call]});
    let result = json!({"role": "tool", "tool_call_id": "call_abc", "content": long});
    let thought = json!({"role": "assistant", "content": long, "reasoning_content": "Hm.", "x": 1});
    for (vendor, messages) in [
        ("mistral", json!([asks, called, result])),
        ("mistral", json!([asks, thought, asks])),
        (
            "mistral",
            json!([{"role": "developer", "content": [text]}, asks]),
        ),
        (
            "vllm",
            json!([{"role": "developer", "content": long}, asks]),
        ),
        (
            "deepseek",
            json!([{"role": "user", "content": [image, text, image]}]),
        ),
        ("groq", json!([asks, thought, asks])),
    ] {
        let translate = OpenAi::new("http://host").expect("a URL");
        let translate = translate.with_vendor(Vendor::named(vendor).expect("known"));
        let body = json!({"model": "m", "max_tokens": 100, "messages": messages}).to_string();
        let size = body.len() as u64;
        let chat = Chat::parse(Bytes::from(body)).expect("a request");
        let target = Target::new("p", "other");
        let mut notes = Notes::new(Contract::new(Unsupported::Drop));
        let mut sent = None;
        let info = measure(|| sent = Some(translate.request(&chat, &target, &mut notes)));
        sent.expect("asked").expect("translated");
        assert!(
            info.bytes_total <= size + ELSE,
            "{vendor}: {} bytes for {size}",
            info.bytes_total
        );
    }
}

/// Functions of the deprecated kind, which become tools, beside what the vendor edits.
#[test]
fn from_the_request_into_the_body_with_functions() {
    let messages = json!([
        {"role": "developer", "content": "Hi"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": long()},
    ]);
    let body = json!({"model": "m", "messages": messages}).to_string();
    let size = body.len() as u64;
    let chat = Chat::parse(Bytes::from(body)).expect("a request");
    for vendor in ["vllm", "mistral", "deepseek"] {
        let translate = OpenAi::new("http://host").expect("a URL");
        let translate = translate.with_vendor(Vendor::named(vendor).expect("known"));
        let client = tower::service_fn(async |_| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::default()))
        });
        let mut provider = Provider::new("p", client, translate);
        let request = http::Request::new(ChatBody::new(chat.clone()));
        let mut call = None;
        let info = measure(|| call = Some(provider.call(request)));
        assert!(call.is_some());
        assert!(
            info.bytes_total <= size + ELSE,
            "{vendor}: {} bytes for {size}",
            info.bytes_total
        );
    }
}

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    Asked::new(
        &chat,
        &Target::new("p", "claude"),
        std::time::SystemTime::now(),
    )
}

/// Whole answers with this text, as each provider gives them.
fn answers(text: &str) -> [Value; 5] {
    let message = json!({"role": "assistant", "content": [{"text": text}]});
    [
        json!({"type": "message", "id": "m", "model": "c", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}),
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}]}),
        json!({"output": {"message": message}, "stopReason": "end_turn"}),
        json!({"id": "c", "message": {"content": [{"type": "text", "text": text}]}, "finish_reason": "COMPLETE"}),
        json!({"message": {"role": "assistant", "content": text}, "done": true, "done_reason": "stop"}),
    ]
}

#[test]
fn from_an_answer_into_ours() {
    fn check<T: Translate>(name: &str, translate: &T, body: &Value) {
        let body = Bytes::from(body.to_string());
        let (size, asked) = (body.len() as u64, asked());
        let mut answer = None;
        let info = measure(|| answer = Some(translate.answer(&asked, body)));
        let answer = answer.expect("read").expect("an answer").body;
        assert!(answer.len() as u64 + ELSE > size, "{name} kept its text");
        assert!(
            info.bytes_total <= size + ELSE,
            "{name}: {} bytes for {size}",
            info.bytes_total
        );
    }
    let url = "http://host";
    let [anthropic, gemini, bedrock, cohere, ollama] = answers(&long());
    check(
        "anthropic",
        &Anthropic::new(url).expect("a URL"),
        &anthropic,
    );
    check("gemini", &Gemini::new(url).expect("a URL"), &gemini);
    check("bedrock", &Bedrock::new(url).expect("a URL"), &bedrock);
    check("cohere", &Cohere::new(url).expect("a URL"), &cohere);
    check("ollama", &Ollama::new(url).expect("a URL"), &ollama);
    for media in media() {
        check("gemini", &Gemini::new(url).expect("a URL"), &media);
    }
}

/// Answers that are an image and speech.
fn media() -> [Value; 2] {
    ["image/png", "audio/wav"].map(|kind| {
        let data = json!({"mimeType": kind, "data": "QUJD".repeat(50_000)});
        json!({"candidates": [{"content": {"role": "model", "parts": [{"inlineData": data}]}, "finishReason": "STOP"}]})
    })
}

#[test]
fn from_an_event_into_a_chunk() {
    /// What the last event allocates, with room for the chunk made before.
    fn check<T: Translate>(name: &str, translate: &T, events: &[(&str, Value)]) {
        let mut stream = translate.stream(&asked()).expect("translated");
        let mut before = BytesMut::new();
        let (last, first) = events.split_last().expect("events");
        for (name, event) in first {
            let event = event.to_string();
            let read = stream.event(Some(name), event.as_bytes(), &mut before);
            read.expect("an event");
        }
        let event = last.1.to_string();
        let size = event.len() as u64;
        let mut out = BytesMut::new();
        let info = measure(|| {
            let read = stream.event(Some(last.0), event.as_bytes(), &mut out);
            read.expect("an event");
        });
        assert!(out.len() as u64 + ELSE > size, "{name} kept its text");
        assert!(
            info.bytes_total <= size + ELSE,
            "{name}: {} bytes for {size}",
            info.bytes_total
        );
    }
    let (url, text) = ("http://host", long());
    let [_, gemini, _, _, ollama] = answers(&text);
    let mut line = ollama;
    line["done"] = false.into();
    let mut candidate = gemini;
    candidate["candidates"][0]["finishReason"] = Value::Null;
    check(
        "anthropic",
        &Anthropic::new(url).expect("a URL"),
        &[
            (
                "",
                json!({"type": "message_start", "message": {"id": "m", "model": "c"}}),
            ),
            (
                "",
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
            (
                "",
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ),
        ],
    );
    check(
        "gemini",
        &Gemini::new(url).expect("a URL"),
        &[("", candidate)],
    );
    for media in media() {
        check("gemini", &Gemini::new(url).expect("a URL"), &[("", media)]);
    }
    check(
        "bedrock",
        &Bedrock::new(url).expect("a URL"),
        &[
            ("messageStart", json!({"role": "assistant"})),
            (
                "contentBlockDelta",
                json!({"contentBlockIndex": 0, "delta": {"text": text}}),
            ),
        ],
    );
    check(
        "cohere",
        &Cohere::new(url).expect("a URL"),
        &[
            ("", json!({"type": "message-start", "id": "c"})),
            (
                "",
                json!({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}}),
            ),
        ],
    );
    check("ollama", &Ollama::new(url).expect("a URL"), &[("", line)]);
}
