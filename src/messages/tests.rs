use serde_json::{Value, json};

mod thoughts;

use super::{request, response};
use crate::{
    ext::Target,
    parse::Chat,
    provider::{Asked, Notes, Translate as _, anthropic::Anthropic},
};

fn translated(body: &Value) -> (Value, Vec<String>) {
    let (out, way) = request::translate(body.to_string().as_bytes()).expect("translates");
    let dropped = way.dropped.names().iter().map(|name| name.to_string());
    let dropped = dropped.collect();
    (serde_json::from_slice(&out).expect("JSON"), dropped)
}

fn refused(body: &Value) -> String {
    let error = request::translate(body.to_string().as_bytes()).expect_err("refused");
    error.param().unwrap_or_default().to_owned()
}

fn with(members: Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(members) = members else {
        panic!("members are an object");
    };
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn everything() -> Value {
    json!({"model": "m", "max_tokens": 4000, "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "temperature": 0.5, "stop_sequences": ["END"],
        "metadata": {"user_id": "u"}, "service_tier": "standard_only",
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
                {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "UERG"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "b3A="},
                {"type": "text", "text": "Well"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "And?"}]}]})
}

#[test]
fn a_request_with_everything_in_it() {
    let (out, dropped) = translated(&everything());
    assert!(dropped.is_empty(), "{dropped:?}");
    for (path, value) in [
        ("/model", json!("m")),
        ("/max_completion_tokens", json!(4000)),
        ("/stream_options/include_usage", json!(true)),
        ("/temperature", json!(0.5)),
        ("/stop", json!(["END"])),
        ("/user", json!("u")),
        ("/service_tier", json!("default")),
        (
            "/tools/0/function/parameters/properties/x/type",
            json!("integer"),
        ),
        ("/tool_choice/function/name", json!("f")),
        ("/parallel_tool_calls", json!(false)),
        (
            "/messages/0",
            json!({"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]}),
        ),
        (
            "/messages/1/content/1/image_url/url",
            json!("data:image/png;base64,QUJD"),
        ),
        (
            "/messages/1/content/2/image_url/url",
            json!("https://h/a.png"),
        ),
        (
            "/messages/1/content/3/file",
            json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,UERG"}),
        ),
        ("/messages/2/reasoning_details/0/signature", json!("sig")),
        ("/messages/2/reasoning_content", json!("hm")),
        ("/messages/2/content/0/text", json!("Well")),
        (
            "/messages/2/tool_calls/0",
            json!({"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}),
        ),
        (
            "/messages/3",
            json!({"role": "tool", "tool_call_id": "t1", "content": "1"}),
        ),
        (
            "/messages/4",
            json!({"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "2"}]}),
        ),
        (
            "/messages/5",
            json!({"role": "user", "content": [{"type": "text", "text": "And?"}]}),
        ),
    ] {
        assert_eq!(out.pointer(path), Some(&value), "{path}: {out}");
    }
}

/// In and out again by the provider's own table: nothing may have changed its meaning.
#[test]
fn what_comes_in_goes_out_as_it_came() {
    let came = everything();
    let (body, _) = request::translate(came.to_string().as_bytes()).expect("translates");
    let chat = Chat::parse(body).expect("a request");
    assert!(
        chat.request().faults().is_empty(),
        "{:?}",
        chat.request().faults()
    );
    let anthropic = Anthropic::new("https://upstream").expect("a URL");
    let mut notes = Notes::default();
    let target = Target::new("anthropic", "claude-sonnet-4-5");
    let went = anthropic
        .request(&chat, &target, &mut notes)
        .expect("goes out");
    let went: Value = serde_json::from_slice(went.body().remaining()).expect("JSON");
    assert!(
        notes.dropped().is_empty() && notes.mapped().is_empty(),
        "{notes:?}"
    );
    for member in [
        "max_tokens",
        "temperature",
        "stop_sequences",
        "metadata",
        "service_tier",
        "system",
        "tools",
        "tool_choice",
        "stream",
    ] {
        assert_eq!(went[member], came[member], "{member}");
    }
    assert_eq!(went["messages"][0], came["messages"][0]);
    assert_eq!(went["messages"][1], came["messages"][1]);
    let ids = |value: &Value| -> Vec<String> {
        let blocks = value["messages"][2]["content"].as_array().expect("blocks");
        blocks
            .iter()
            .map(|block| block["tool_use_id"].to_string())
            .collect()
    };
    assert_eq!(ids(&went), ids(&came));
}

#[test]
fn members_one_by_one() {
    let tools = json!([{"name": "f"}]);
    for (members, path, value) in [
        (
            json!({"system": "Be brief."}),
            "/messages/0/content",
            json!("Be brief."),
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "any"}}),
            "/tool_choice",
            json!("required"),
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "auto"}}),
            "/tool_choice",
            json!("auto"),
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "none"}}),
            "/tool_choice",
            json!("none"),
        ),
        (
            json!({"tool_choice": {"type": "auto"}}),
            "/tool_choice",
            Value::Null,
        ),
        (
            json!({"tools": [{"type": "custom", "name": "g", "strict": true}]}),
            "/tools/0/function/strict",
            json!(true),
        ),
        (json!({"top_k": 5}), "/top_k", json!(5)),
        (json!({"top_p": 0.25}), "/top_p", json!(0.25)),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "/reasoning_effort",
            json!("minimal"),
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 10_000}}),
            "/reasoning_effort",
            json!("medium"),
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 99_000}}),
            "/reasoning_effort",
            json!("high"),
        ),
        (
            json!({"thinking": {"type": "disabled"}}),
            "/reasoning_effort",
            json!("none"),
        ),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
            "/reasoning_effort",
            json!("low"),
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
            "/response_format/json_schema/schema",
            json!({"type": "object"}),
        ),
        (
            json!({"cache_control": {"type": "ephemeral"}}),
            "/cache_control/type",
            json!("ephemeral"),
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}]}]}),
            "/messages/0/content/0",
            json!({"type": "text", "text": "words"}),
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]}),
            "/messages/0/content/0/file/file_id",
            json!("f"),
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"type": "url", "url": "https://h"}}]}]}]}),
            "/messages/1/content/0/image_url/url",
            json!("https://h"),
        ),
    ] {
        let (out, _) = translated(&with(members.clone()));
        let found = out.pointer(path).cloned().unwrap_or_default();
        assert_eq!(found, value, "{members}: {out}");
    }
}

#[test]
fn what_has_no_counterpart() {
    for (members, param) in [
        (
            json!({"mcp_servers": [{"url": "https://h"}]}),
            "mcp_servers",
        ),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "tools[0].type",
        ),
        (
            json!({"tool_choice": {"type": "maybe"}}),
            "tool_choice.type",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://h"}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}),
            "messages[0].content[0]",
        ),
        (json!({"max_tokens": "many"}), ""),
        (json!({"messages": null}), "messages"),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (json!({"messages": [{"content": "Hi"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "tool", "content": "Hi"}]}),
            "messages[0].role",
        ),
        (json!({"tools": [{}]}), "tools[0].name"),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice"),
        (
            json!({"tools": [], "tool_choice": {"type": "tool", "name": "f"}}),
            "tool_choice",
        ),
        (json!({"system": [{"type": "image"}]}), "system[0]"),
    ] {
        assert_eq!(refused(&with(members.clone())), param, "{members}");
    }
    let (_, dropped) = translated(&with(
        json!({"container": "c", "context_management": {}, "service_tier": "other",
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true}]},
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s"}, {"type": "web_search_tool_result"}]}]}),
    ));
    assert_eq!(
        dropped,
        [
            "messages[].content[].is_error",
            "messages[].content[].server_tool_use",
            "service_tier",
            "container",
            "context_management"
        ]
    );
    assert!(request::translate(b"\xff").is_err());
    assert!(request::translate(b"").is_err());
}

#[test]
fn nothing_is_dropped_without_a_word() {
    let asking = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let document = json!({"type": "document", "title": "t", "context": "c", "citations": {"enabled": true},
        "source": {"type": "text", "media_type": "text/plain", "data": "words", "x": 1}});
    let file = json!({"type": "document", "title": "t", "citations": {"enabled": false},
        "source": {"type": "base64", "media_type": "application/pdf", "data": "UERG"}});
    let mark = json!({"type": "ephemeral"});
    for (members, names) in [
        (
            json!({"foo": 1, "speed": "fast", "inference_geo": "us"}),
            "foo inference_geo speed",
        ),
        (
            json!({"foo": null, "metadata": null, "tool_choice": {"type": "auto"}}),
            "",
        ),
        (json!({"metadata": {"user_id": "u", "x": 1}}), "metadata.x"),
        (
            json!({"thinking": {"type": "adaptive", "display": "summarized"}}),
            "thinking.display thinking",
        ),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low", "x": 1}}),
            "output_config.x",
        ),
        (
            json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}),
            "thinking",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}}),
            "thinking.budget_tokens",
        ),
        (
            json!({"tools": [{"name": "f", "defer_loading": true}, {"name": "g", "defer_loading": true}]}),
            "tools[].defer_loading",
        ),
        (
            asking(json!([document])),
            "messages[].content[].context messages[].content[].citations messages[].content[].source messages[].content[].title",
        ),
        (asking(json!([file])), ""),
        (
            asking(
                json!([{"type": "text", "text": "a", "citations": []}, {"type": "text", "text": "b", "citations": [{}]}]),
            ),
            "messages[].content[].citations",
        ),
        (
            asking(json!([{"type": "tool_result", "tool_use_id": "t", "cache_control": mark}])),
            "messages[].content[].cache_control",
        ),
        (
            asking(
                json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a", "y": 1}], "x": 1}]),
            ),
            "messages[].content[].x messages[].content[].content[].y",
        ),
        (
            json!({"messages": [{"role": "assistant", "id": "m", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "cache_control": mark, "caller": {}}]}]}),
            "messages[].id messages[].content[].caller messages[].content[].cache_control",
        ),
        (
            json!({"system": [{"type": "text", "text": "a", "x": 1}]}),
            "system[].x",
        ),
    ] {
        let (_, dropped) = translated(&with(members.clone()));
        assert_eq!(dropped.join(" "), names, "{members}");
    }
    let many = (0..1000).map(|n| (format!("x{n}"), json!(1)));
    let (_, dropped) = translated(&with(Value::Object(many.collect())));
    assert_eq!(dropped.len(), 128);
}

/// The mark of a result stands at the end of its text.
#[test]
fn results_keep_their_cache_marks() {
    for content in [
        json!("a"),
        json!([{"type": "text", "text": "b"}, {"type": "text", "text": "a"}]),
    ] {
        let members = json!({"messages": [{"role": "user", "content": [{"type": "tool_result",
            "tool_use_id": "t", "content": content, "cache_control": {"type": "ephemeral"}}]}]});
        let (out, dropped) = translated(&with(members));
        let parts = out["messages"][0]["content"].as_array().expect("parts");
        let want = json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
        assert_eq!(parts.last(), Some(&want));
        assert!(dropped.is_empty(), "{dropped:?}");
    }
}

#[test]
fn a_whole_answer() {
    let completion = json!({"id": "c1", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": "Hi", "reasoning_content": "hm",
            "reasoning_details": [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "other"}],
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                {"id": "u", "type": "function", "function": {"name": "g", "arguments": "{\"cut"}},
                {"id": "v", "type": "custom", "custom": {"name": "h", "input": "free"}}]}}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3}}});
    let out = response::message(completion.to_string().as_bytes()).expect("a message");
    let out: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(
        out,
        json!({"id": "c1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "stop_sequence": null,
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "u", "name": "g", "input": {"arguments": "{\"cut"}},
                {"type": "tool_use", "id": "v", "name": "h", "input": {"input": "free"}}],
            "usage": {"input_tokens": 9, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 5}})
    );
    for body in ["", "{}", r#"{"choices":[]}"#] {
        assert!(response::message(body.as_bytes()).is_err(), "{body}");
    }
}

/// What Anthropic ends an answer with comes back as it was, by both tables.
#[test]
fn reasons_there_and_back() {
    let anthropic = Anthropic::new("https://upstream").expect("a URL");
    let chat = Chat::parse(r#"{"model":"m","messages":[]}"#.into()).expect("a request");
    let asked = Asked::new(
        &chat,
        &Target::new("anthropic", "m"),
        std::time::SystemTime::now(),
    );
    for reason in ["end_turn", "max_tokens", "tool_use", "refusal"] {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}],
            "stop_reason": reason, "stop_sequence": null,
            "usage": {"input_tokens": 9, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 5}});
        let answer = anthropic
            .answer(&asked, message.to_string().into())
            .expect("an answer");
        let back = response::message(&answer.body).expect("a message");
        let back: Value = serde_json::from_slice(&back).expect("JSON");
        for member in ["content", "stop_reason", "usage"] {
            assert_eq!(back[member], message[member], "{member}");
        }
    }
}
