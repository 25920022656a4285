use super::*;

/// What a thinking model streams: thoughts, text, two calls, a grounded end.
fn events() -> Vec<Value> {
    vec![
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": true}]}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}, "modelVersion": "gemini-x", "responseId": "r\u{e9}1"}),
        json!({"candidates": [{"content": {"parts": [{"text": "H\u{e9} \"[{\\\"\n"}]}}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 18}}),
        json!({"candidates": [{"content": {"parts": [
            {"functionCall": {"name": "f", "args": {"z": 1, "a": "x y"}}, "thoughtSignature": "s1"},
            {"functionCall": {"id": "own", "name": "g"}}]}}]}),
        json!({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "s2"}]}, "finishReason": "STOP",
            "groundingMetadata": {"webSearchQueries": ["q"], "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}]}}],
            "usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 2, "toolUsePromptTokenCount": 1,
                "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 13,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 1}]}}),
    ]
}

fn as_events(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\r\n\r\n"))
        .collect()
}

fn as_array(events: &[Value]) -> String {
    let parts: Vec<String> = events.iter().map(|event| format!("{event:#}")).collect();
    format!("[{}\n]\n", parts.join("\n,\r\n"))
}

#[test]
fn a_stream_however_it_is_framed_and_cut() {
    let (end, expected, stream) = run(Streaming::Events, &[as_events(&events()).as_bytes()]);
    end.expect("whole");
    for words in [
        r#""reasoning_content":"hm""#,
        r#""content":"Hé \"[{\\\"\n""#,
        r#"{"index":0,"id":"call_ré1_0_0","type":"function","function":{"name":"f","arguments":"{\"a\":\"x y\",\"z\":1}"},"extra_content":{"google":{"thought_signature":"s1"}}}"#,
        r#"{"index":1,"id":"own","type":"function","function":{"name":"g","arguments":"{}"}}"#,
        r#""reasoning_details":[{"index":0,"type":"thought_signature","id":"call_ré1_0_0","signature":"s1"}]"#,
        r#""reasoning_details":[{"index":1,"type":"thought_signature","signature":"s2"}]"#,
        r#""url_citation":{"url":"https://a","title":"A","start_index":0,"end_index":9}"#,
        r#""finish_reason":"tool_calls""#,
        r#""usage":{"prompt_tokens":6,"completion_tokens":7,"total_tokens":13"#,
        "data: [DONE]\n\n",
    ] {
        assert_eq!(expected.matches(words).count(), 1, "{words} in {expected}");
    }
    for event in expected.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("one line each");
        assert!(
            data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok(),
            "{data}"
        );
    }
    let usage = stream.usage().expect("counted");
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.output,
            usage.reasoning,
            usage.audio_input,
            usage.web_searches
        ),
        (6, 2, 7, 4, 1, 1)
    );
    for (streaming, text) in [
        (Streaming::Events, as_events(&events())),
        (Streaming::Array, as_array(&events())),
    ] {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            let (end, said, _) = run(streaming, &[&bytes[..at], &bytes[at..]]);
            assert!(end.is_ok(), "{streaming:?} split at {at}");
            assert_eq!(said, expected, "{streaming:?} split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(run(streaming, &single).1, expected, "{streaming:?}");
    }
}

#[test]
fn a_stream_without_a_reason_is_cut() {
    let all = events();
    for n in 0..all.len() {
        let (end, text, _) = run(Streaming::Events, &[as_events(&all[..n]).as_bytes()]);
        assert_eq!(end.expect_err("cut").class(), Some(Class::Transient), "{n}");
        assert!(!text.contains("[DONE]") && !text.contains("\"stop\""));
    }
}

#[test]
fn what_was_blocked_is_told() {
    let body = json!({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "usageMetadata": {"promptTokenCount": 3}});
    let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["choices"][0]["message"]["refusal"], "no");
    for body in [body, json!({"promptFeedback": {"blockReason": "OTHER"}})] {
        let (end, text, _) = run(Streaming::Events, &[as_events(&[body]).as_bytes()]);
        end.expect("whole");
        assert_eq!(
            text.matches(r#""finish_reason":"content_filter""#).count(),
            1,
            "{text}"
        );
        assert_eq!(text.matches(r#""role":"assistant""#).count(), 1, "{text}");
    }
    for reason in ["SAFETY", "RECITATION", "OTHER", "MODEL_ARMOR"] {
        let body = json!({"candidates": [{"finishReason": reason}]});
        let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
        assert!(
            answer.body.windows(14).any(|it| it == b"content_filter"),
            "{reason}"
        );
    }
}

#[test]
fn an_answer_that_is_blocked_in_the_middle_is_told() {
    let text = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]});
    let call = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]});
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no"},
        "usageMetadata": {"promptTokenCount": 3}});
    for begun in [text, call] {
        let said = as_events(&[begun, blocked.clone()]);
        let (end, text, stream) = run(Streaming::Events, &[said.as_bytes()]);
        end.expect("whole");
        for words in [
            r#""finish_reason":"content_filter""#,
            r#""refusal":"no""#,
            r#""role":"assistant""#,
            "[DONE]",
        ] {
            assert_eq!(text.matches(words).count(), 1, "{words} in {text}");
        }
        assert_eq!(stream.usage().map(|usage| usage.input), Some(3));
    }
}

#[test]
fn a_call_behind_the_reason_counts() {
    let said = as_events(&[
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}),
        json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}),
    ]);
    let (end, text, _) = run(Streaming::Events, &[said.as_bytes()]);
    end.expect("whole");
    assert!(text.contains(r#""finish_reason":"tool_calls""#), "{text}");
}

#[test]
fn searches_are_charged_by_the_prompt_before_the_third_generation() {
    let grounded = |queries: &[&str]| {
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]},
        "finishReason": "STOP", "groundingMetadata": {"webSearchQueries": queries}}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}})
    };
    for (model, queries, searches) in [
        ("gemini-2.5-flash", &["a", "b", "c"][..], 1),
        ("gemini-2.5-flash", &[], 0),
        ("gemini-3-pro-preview", &["a", "b", "c"], 3),
        ("google/gemini-flash-latest", &["a", "b"], 2),
    ] {
        let asked = testing::asked("gemini", model);
        let body = grounded(queries).to_string();
        let answer = response::answer(body.as_bytes(), &asked).expect("reads");
        let mut stream = Stream::new(&asked);
        let event = as_events(&[grounded(queries)]);
        let (_, end) = testing::run(&mut sse::Decoder::new(), &mut stream, &[event.as_bytes()]);
        end.expect("whole");
        for usage in [answer.usage, stream.usage()] {
            let usage = usage.expect("counted");
            assert_eq!(usage.web_searches, searches, "{model} {queries:?}");
        }
    }
}

#[test]
fn a_broken_call_is_an_error() {
    let body =
        json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "x"}]});
    let error = response::answer(body.to_string().as_bytes(), &asked()).expect_err("broken");
    assert_eq!(error.class(), Some(Class::Transient));
    let (end, _, _) = run(Streaming::Events, &[as_events(&[body]).as_bytes()]);
    assert_eq!(end.expect_err("broken").class(), Some(Class::Transient));
}

#[test]
fn an_end_that_is_not_specified_is_one_where_it_is_the_last_word() {
    let said = |text: &str, reason: Option<&str>| {
        let mut candidate = json!({"content": {"parts": [{"text": text}]}});
        candidate["finishReason"] = reason.into();
        json!({"candidates": [candidate]})
    };
    let somehow = Some("FINISH_REASON_UNSPECIFIED");
    let usage = json!({"usageMetadata": {"promptTokenCount": 5}, "candidates": [{"index": 0}]});
    for (events, whole) in [
        (vec![said("a", None), said("", somehow)], true),
        (vec![said("a", somehow), usage], true),
        (vec![said("a", somehow), said("b", None)], false),
        (vec![said("a", None)], false),
    ] {
        let (end, text, _) = run(Streaming::Events, &[as_events(&events).as_bytes()]);
        assert_eq!(end.is_ok(), whole, "{text}");
        assert_eq!(text.contains(r#""finish_reason":"stop""#), whole, "{text}");
    }
}

fn calls(parts: &[Value]) -> (Result<(), Error>, Vec<Value>) {
    let mut events: Vec<Value> = parts
        .iter()
        .map(|part| json!({"responseId": "r", "candidates": [{"content": {"parts": [part]}}]}))
        .collect();
    events.push(json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}));
    let (end, text, _) = run(Streaming::Events, &[as_events(&events).as_bytes()]);
    (
        end,
        testing::deltas(&testing::chunks(
            text.split("data: {\"error\"").next().expect("some"),
        )),
    )
}

#[test]
fn arguments_in_pieces_are_put_together() {
    let call = |call: Value| json!({"functionCall": call});
    let (end, told) = calls(&[
        call(json!({"name": "f", "willContinue": true})),
        call(
            json!({"partialArgs": [{"jsonPath": "$.z", "stringValue": "a", "willContinue": true}], "willContinue": true}),
        ),
        call(
            json!({"partialArgs": [{"jsonPath": "$.z", "stringValue": "b"}], "willContinue": true}),
        ),
        call(json!({"partialArgs": [{"jsonPath": "$.a[0]", "numberValue": 1}]})),
        call(json!({})),
        // Named and marked again, as others were seen to; the next one begins before its end is told.
        json!({"functionCall": {"id": "i", "name": "g", "partialArgs": [{"jsonPath": "$.a", "boolValue": true}], "willContinue": true}, "thoughtSignature": "s"}),
        call(
            json!({"id": "i", "name": "g", "partialArgs": [{"jsonPath": "$.b", "nullValue": null}], "willContinue": true}),
        ),
        call(json!({"name": "h", "args": {"x": 1}})),
        // Cut with the answer.
        call(json!({"name": "k", "willContinue": true})),
    ]);
    end.expect("whole");
    let mut signed = testing::call(1, "i", "g");
    signed["tool_calls"][0]["extra_content"] = json!({"google": {"thought_signature": "s"}});
    let mut whole = testing::call(2, "call_r_0_2", "h");
    whole["tool_calls"][0]["function"]["arguments"] = json!("{\"x\":1}");
    assert_eq!(
        told,
        [
            json!({"role": "assistant", "content": ""}),
            testing::call(0, "call_r_0_0", "f"),
            testing::piece(0, "{\"z\":\"ab\",\"a\":[1]}"),
            signed,
            json!({"reasoning_details": [{"index": 0, "type": "thought_signature", "id": "i", "signature": "s"}]}),
            testing::piece(1, "{\"a\":true,\"b\":null}"),
            whole,
            testing::call(3, "call_r_0_3", "k"),
            testing::piece(3, "{}"),
            json!({}),
        ]
    );
}

#[test]
fn pieces_without_a_call_are_not_lost_without_a_word() {
    let pieces = json!([{"jsonPath": "$.a", "stringValue": "x"}]);
    let broken = json!([{"jsonPath": "a", "stringValue": "x"}]);
    for call in [
        json!({"partialArgs": pieces}),
        json!({"name": "f", "partialArgs": broken, "willContinue": true}),
    ] {
        let (end, _) = calls(&[json!({"functionCall": call})]);
        let error = end.expect_err("it cannot be told");
        assert_eq!(error.code(), Some("bad_upstream_response"));
        let whole = json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}, "finishReason": "STOP"}]});
        assert!(response::answer(whole.to_string().as_bytes(), &asked()).is_err());
    }
}

#[test]
fn lists_can_be_put_together_by_index() {
    let image = |data: &str| json!({"inlineData": {"mimeType": "image/png", "data": data}});
    let signed = |text: &str| json!({"text": text, "thoughtSignature": text});
    let source = |uri: &str| json!({"web": {"uri": uri, "title": "A"}});
    let event = json!({"candidates": [{
        "content": {"parts": [signed("s"), image("AAAA"), image("BBBB"), signed("t")]},
        "groundingMetadata": {"groundingChunks": [source("https://a"), source("https://b")]},
        "finishReason": "STOP"}]});
    let (ended, text, _) = run(
        Streaming::Events,
        &[format!("data: {event}\n\n").as_bytes()],
    );
    ended.expect("whole");
    let deltas = testing::deltas(&testing::chunks(&text));
    for name in ["reasoning_details", "images", "annotations"] {
        assert_eq!(testing::lists(&deltas, name).len(), 2, "{name} in {text}");
    }
}
