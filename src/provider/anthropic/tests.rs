mod streams;
mod turns;

use serde_json::{Value, json};

use super::{Stream, error, request, response};
use crate::{
    error::Class,
    parse::Chat,
    provider::{
        Asked, Contract, Notes, TranslateStream,
        testing::{self, chat, chunks},
    },
    sse,
};

fn asked() -> Asked {
    testing::asked("anthropic", "m")
}

fn translated(body: &Value, model: &str) -> Value {
    let body = request::body(
        &chat(body),
        model,
        request::Door::Own,
        &mut Notes::default(),
    )
    .expect("translates");
    serde_json::from_slice(&body).expect("JSON")
}

fn run(pieces: &[&[u8]]) -> (Result<(), crate::error::Error>, String, Stream) {
    let mut stream = Stream::new(&asked());
    let (text, ended) = testing::run(&mut sse::Decoder::new(), &mut stream, pieces);
    (ended, text, stream)
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
fn a_loop_goes_on_without_thinking_that_did_not_come_back() {
    for (members, thinks) in testing::loops() {
        let chat = chat(&testing::with(members));
        for (model, thinks) in [("claude-sonnet-4-5", thinks), ("claude-opus-4-6", true)] {
            let mut notes = Notes::default();
            let out = request::body(&chat, model, request::Door::Own, &mut notes);
            let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
            assert_eq!(out.get("thinking").is_some(), thinks, "{model} {out}");
            let dropped = notes.dropped().contains(&"reasoning_effort".into());
            assert_eq!(dropped, !thinks, "{model} {out}");
        }
    }
}

#[test]
fn what_has_no_counterpart_is_refused() {
    for (member, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("moderation", json!({"model": "m"})),
    ] {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        body[member] = value;
        let error = request::body(
            &chat(&body),
            "claude-sonnet-4-5",
            request::Door::Own,
            &mut Notes::default(),
        )
        .expect_err(member);
        assert_eq!(error.param(), Some(member));
    }
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
fn an_error_of_no_special_type_is_told_by_its_status() {
    let body = r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#;
    for (status, class) in [
        (400, Class::Caller),
        (429, Class::RateLimit),
        (500, Class::Transient),
        (503, Class::Overload),
        (529, Class::Overload),
        // A body that says so behind a status that does not.
        (200, Class::Transient),
    ] {
        let status = http::StatusCode::from_u16(status).expect("a status");
        let error = error::read(status, &http::HeaderMap::new(), body.as_bytes());
        assert_eq!(error.class(), Some(class), "{status}");
    }
    let headers = http::HeaderMap::new();
    let late = error::read(http::StatusCode::GATEWAY_TIMEOUT, &headers, body.as_bytes());
    assert_eq!(late.code(), Some("upstream_timeout"));
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

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}

fn refused(body: &Value, model: &str) -> (Option<String>, Option<String>) {
    let error = request::body(
        &chat(body),
        model,
        request::Door::Own,
        &mut Notes::default(),
    )
    .expect_err("refused");
    let text = |text: Option<&str>| text.map(str::to_owned);
    (text(error.param()), text(error.code()))
}

#[test]
fn schemas_and_arguments_keep_the_order_of_their_members() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"},
        {"role":"assistant","tool_calls":[{"id":"functions.f:0","type":"function",
         "function":{"name":"f","arguments":"{\"z\":1,\"a\":1.0}"}}]},
        {"role":"user","content":"Well?"},
        {"role":"tool","tool_call_id":"functions.f:0","content":"ok"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"z":{},"a":{}}}}}],
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"why":{"type":"null"},"answer":{"type":"null"}},"additionalProperties":false}}}}"#;
    let out = request::body(
        &Chat::parse(body.to_owned().into()).expect("a request"),
        "claude-sonnet-4-5",
        request::Door::Own,
        &mut Notes::default(),
    )
    .expect("translates");
    let text = std::str::from_utf8(&out).expect("UTF-8");
    for part in [
        r#""input_schema":{"type":"object","properties":{"z":{},"a":{}}}"#,
        r#""input":{"z":1,"a":1.0}"#,
        r#""schema":{"type":"object","properties":{"why":{"type":"null"},"answer":{"type":"null"}},"additionalProperties":false}"#,
        r#""id":"functions_f_0""#,
        r#""tool_use_id":"functions_f_0""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let out: Value = serde_json::from_slice(&out).expect("JSON");
    let last = &out["messages"][2]["content"];
    assert_eq!(
        (&last[0]["type"], &last[1]["type"]),
        (&json!("tool_result"), &json!("text"))
    );

    let message = br#"{"id":"i","model":"m","content":[{"type":"tool_use","id":"t","name":"f",
        "input":{"z":1,"a":18446744073709551616}}],"stop_reason":"tool_use"}"#;
    let answer = response::answer(message, 7).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["content"], Value::Null);
    assert_eq!(
        said["tool_calls"][0]["function"]["arguments"],
        r#"{"z":1,"a":18446744073709551616}"#
    );
}

#[test]
fn every_tool_choice() {
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, expected, tools) in [
        (json!("auto"), json!({"type": "auto"}), 2),
        (json!("none"), json!({"type": "none"}), 2),
        (json!("required"), json!({"type": "any"}), 2),
        (named.clone(), json!({"type": "tool", "name": "g"}), 2),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}),
            json!({"type": "any"}),
            1,
        ),
    ] {
        let mut body = with("tool_choice", choice);
        body["tools"] = json!([{"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "g"}}]);
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(out["tool_choice"], expected);
        assert_eq!(out["tools"].as_array().map(Vec::len), Some(tools));
    }
}

#[test]
fn thinking_off_by_generation() {
    let body = with("reasoning_effort", json!("none"));
    for (model, kind) in [
        ("claude-sonnet-4-5", Value::Null),
        ("claude-opus-4-7", Value::Null),
        ("claude-opus-5", json!("disabled")),
        ("claude-sonnet-5-5", json!("between_tools")),
    ] {
        assert_eq!(
            translated(&body, model)["thinking"]["type"],
            kind,
            "{model}"
        );
    }
    let code = refused(&body, "claude-opus-5-5").1;
    assert_eq!(code.as_deref(), Some("unsupported_value"));
}

#[test]
fn a_budget_leaves_room_and_small_answers_do_without() {
    for (max, budget) in [
        (8000, json!(6000)),
        (1100, json!(1024)),
        (1024, Value::Null),
    ] {
        let mut body = with("reasoning_effort", json!("high"));
        body["max_tokens"] = max.into();
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(out["thinking"]["budget_tokens"], budget, "{max}");
        assert_eq!(out["max_tokens"], max);
    }
}

#[test]
fn images_formats_and_sampling() {
    let image = |url: &str| {
        let content = json!([{"type": "image_url", "image_url": {"url": url}}]);
        with("messages", json!([{"role": "user", "content": content}]))
    };
    let out = translated(&image("https://host/a.png"), "claude-sonnet-4-5");
    let source = &out["messages"][0]["content"][0]["source"];
    assert_eq!(*source, json!({"type": "url", "url": "https://host/a.png"}));
    let param = refused(&image("data:image/png,raw"), "claude-sonnet-4-5").0;
    assert_eq!(param.as_deref(), Some("messages[0].content[0]"));

    let out = translated(
        &with("response_format", json!({"type": "json_object"})),
        "m",
    );
    assert!(
        out["system"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("JSON"))
    );

    let hot = with("temperature", json!(0.5));
    assert_eq!(translated(&hot, "claude-sonnet-4-5")["temperature"], 0.5);
    let param = refused(&hot, "claude-opus-5").0;
    assert_eq!(param.as_deref(), Some("temperature"));
    let mut both = hot;
    both["top_p"] = 0.5.into();
    assert_eq!(
        refused(&both, "claude-haiku-4-5").0.as_deref(),
        Some("top_p")
    );
    assert_eq!(translated(&both, "claude-opus-4-6")["top_p"], 0.5);
}

#[test]
fn defaults_that_nobody_asked_for_go_without_a_word() {
    for (model, asked, defaults, sent) in [
        ("claude-opus-5", json!({}), [0.7, 0.9], [None, None]),
        ("claude-opus-4-7", json!({}), [0.7, 0.9], [None, None]),
        (
            "claude-sonnet-4-5",
            json!({"reasoning_effort": "high"}),
            [0.7, 1.0],
            [None, None],
        ),
        (
            "claude-sonnet-4-5",
            json!({}),
            [0.7, 0.9],
            [Some(0.7), None],
        ),
        ("claude-sonnet-4-5", json!({}), [2.0, 1.0], [None, None]),
        // What was asked for goes before what was not.
        (
            "claude-haiku-4-5",
            json!({"top_p": 0.5}),
            [0.7, 0.9],
            [None, Some(0.5)],
        ),
        (
            "claude-haiku-4-5",
            json!({"temperature": 0.5}),
            [0.7, 0.9],
            [Some(0.5), None],
        ),
    ] {
        let chat = testing::filled(&testing::with(asked), defaults);
        let mut notes = Notes::of(Contract::default(), &chat);
        let out = request::body(&chat, model, request::Door::Own, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("nothing is refused")).expect("JSON");
        let of = |name: &str| out.get(name).and_then(Value::as_f64);
        assert_eq!([of("temperature"), of("top_p")], sent, "{model}");
        let told = (notes.dropped(), notes.mapped());
        assert_eq!(told, (&[][..], &[][..]), "{model}");
    }
}

#[test]
fn the_web_is_searched_by_the_providers_own_tool() {
    let body = with(
        "web_search_options",
        json!({"search_context_size": "medium", "user_location": {"type": "approximate", "approximate": {"country": "TR"}}}),
    );
    assert_eq!(
        translated(&body, "claude-sonnet-4-5")["tools"],
        json!([{"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "country": "TR"}}])
    );
    let message = json!({"id": "m", "model": "c", "stop_reason": "end_turn", "content": [
        {"type": "text", "text": "Hé, "}, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "so.", "citations": [{"type": "web_search_result_location", "url": "https://a", "title": "A"},
            {"type": "char_location", "document_title": "own"}]}],
        "usage": {"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3}}});
    let answer = response::answer(message.to_string().as_bytes(), 7).expect("reads");
    assert_eq!(answer.usage.map(|it| it.web_searches), Some(3));
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let said = &out["choices"][0]["message"];
    assert_eq!(
        (&said["content"], said.get("tool_calls")),
        (&json!("Hé, so."), None)
    );
    assert_eq!(
        said["annotations"],
        json!([{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 4, "end_index": 7}}])
    );
}

#[test]
fn counts_of_several_passes_are_summed() {
    let message = json!({"id": "m", "model": "c", "content": [], "usage": {"input_tokens": 5, "output_tokens": 6,
        "cache_read_input_tokens": null, "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 7},
            {"type": "message", "input_tokens": 5, "output_tokens": 6}]}});
    let usage = response::answer(message.to_string().as_bytes(), 7)
        .expect("reads")
        .usage
        .expect("counted");
    assert_eq!(
        (usage.input, usage.cached_input, usage.output),
        (112, 7, 16)
    );
}

#[test]
fn a_refusal_is_explained() {
    let stop = json!({"type": "message_delta", "delta": {"stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "x", "explanation": "I may not."}}, "usage": {"output_tokens": 1}});
    let end = json!({"type": "message_stop"});
    let (done, text, _) = run(&[format!("data: {stop}\n\ndata: {end}\n\n").as_bytes()]);
    done.expect("whole");
    assert!(
        text.contains(r#""delta":{"refusal":"I may not."},"finish_reason":"content_filter""#),
        "{text}"
    );
}

const SCHEMA: &str = r#"{"type":"object","properties":{"z":{"type":"null"},"a":{"type":"null"}}}"#;

fn by_schema() -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    with(
        "response_format",
        json!({"type": "json_schema", "json_schema": {"name": "s", "description": "a thing", "schema": schema}}),
    )
}

#[test]
fn a_schema_is_a_tool_for_models_that_know_none() {
    let old = "claude-3-5-haiku-20241022";
    let body = by_schema();
    let mut notes = Notes::default();
    let text = body.to_string();
    let sent = request::body(
        &Chat::parse(text.to_owned().into()).expect("a request"),
        old,
        request::Door::Own,
        &mut notes,
    );
    let sent: Value = serde_json::from_slice(&sent.expect("translates")).expect("JSON");
    assert_eq!(notes.mapped(), ["response_format"]);
    assert_eq!(
        sent["tool_choice"],
        json!({"type": "tool", "name": "gateway__structured_answer", "disable_parallel_tool_use": true})
    );
    assert_eq!(sent["tools"][0]["name"], "gateway__structured_answer");
    assert_eq!(
        sent["tools"][0]["input_schema"],
        serde_json::from_str::<Value>(SCHEMA).expect("JSON")
    );
    assert!(sent["output_config"].is_null());
    // Models that know schemas are given it.
    let sent = translated(&body, "claude-sonnet-4-5");
    assert!(sent["tools"].is_null() && sent["output_config"]["format"]["schema"].is_object());
    // Beside the client's own tools, one of all must be called.
    let mut both = by_schema();
    both["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let sent = translated(&both, old);
    assert_eq!(sent["tool_choice"]["type"], "any");
    assert_eq!(sent["tools"].as_array().map(Vec::len), Some(2));
    both["tool_choice"] = "none".into();
    assert_eq!(translated(&both, old)["tool_choice"]["type"], "tool");
    // No tool's arguments are a list, none is forced on a model that thinks, no two have one name.
    let mut list = by_schema();
    list["response_format"]["json_schema"]["schema"] = json!({"type": "array"});
    assert_eq!(refused(&list, old).0.as_deref(), Some("response_format"));
    let mut thinking = by_schema();
    thinking["reasoning_effort"] = "high".into();
    let refusal = refused(&thinking, "claude-sonnet-4-20250514");
    assert_eq!(refusal.0.as_deref(), Some("response_format"));
    let own = json!([{"type": "function", "function": {"name": "gateway__structured_answer"}}]);
    assert_eq!(
        refused(&with("tools", own), old).0.as_deref(),
        Some("tools")
    );
}

#[test]
fn the_arguments_of_that_tool_are_the_answer() {
    let call = json!({"type": "tool_use", "id": "t", "name": "gateway__structured_answer", "input": {"z": 1, "a": "\u{e9}"}});
    let message = json!({"id": "m", "type": "message", "model": "c", "content": [call],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let answer = response::answer(message.to_string().as_bytes(), 7).expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert!(choice["message"].get("tool_calls").is_none());
    let text = choice["message"]["content"].as_str().expect("a text");
    assert_eq!(
        serde_json::from_str::<Value>(text).expect("JSON"),
        json!({"z": 1, "a": "\u{e9}"})
    );

    let events = [
        json!({"type": "message_start", "message": {"id": "m", "model": "c"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "gateway__structured_answer", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"z\":"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    let text: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let (read, out, _) = run(&[text.as_bytes()]);
    read.expect("whole");
    let said: String = chunks(&out)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, "{\"z\":1}");
    assert!(out.contains("\"finish_reason\":\"stop\"") && !out.contains("tool_calls"));
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(run(&bytes).1, out);
}

#[test]
fn texts_are_documents_of_their_words() {
    for (name, data) in [
        ("a.txt", "SGVsbG8sIHfDtnJsZA=="),
        ("a.txt", "data:text/plain;base64,SGVsbG8sIHfDtnJsZA=="),
        ("a.csv", "data:text/csv;base64,SGVsbG8sIHfDtnJsZA=="),
    ] {
        let part = json!({"type": "file", "file": {"filename": name, "file_data": data}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(
            out["messages"][0]["content"][0],
            json!({"type": "document", "title": name,
                "source": {"type": "text", "media_type": "text/plain", "data": "Hello, w\u{f6}rld"}})
        );
    }
    let part = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "!"}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
    let refusal = refused(&body, "claude-sonnet-4-5");
    assert_eq!(refusal.0.as_deref(), Some("messages[0].content[0]"));
}

#[test]
fn tiers() {
    for (tier, door, sent, dropped, mapped) in [
        ("auto", request::Door::Own, Some("auto"), false, false),
        (
            "default",
            request::Door::Own,
            Some("standard_only"),
            false,
            false,
        ),
        ("priority", request::Door::Own, Some("auto"), false, true),
        ("fast", request::Door::Own, Some("auto"), false, true),
        ("flex", request::Door::Own, None, true, false),
        ("auto", request::Door::Vertex, None, false, false),
        ("default", request::Door::Vertex, None, false, false),
        ("priority", request::Door::Vertex, None, true, false),
    ] {
        let mut notes = Notes::default();
        let body = with("service_tier", tier.into()).to_string();
        let out = request::body(
            &Chat::parse(body.to_owned().into()).expect("a request"),
            "claude-sonnet-4-5",
            door,
            &mut notes,
        );
        let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
        assert_eq!(out["service_tier"].as_str(), sent, "{tier}");
        assert_eq!(!notes.dropped().is_empty(), dropped, "{tier}");
        assert_eq!(!notes.mapped().is_empty(), mapped, "{tier}");
    }
}

#[test]
fn instructions_alone_are_what_the_user_says() {
    let system = json!({"role": "system", "content": "Be brief."});
    let mut body = json!({"model": "m", "messages": [system]});
    let out = translated(&body, "claude-sonnet-4-5");
    let alone = json!([{"role": "user", "content": [{"type": "text", "text": "Be brief."}]}]);
    assert_eq!(out["messages"], alone);
    assert_eq!(out.get("system"), None);
    body["response_format"] = json!({"type": "json_object"});
    let out = translated(&body, "claude-sonnet-4-5");
    assert_eq!(out["messages"], alone);
    assert_eq!(out["system"].as_array().map(Vec::len), Some(1));
}
