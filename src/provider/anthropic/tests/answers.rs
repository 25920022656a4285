//! Answers, and refusals.

use super::*;

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
fn what_was_thought_and_not_signed_is_nothing_to_send_back() {
    let message = json!({"type": "message", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}],
        "stop_reason": "max_tokens"});
    let answer = response::answer(message.to_string().as_bytes(), 7).expect("an answer");
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let said = &out["choices"][0]["message"];
    assert_eq!(said["reasoning_content"], "hm");
    assert_eq!(said.get("reasoning_details"), None);
}

#[test]
fn the_client_is_at_fault_only_where_the_status_leaves_it_room() {
    for kind in ["invalid_request_error", "request_too_large"] {
        let body = json!({"type": "error", "error": {"type": kind, "message": "x"}}).to_string();
        for (status, class) in [
            // An error in the place of an answer has no status of its own.
            (200, Class::Caller),
            (400, Class::Caller),
            (413, Class::Caller),
            (422, Class::Caller),
            (401, Class::Credential),
            (404, Class::ModelGone),
            (409, Class::Transient),
            (429, Class::RateLimit),
            (500, Class::Transient),
            (503, Class::Overload),
        ] {
            let status = http::StatusCode::from_u16(status).expect("a status");
            let error = error::read(status, &http::HeaderMap::new(), body.as_bytes());
            assert_eq!(error.class(), Some(class), "{kind} {status}");
        }
    }
}
