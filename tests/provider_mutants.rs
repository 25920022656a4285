//! Answers of the native providers with one value changed, anywhere: whatever comes of them is an error, or
//! a completion that a client can read. What a stream says is whole at most once.

use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
#[cfg(feature = "bedrock")]
use tower_completions::provider::bedrock::Bedrock;
use tower_completions::{
    Target,
    parse::Chat,
    provider::{Asked, Translate, TranslateStream, anthropic::Anthropic, gemini::Gemini},
};

fn asked(model: &str) -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    Asked::new(&chat, &Target::new("p", model), UNIX_EPOCH)
}

/// Every value with each of these in its place, and without it.
fn mutants(of: &Value) -> Vec<Value> {
    let mut paths = Vec::new();
    walk(of, String::new(), &mut paths);
    let others = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("x"),
        json!([]),
        json!([1]),
        json!({}),
        json!(true),
    ];
    let mut all = Vec::new();
    for path in paths {
        for other in &others {
            let mut mutant = of.clone();
            *mutant.pointer_mut(&path).expect("a path") = other.clone();
            all.push(mutant);
        }
        let (parent, name) = path.rsplit_once('/').expect("below the root");
        let mut mutant = of.clone();
        match mutant.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.remove(name)),
            Some(Value::Array(elements)) => drop(elements.remove(name.parse().expect("a place"))),
            _ => continue,
        }
        all.push(mutant);
    }
    all
}

fn walk(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                walk(value, format!("{path}/{name}"), paths);
            }
        }
        Value::Array(elements) => {
            for (at, value) in elements.iter().enumerate() {
                walk(value, format!("{path}/{at}"), paths);
            }
        }
        _ => {}
    }
    if !path.is_empty() {
        paths.push(path);
    }
}

const REASONS: [&str; 5] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
];

/// What is wrong with what a message or a delta says; calls of a whole message are whole.
fn said(said: &Value, whole: bool) -> Option<&'static str> {
    let text = |name: &str| {
        let value = &said[name];
        value.is_null() || value.is_string()
    };
    if !said.is_object() {
        return Some("no object");
    }
    if !["content", "refusal", "reasoning_content"]
        .into_iter()
        .all(text)
    {
        return Some("a text that is none");
    }
    if whole && said["role"] != "assistant" {
        return Some("no role");
    }
    for call in said["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let begins = whole || call.get("id").is_some();
        let named = function["name"]
            .as_str()
            .is_some_and(|name| !name.is_empty());
        if begins && !(named && call["type"] == "function" && call["id"].is_string()) {
            return Some("a call without a name");
        }
        let Some(arguments) = function["arguments"].as_str() else {
            return Some("arguments that are no text");
        };
        if whole && serde_json::from_str::<Value>(arguments).is_err() {
            return Some("arguments that are no JSON");
        }
        if !whole && !call["index"].is_u64() {
            return Some("a call without an index");
        }
    }
    for detail in said["reasoning_details"].as_array().into_iter().flatten() {
        if !detail["type"].is_string() {
            return Some("an entry without a type");
        }
    }
    None
}

fn usage(usage: &Value) -> Option<&'static str> {
    let count = |path: &str| usage.pointer(path).map_or(Some(0), Value::as_u64);
    let (Some(prompt), Some(completion), Some(total)) = (
        usage["prompt_tokens"].as_u64(),
        usage["completion_tokens"].as_u64(),
        usage["total_tokens"].as_u64(),
    ) else {
        return Some("counts that are none");
    };
    if prompt.saturating_add(completion) != total {
        return Some("a total that is none");
    }
    let cached = count("/prompt_tokens_details/cached_tokens")?;
    let reasoning = count("/completion_tokens_details/reasoning_tokens")?;
    (cached > prompt || reasoning > completion).then_some("more of a part than of all")
}

fn whole(answer: &[u8]) -> Option<&'static str> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return Some("no JSON");
    };
    let Some(choices) = answer["choices"].as_array().filter(|all| !all.is_empty()) else {
        return Some("no choices");
    };
    for choice in choices {
        let reason = choice["finish_reason"].as_str().unwrap_or_default();
        if !REASONS.contains(&reason) {
            return Some("no reason to finish");
        }
        if let Some(why) = said(&choice["message"], true) {
            return Some(why);
        }
        let calls = choice["message"]["tool_calls"].as_array();
        if reason == "tool_calls" && calls.is_none_or(Vec::is_empty) {
            return Some("ends for calls and has none");
        }
    }
    answer.get("usage").and_then(usage)
}

/// `done`: the stream has ended well.
fn streamed(text: &str, done: bool) -> Option<&'static str> {
    let (mut finished, mut calls, mut over) = (false, false, false);
    for event in text.split_terminator("\n\n") {
        let Some(data) = event.strip_prefix("data: ").filter(|_| !over) else {
            return Some("something behind the end");
        };
        if data == "[DONE]" {
            over = true;
            continue;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            return Some("no JSON");
        };
        let Some(choices) = chunk["choices"].as_array() else {
            return Some("no choices");
        };
        for choice in choices {
            if finished {
                return Some("something behind the finish");
            }
            if let Some(why) = said(&choice["delta"], false) {
                return Some(why);
            }
            calls |= choice["delta"].get("tool_calls").is_some();
            match choice["finish_reason"].as_str() {
                None if choice["finish_reason"].is_null() => {}
                Some(reason) if REASONS.contains(&reason) => {
                    finished = true;
                    if reason == "tool_calls" && !calls {
                        return Some("ends for calls and has none");
                    }
                }
                _ => return Some("no reason to finish"),
            }
        }
        if let Some(why) = chunk
            .get("usage")
            .filter(|it| !it.is_null())
            .and_then(usage)
        {
            return Some(why);
        }
    }
    match (done, over) {
        (true, false) => Some("no end"),
        (false, true) => Some("an end and an error"),
        _ if done && !finished => Some("no finish"),
        _ => None,
    }
}

fn look<T: Translate>(
    translate: &T,
    model: &str,
    answer: &Value,
    events: &[(&str, Value)],
) -> Vec<String> {
    let asked = asked(model);
    let mut wrong = Vec::new();
    assert_eq!(
        whole(
            &translate
                .answer(&asked, answer.to_string().into())
                .expect("an answer")
                .body
        ),
        None
    );
    for mutant in mutants(answer) {
        let body = Bytes::from(mutant.to_string());
        if let Ok(answer) = translate.answer(&asked, body) {
            if let Some(why) = whole(&answer.body) {
                wrong.push(format!(
                    "{why}: {mutant}\n  {}",
                    String::from_utf8_lossy(&answer.body)
                ));
            }
        }
    }
    let mut run = |all: &[(&str, Value)], what: &Value| {
        let mut stream = translate.stream(&asked).expect("translated");
        let mut out = BytesMut::new();
        let mut feed = || {
            for (name, event) in all {
                stream.event(Some(name), event.to_string().as_bytes(), &mut out)?;
            }
            // It is not asked for more once it has said that it is done.
            if out.ends_with(b"data: [DONE]\n\n") {
                return Ok(());
            }
            stream.finish(&mut out)
        };
        let ended = feed();
        let text = String::from_utf8_lossy(&out);
        if let Some(why) = streamed(&text, ended.is_ok()) {
            wrong.push(format!("{why}: {what}\n  {text}"));
        }
        ended.is_ok()
    };
    assert!(run(events, &Value::Null));
    for (at, (name, event)) in events.iter().enumerate() {
        for mutant in mutants(event) {
            let mut all = events.to_vec();
            all[at] = (name, mutant.clone());
            run(&all, &mutant);
        }
        let mut all = events.to_vec();
        all.remove(at);
        run(&all, &json!(format!("without {event}")));
        all.insert(at, events[at].clone());
        all.insert(at, events[at].clone());
        run(&all, &json!(format!("twice {event}")));
        if at + 1 < events.len() {
            all = events.to_vec();
            all.swap(at, at + 1);
            run(&all, &json!(format!("behind the next {event}")));
        }
    }
    wrong
}

fn none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

#[test]
fn anthropic() {
    let counts = json!({"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}, "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 2}, "service_tier": "standard"});
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "Hi", "citations": [{"type": "web", "url": "u", "title": "t"}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": counts});
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": counts}}),
    ];
    let mut block = |index: u8, block: Value, delta: Value| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    };
    block(
        0,
        json!({"type": "thinking", "thinking": "hm", "signature": ""}),
        json!({"type": "signature_delta", "signature": "s"}),
    );
    block(
        1,
        json!({"type": "text", "text": ""}),
        json!({"type": "text_delta", "text": "Hi"}),
    );
    block(
        2,
        json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        json!({"type": "input_json_delta", "partial_json": "{}"}),
    );
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": counts}),
    );
    events.push(json!({"type": "message_stop"}));
    let named: Vec<(String, Value)> = events
        .into_iter()
        .map(|it| (it["type"].as_str().expect("a type").to_owned(), it))
        .collect();
    let events: Vec<(&str, Value)> = named
        .iter()
        .map(|(name, event)| (&**name, event.clone()))
        .collect();
    let anthropic = Anthropic::new("http://h").expect("a URL");
    none(&look(&anthropic, "claude-sonnet-4-5", &answer, &events));
}

#[test]
fn gemini() {
    let part = |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]});
    let call = json!({"functionCall": {"id": "t", "name": "f", "args": {"a": [1]}}, "thoughtSignature": "s"});
    let counts = json!({"promptTokenCount": 9, "cachedContentTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2,
        "totalTokenCount": 15, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}]});
    let mut answer = part(
        json!([{"text": "hm", "thought": true}, {"text": "Hi"}, call,
        {"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}]),
    );
    for (name, value) in [
        ("usageMetadata", counts),
        ("modelVersion", json!("g")),
        ("responseId", json!("r")),
    ] {
        answer[name] = value;
    }
    answer["candidates"][0]["finishReason"] = "STOP".into();
    answer["candidates"][0]["groundingMetadata"] = json!({"groundingChunks": [{"web": {"uri": "u", "title": "t"}}], "webSearchQueries": ["q"]});
    let events = [
        ("", part(json!([{"text": "hm", "thought": true}]))),
        ("", part(json!([{"text": "Hi"}]))),
        ("", part(json!([call]))),
        ("", answer.clone()),
    ];
    let gemini = Gemini::new("http://h").expect("a URL");
    none(&look(&gemini, "gemini-3-pro", &answer, &events));
}

#[cfg(feature = "bedrock")]
#[test]
fn bedrock() {
    let counts = json!({"inputTokens": 5, "outputTokens": 9, "totalTokens": 24, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 3,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 2}]});
    let answer = json!({"output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, {"reasoningContent": {"redactedContent": "d"}},
            {"text": "Hi"}, {"citationsContent": {"content": [{"text": "a"}]}},
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": [1]}}}]}},
        "stopReason": "tool_use", "usage": counts, "serviceTier": {"type": "default"}});
    let delta = |index: u8, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    let stop = |index: u8| ("contentBlockStop", json!({"contentBlockIndex": index}));
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        stop(0),
        delta(1, json!({"text": "Hi"})),
        stop(1),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}),
        ),
        delta(2, json!({"toolUse": {"input": "{}"}})),
        stop(2),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": counts, "metrics": {"latencyMs": 1}}),
        ),
    ];
    let bedrock = Bedrock::new("http://h").expect("a URL");
    none(&look(
        &bedrock,
        "anthropic.claude-sonnet-4-5",
        &answer,
        &events,
    ));
}
