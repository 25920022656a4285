use super::*;

#[test]
fn a_whole_answer() {
    let (out, usage) = answer(&json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "h\"m", "signature": "sig"}}},
            {"reasoningContent": {"redactedContent": "b3A="}},
            {"text": "Let "}, {"text": "me \u{e9}."},
            {"citationsContent": {"content": [{"text": " Cited."}], "citations": []}},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"z": 1, "a": [2]}}},
            {"toolUse": {"toolUseId": "s1", "name": "web", "input": {}, "type": "server_tool_use"}},
            {"somethingNew": {}}]}},
        "stopReason": "tool_use", "metrics": {"latencyMs": 5},
        "usage": {"inputTokens": 433, "outputTokens": 16, "totalTokens": 3201, "cacheReadInputTokens": 2752,
            "cacheWriteInputTokens": 0, "serverToolUsage": {}}}));
    let choice = &out["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["logprobs"], Value::Null);
    assert_eq!(choice["message"]["content"], "Let me \u{e9}. Cited.");
    assert_eq!(choice["message"]["refusal"], Value::Null);
    assert_eq!(choice["message"]["reasoning_content"], "h\"m");
    assert_eq!(
        choice["message"]["reasoning_details"],
        json!([{"type": "thinking", "thinking": "h\"m", "signature": "sig"}, {"type": "redacted_thinking", "data": "b3A="}])
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["id"], &call["type"]),
        (&json!("t1"), &json!("function"))
    );
    let function = json!({"name": "f", "arguments": "{\"a\":[2],\"z\":1}"});
    assert_eq!(call["function"], function);
    assert_eq!(
        choice["message"]["tool_calls"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(
        out["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("chatcmpl-"))
    );
    assert_eq!((&out["created"], &out["model"]), (&json!(7), &json!(NOVA)));
    assert_eq!(out["usage"]["prompt_tokens"], 433 + 2752);
    assert_eq!(out["usage"]["total_tokens"], 3201);
    assert_eq!(out["usage"]["prompt_tokens_details"]["cached_tokens"], 2752);
    let usage = usage.expect("counted");
    assert_eq!(
        (usage.input, usage.cached_input, usage.output),
        (3185, 2752, 16)
    );
}

#[test]
fn what_is_thought_between_texts_goes_back_to_its_place() {
    let thought = |text: &str| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "s"}}});
    let call = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}});
    let content = json!([
        thought("one"), {"text": "H\u{e9} "}, thought("two"), {"reasoningContent": {"redactedContent": "b3A="}},
        {"text": "you"}, call("a"), thought("three"), call("b")]);
    let (out, _) =
        answer(&json!({"output": {"message": {"content": content}}, "stopReason": "tool_use"}));
    let said = &out["choices"][0]["message"];
    assert_eq!(said["content"], "H\u{e9} you");
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "1"});
    let user = json!({"role": "user", "content": "Hi"});
    let body = with(json!({"messages": [user, said, result("a"), result("b")]}));
    assert_eq!(sent(&body, CLAUDE)["messages"][1]["content"], content);

    let delta = |index: u8, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    let stop = |index: u8| ("contentBlockStop", json!({"contentBlockIndex": index}));
    let events = [
        delta(0, json!({"text": "H\u{e9} "})),
        stop(0),
        delta(1, json!({"reasoningContent": {"text": "two"}})),
        delta(1, json!({"reasoningContent": {"signature": "s"}})),
        stop(1),
        delta(2, json!({"reasoningContent": {"redactedContent": "b3A="}})),
        stop(2),
        delta(3, json!({"text": "you"})),
        stop(3),
        ("messageStop", json!({"stopReason": "end_turn"})),
    ];
    let (text, ended, _) = run(&[frames(&events)]);
    ended.expect("whole");
    let deltas = testing::deltas(&chunks(&text));
    let details = deltas.iter().filter_map(|it| it.get("reasoning_details"));
    let details: Vec<Value> = details.cloned().collect();
    assert_eq!(
        details,
        [
            json!([{"index": 0, "type": "thinking", "thinking": "two", "signature": "s", "x_after": [3, 0]}]),
            json!([{"index": 1, "type": "redacted_thinking", "data": "b3A=", "x_after": [3, 0]}]),
        ]
    );
}

#[test]
fn stop_reasons() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        // There is no call of the client's.
        ("tool_use", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("brand_new", "stop"),
    ] {
        let (out, _) =
            answer(&json!({"output": {"message": {"content": []}}, "stopReason": reason}));
        assert_eq!(out["choices"][0]["finish_reason"], finish, "{reason}");
        assert_eq!(out["choices"][0]["message"]["content"], "");
        assert!(out.get("usage").is_none());
    }
}

#[test]
fn what_the_service_calls_malformed_is_no_answer() {
    for reason in ["malformed_model_output", "malformed_tool_use"] {
        let said = json!({"role": "assistant", "content": [{"text": "x"}]});
        let body = json!({"output": {"message": said}, "stopReason": reason}).to_string();
        let error = response::answer(&asked(), body.as_bytes()).expect_err("no answer");
        assert_eq!(error.class(), Some(Class::Transient), "{reason}");
        let events = [
            (
                "contentBlockDelta",
                json!({"contentBlockIndex": 0, "delta": {"text": "x"}}),
            ),
            ("contentBlockStop", json!({"contentBlockIndex": 0})),
            ("messageStop", json!({"stopReason": reason})),
        ];
        let (text, ended, _) = run(&[frames(&events)]);
        assert_eq!(
            ended.expect_err("no answer").code(),
            Some("bad_upstream_response")
        );
        assert!(!text.contains("finish_reason\":\"") && !text.contains("[DONE]"));
    }
}

#[test]
fn cache_writes_by_their_time() {
    let (_, usage) = answer(&json!({"output": {"message": {"content": []}}, "usage": {
        "inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 10}, {"ttl": "1h", "inputTokens": 20}]}}));
    let usage = usage.expect("counted");
    assert_eq!(
        (usage.input, usage.cache_write, usage.cache_write_1h),
        (31, 10, 20)
    );
}

#[test]
fn nonsense_is_no_answer() {
    for body in [
        "",
        "[]",
        "{}",
        "<html>",
        r#"{"output":null}"#,
        r#"{"message":"x"}"#,
    ] {
        let error = response::answer(&asked(), body.as_bytes()).expect_err(body);
        assert_eq!(error.class(), Some(Class::Transient), "{body}");
    }
}

#[test]
fn without_calls_of_the_clients_it_did_not_end_for_them() {
    let server = json!({"toolUse": {"toolUseId": "s", "name": "web", "input": {}, "type": "server_tool_use"}});
    let (out, _) = answer(
        &json!({"output": {"message": {"content": [{"text": "x"}, server]}}, "stopReason": "tool_use"}),
    );
    assert_eq!(out["choices"][0]["finish_reason"], "stop");
    let start = json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "s", "name": "web", "type": "server_tool_use"}}});
    let events = [
        ("contentBlockStart", start),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "tool_use"})),
    ];
    let (text, ended, _) = run(&[frames(&events)]);
    ended.expect("whole");
    assert!(text.contains(r#""finish_reason":"stop""#), "{text}");
}
