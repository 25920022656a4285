use bytes::BytesMut;
use serde_json::{Value, json};

use super::Stream;
use crate::{
    ext::Target,
    parse::Chat,
    provider::{Asked, Translate as _, TranslateStream as _, anthropic::Anthropic},
    sse::Decoder,
};

/// The events of a stream, each with its name.
fn events(text: &str) -> Vec<Value> {
    let mut decoder = Decoder::new();
    decoder.push(bytes::Bytes::copy_from_slice(text.as_bytes()));
    let mut all = Vec::new();
    while let Some(event) = decoder.next() {
        let event = event.expect("readable");
        let data: Value = serde_json::from_slice(event.data()).expect("JSON");
        assert_eq!(event.name(), data["type"].as_str());
        all.push(data);
    }
    all
}

fn run(chunks: &[Value], done: bool) -> Vec<Value> {
    let mut stream = Stream::default();
    let mut out = BytesMut::new();
    for chunk in chunks {
        stream.event(chunk.to_string().as_bytes(), &mut out);
    }
    if done {
        stream.event(b"[DONE]", &mut out);
    }
    stream.broken(&mut out);
    events(std::str::from_utf8(&out).expect("UTF-8"))
}

fn delta(delta: Value) -> Value {
    let mut chunk = json!({"id": "c1", "model": "m", "choices": [{"index": 0, "finish_reason": null}], "usage": null});
    chunk["choices"][0]["delta"] = delta;
    chunk
}

/// A piece of a call; the first one has a name.
fn call(index: u8, name: &str, arguments: &str) -> Value {
    let mut one = json!({"index": index, "function": {"arguments": arguments}});
    if !name.is_empty() {
        one["id"] = format!("t{index}").into();
        one["function"]["name"] = name.into();
    }
    delta(json!({"tool_calls": [one]}))
}

/// What begins and ends with which number, and of what kind it is.
fn outline(events: &[Value]) -> Vec<String> {
    let short = events.iter().map(|event| {
        let block = &event["content_block"]["type"];
        let kind = if block.is_null() {
            &event["delta"]["type"]
        } else {
            block
        };
        let kind = kind.as_str().unwrap_or("-");
        format!(
            "{} {} {kind}",
            event["type"].as_str().expect("a type"),
            event["index"]
        )
    });
    short.collect()
}

/// The blocks that a client puts together, which knows one open block at a time.
fn blocks(events: &[Value]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for event in events {
        let kind = event["type"].as_str().expect("a type");
        if kind.starts_with("content_block_") {
            let started = kind == "content_block_start";
            assert_eq!(open, !started, "{events:?}");
            open = kind != "content_block_stop";
            assert_eq!(event["index"], all.len() - usize::from(!started));
        }
        match kind {
            "content_block_start" => {
                let block = &event["content_block"];
                let name = block["name"].as_str().or(block["type"].as_str());
                all.push(format!("{}:", name.expect("a type")));
            }
            "content_block_delta" => {
                let delta = event["delta"].as_object().expect("a delta");
                let text = delta.iter().find(|(key, _)| *key != "type");
                let text = text.and_then(|(_, value)| value.as_str()).expect("a text");
                all.last_mut().expect("an open block").push_str(text);
            }
            _ => {}
        }
    }
    all
}

#[test]
fn one_block_at_a_time() {
    let text = |text: &str| delta(json!({"content": text}));
    let thinking = |text: &str| delta(json!({"reasoning_content": text}));
    for (chunks, want) in [
        // Call by call, as nearly all send them.
        (
            vec![
                text("a"),
                call(0, "f", ""),
                call(0, "", "{\"x\":"),
                call(0, "", "1}"),
                call(1, "g", ""),
                call(1, "", "{}"),
            ],
            vec!["text:a", "f:{\"x\":1}", "g:{}"],
        ),
        // In turns: what is not open waits.
        (
            vec![
                call(0, "f", ""),
                call(1, "g", "{\"y\":"),
                call(0, "", "{\"x\":\"}"),
                call(1, "", "[2]}"),
                call(2, "h", "{}"),
                call(0, "", "\\\"\"}"),
                call(2, "", " "),
            ],
            vec!["f:{\"x\":\"}\\\"\"}", "g:{\"y\":[2]}", "h:{} "],
        ),
        (
            vec![
                call(0, "f", "{}"),
                text("a"),
                text("b"),
                thinking("c"),
                text("d"),
            ],
            vec!["f:{}", "text:ab", "thinking:c", "text:d"],
        ),
        // Text amid a call.
        (
            vec![
                call(0, "f", "{"),
                text("a"),
                thinking("b"),
                call(0, "", "}"),
                text("c"),
            ],
            vec!["f:{}", "text:a", "thinking:b", "text:c"],
        ),
        // Calls without arguments, which may still come.
        (
            vec![call(0, "f", ""), call(1, "g", ""), text("a")],
            vec!["f:", "g:", "text:a"],
        ),
        // What comes behind whole arguments has no place.
        (
            vec![
                call(0, "f", "{}"),
                call(1, "g", "{"),
                call(0, "", " "),
                call(1, "", "}"),
            ],
            vec!["f:{}", "g:{}"],
        ),
    ] {
        let out = run(&chunks, true);
        assert_eq!(blocks(&out), want);
        assert_eq!(
            out.last().map(|it| &it["type"]),
            Some(&json!("message_stop"))
        );
    }
}

#[test]
fn a_call_goes_out_as_it_comes() {
    let mut stream = Stream::default();
    let mut seen = Vec::new();
    for chunk in [
        call(0, "f", "{"),
        call(0, "", "}"),
        call(1, "g", "{"),
        call(1, "", "}"),
    ] {
        let mut out = BytesMut::new();
        stream.event(chunk.to_string().as_bytes(), &mut out);
        seen.push(events(std::str::from_utf8(&out).expect("UTF-8")).len());
    }
    assert_eq!(seen, [3, 1, 3, 1]);
}

#[test]
fn what_waits_is_bounded() {
    let piece = "x".repeat(1 << 20);
    let mut chunks = vec![call(0, "f", "{"), call(1, "g", "{\"")];
    chunks.extend((0..9).map(|_| call(1, "", &piece)));
    let out = run(&chunks, true);
    assert_eq!(
        outline(&out),
        [
            "message_start null -",
            "content_block_start 0 tool_use",
            "content_block_delta 0 input_json_delta",
            "error null -",
        ]
    );
}

#[test]
fn a_stream_with_everything_in_it() {
    let out = run(
        &[
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"reasoning_content": "h"})),
            delta(json!({"reasoning_content": "m"})),
            delta(
                json!({"reasoning_details": [{"type": "thinking", "thinking": "hm", "signature": "sig"}]}),
            ),
            delta(json!({"reasoning_details": [{"type": "redacted_thinking", "data": "b3A="}]})),
            delta(json!({"content": "Hi"})),
            call(0, "f", ""),
            call(1, "g", "{}"),
            call(0, "", "{\"x\":1}"),
            json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}}),
        ],
        true,
    );
    assert_eq!(
        outline(&out),
        [
            "message_start null -",
            "content_block_start 0 thinking",
            "content_block_delta 0 thinking_delta",
            "content_block_delta 0 thinking_delta",
            "content_block_delta 0 signature_delta",
            "content_block_stop 0 -",
            "content_block_start 1 redacted_thinking",
            "content_block_stop 1 -",
            "content_block_start 2 text",
            "content_block_delta 2 text_delta",
            "content_block_stop 2 -",
            "content_block_start 3 tool_use",
            "content_block_delta 3 input_json_delta",
            "content_block_stop 3 -",
            "content_block_start 4 tool_use",
            "content_block_delta 4 input_json_delta",
            "content_block_stop 4 -",
            "message_delta null -",
            "message_stop null -",
        ]
    );
    let end = &out[17];
    assert_eq!(
        end["delta"],
        json!({"stop_reason": "tool_use", "stop_sequence": null})
    );
    assert_eq!(
        end["usage"],
        json!({"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 8, "output_tokens": 3})
    );
}

/// A stream of Anthropic's, through the provider's table and back: the same blocks.
#[test]
fn streams_there_and_back() {
    let came = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 4}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "redacted_thinking", "data": "b3A="}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "thinking_delta", "thinking": "so"}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "signature_delta", "signature": "sig2"}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "{\"x\":1}"}}),
        json!({"type": "content_block_stop", "index": 4}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ];
    let anthropic = Anthropic::new("https://upstream").expect("a URL");
    let chat =
        Chat::parse(r#"{"model":"m","stream":true,"messages":[]}"#.into()).expect("a request");
    let asked = Asked::new(
        &chat,
        &Target::new("anthropic", "m"),
        std::time::SystemTime::now(),
    );
    let mut inner = anthropic.stream(&asked).expect("translated");
    let mut middle = BytesMut::new();
    for event in &came {
        let read = inner.event(
            event["type"].as_str(),
            event.to_string().as_bytes(),
            &mut middle,
        );
        read.expect("an event");
    }
    inner.finish(&mut middle).expect("whole");
    let mut decoder = Decoder::new();
    decoder.push(middle.freeze());
    let (mut outer, mut out) = (Stream::default(), BytesMut::new());
    while let Some(event) = decoder.next() {
        outer.event(event.expect("readable").data(), &mut out);
    }
    let back = events(std::str::from_utf8(&out).expect("UTF-8"));
    assert_eq!(back[1..17], came[1..17]);
    assert_eq!(back[17]["delta"], came[17]["delta"]);
    assert_eq!(back[17]["usage"]["input_tokens"], 4);
    assert_eq!(back[17]["usage"]["output_tokens"], 3);
    assert_eq!(back.len(), came.len());
}

#[test]
fn failures_in_a_stream_are_error_events() {
    let out = run(
        &[
            delta(json!({"content": "x"})),
            json!({"error": {"message": "busy", "type": "overloaded_error", "param": null, "code": null}}),
        ],
        true,
    );
    assert_eq!(
        out.last(),
        Some(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}))
    );
    assert!(out.iter().all(|event| event["type"] != "message_stop"));
    let cut = run(&[delta(json!({"content": "x"}))], false);
    assert_eq!(
        cut.last().map(|it| &it["error"]["type"]),
        Some(&json!("api_error"))
    );
    let nonsense = run(&[json!([1])], true);
    assert_eq!(nonsense.len(), 1);
    let empty = run(&[], true);
    let kinds: Vec<_> = empty
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
}

#[test]
fn blanks_before_the_end_do_not_count() {
    for done in ["[DONE]", " [DONE]", "\t[DONE] "] {
        let mut stream = Stream::default();
        let mut out = BytesMut::new();
        let chunk = json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]});
        stream.event(chunk.to_string().as_bytes(), &mut out);
        stream.event(done.as_bytes(), &mut out);
        let text = String::from_utf8(out.to_vec()).expect("UTF-8");
        assert!(
            text.contains("message_stop") && !text.contains("error"),
            "{text}"
        );
    }
}
