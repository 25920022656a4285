use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::{Stream, error, request, response};
use crate::{
    error::Class,
    ext::Target,
    parse::Chat,
    provider::{Asked, TranslateStream},
    sse,
};

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let mut asked = Asked::new(&chat, &Target::new("anthropic", "m"));
    asked.created = 7;
    asked
}

fn translated(body: &Value, model: &str) -> Value {
    let body = request::body(body.to_string().as_bytes(), model).expect("translates");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn a_conversation_with_tools() {
    let out = translated(
        &json!({"model": "m", "max_tokens": 50, "parallel_tool_calls": false, "stop": ["END", " "], "user": "u",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                {"role": "assistant", "content": null, "reasoning_details": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                 "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
                                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                {"role": "user", "content": "And?"}],
            "tools": [{"type": "function", "function": {"name": "f"}}]}),
        "claude-sonnet-4-5",
    );
    assert_eq!(
        out["system"],
        json!([{"type": "text", "text": "Be brief."}])
    );
    assert_eq!(out["messages"].as_array().expect("turns").len(), 3);
    let spoken = &out["messages"][1]["content"];
    assert_eq!(
        spoken[0],
        json!({"type": "thinking", "thinking": "t", "signature": "s"})
    );
    assert_eq!(
        spoken[1],
        json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})
    );
    let results = &out["messages"][2]["content"];
    assert_eq!(
        results[1],
        json!({"type": "tool_result", "tool_use_id": "b", "content": "2"})
    );
    assert_eq!(results[2], json!({"type": "text", "text": "And?"}));
    assert_eq!(
        out["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(out["tools"][0]["input_schema"]["type"], "object");
    assert_eq!(out["stop_sequences"], json!(["END"]));
    assert_eq!(out["max_tokens"], 50);
}

#[test]
fn thinking_by_generation() {
    let body = json!({"model": "m", "reasoning_effort": "xhigh", "messages": [{"role": "user", "content": "Hi"}]});
    let old = translated(&body, "claude-sonnet-4-5");
    assert!(old["thinking"]["budget_tokens"].as_u64() < old["max_tokens"].as_u64());
    assert_eq!(
        translated(&body, "claude-opus-4-6")["output_config"]["effort"],
        "high"
    );
    assert_eq!(
        translated(&body, "claude-opus-4-7")["output_config"]["effort"],
        "xhigh"
    );
}

#[test]
fn what_has_no_counterpart_is_refused() {
    for (member, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("seed", json!(1)),
    ] {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        body[member] = value;
        let error =
            request::body(body.to_string().as_bytes(), "claude-sonnet-4-5").expect_err(member);
        assert_eq!(error.param(), Some(member));
    }
}

const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hé\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":1}\n\n\
data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":2}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n\
data: {\"type\":\"news\"}\n\n\
data: {\"type\":\"message_stop\"}\n\n";

fn run(pieces: &[&[u8]]) -> (Result<(), crate::error::Error>, String, Stream) {
    let mut decoder = sse::Decoder::new();
    let mut stream = Stream::new(&asked());
    let mut out = BytesMut::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            let event = event.expect("whole");
            if let Err(error) = stream.event(event.name(), event.data(), &mut out) {
                return (Err(error), String::new(), stream);
            }
        }
    }
    let end = stream.finish(&mut out);
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    (end, text, stream)
}

#[test]
fn a_stream_however_it_is_cut() {
    let bytes = STREAM.as_bytes();
    let (end, whole, stream) = run(&[bytes]);
    end.expect("whole");
    for words in [
        r#""reasoning_content":"hm""#,
        r#""signature":"sig""#,
        r#""content":"Hé""#,
        r#""arguments":"{}""#,
        r#""finish_reason":"tool_calls""#,
        r#""cached_tokens":7"#,
        r#""prompt_tokens":15"#,
    ] {
        assert_eq!(whole.matches(words).count(), 1, "{words} in {whole}");
    }
    assert!(whole.ends_with("data: [DONE]\n\n"));
    let usage = stream.usage().expect("counted");
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.cache_write,
            usage.output
        ),
        (15, 7, 3, 9)
    );
    for at in 0..bytes.len() {
        assert_eq!(run(&[&bytes[..at], &bytes[at..]]).1, whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(&single).1, whole);
}

#[test]
fn a_cut_stream_is_an_error() {
    let cut = STREAM
        .rfind("data: {\"type\":\"message_stop")
        .expect("there");
    let (end, text, _) = run(&[&STREAM.as_bytes()[..cut]]);
    assert_eq!(end.expect_err("cut").class(), Some(Class::Transient));
    assert!(!text.contains("[DONE]"));
}

#[test]
fn an_overloaded_stream_is_one() {
    let text = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    assert_eq!(
        run(&[text.as_bytes()]).0.expect_err("error").class(),
        Some(Class::Overload)
    );
}

#[test]
fn errors_by_type_before_status() {
    for (kind, class) in [
        ("authentication_error", Class::Credential),
        ("billing_error", Class::Quota),
        ("not_found_error", Class::ModelGone),
        ("rate_limit_error", Class::RateLimit),
        ("overloaded_error", Class::Overload),
        ("api_error", Class::Transient),
        ("invalid_request_error", Class::Caller),
    ] {
        let body = json!({"type": "error", "error": {"type": kind, "message": "x"}}).to_string();
        let error = error::in_stream(body.as_bytes());
        assert_eq!(error.class(), Some(class), "{kind}");
    }
}

#[test]
fn a_whole_answer() {
    let body = json!({"id": "msg_1", "type": "message", "model": "claude", "stop_reason": "max_tokens",
        "content": [{"type": "redacted_thinking", "data": "d"}, {"type": "text", "text": "Hi"}, {"type": "server_tool_use", "id": "x"}],
        "usage": {"input_tokens": 1, "cache_read_input_tokens": null, "output_tokens": 2}});
    let answer = response::answer(body.to_string().as_bytes(), 7).expect("reads");
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(out["choices"][0]["message"]["content"], "Hi");
    assert_eq!(
        out["choices"][0]["message"]["reasoning_details"][0]["data"],
        "d"
    );
    assert_eq!(out["choices"][0]["finish_reason"], "length");
    assert_eq!(out["usage"]["total_tokens"], 3);
}
