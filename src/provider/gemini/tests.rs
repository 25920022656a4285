use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Stream, Streaming, error, request, request::Door, response};
use crate::{
    error::{Class, Error},
    ext::Target,
    parse::Chat,
    provider::{Asked, Notes, TranslateStream},
    sse::{self, Decode},
};

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let mut asked = Asked::new(&chat, &Target::new("gemini", "gemini-2.5-flash"));
    asked.created = 7;
    asked
}

fn translate(body: &Value, model: &str) -> (Result<Value, Error>, Notes) {
    let mut notes = Notes::default();
    let out = request::body(
        &Chat::parse(body.to_string().into()).expect("a request"),
        model,
        Door::Api,
        &mut notes,
    );
    (
        out.map(|out| serde_json::from_slice(&out.body).expect("JSON")),
        notes,
    )
}

fn translated(body: &Value, model: &str) -> Value {
    translate(body, model).0.expect("translates")
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}

#[test]
fn a_conversation_with_tools() {
    let body = json!({"model": "m", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [
            {"type": "text", "text": "Hi"}, {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://host/a.jpg?x"}},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""},
             "extra_content": {"google": {"thought_signature": "sig"}}},
            {"id": "own", "type": "function", "function": {"name": "g", "arguments": "{\"z\":1,\"a\":1.0}"}}]},
        {"role": "tool", "tool_call_id": "own", "content": "2"},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "call_a", "content": "1"}]});
    let out = translated(&body, "gemini-3-pro");
    assert_eq!(
        out["systemInstruction"],
        json!({"parts": [{"text": "Be brief."}, {"text": "Be kind."}]})
    );
    assert_eq!(
        out["contents"],
        json!([
            {"role": "user", "parts": [{"text": "Hi"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://host/a.jpg?x", "mimeType": "image/jpeg"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "sig"},
                {"functionCall": {"id": "own", "name": "g", "args": {"z": 1, "a": 1.0}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "1"}}},
                {"functionResponse": {"id": "own", "name": "g", "response": {"output": "2"}}},
                {"text": "And?"}]}
        ])
    );
}

#[test]
fn a_result_answers_a_call() {
    let body = with(
        "messages",
        json!([{"role": "tool", "tool_call_id": "x", "content": "1"}]),
    );
    let error = translate(&body, "gemini-2.5-pro")
        .0
        .expect_err("no such call");
    assert_eq!(error.param(), Some("messages[0].tool_call_id"));
}

#[test]
fn signatures_come_back_from_either_place_and_calls_of_others_get_none() {
    let call =
        json!({"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let said = |details: Value| {
        with(
            "messages",
            json!([{"role": "assistant", "content": "x", "tool_calls": [call, call], "reasoning_details": details}]),
        )
    };
    let parts = |body: &Value, model: &str| translated(body, model)["contents"][0]["parts"].clone();
    let own = said(json!([
        {"type": "thought_signature", "signature": "text"},
        {"type": "thought_signature", "id": "call_a", "signature": "call"},
        {"type": "thinking", "thinking": "another's"}]));
    let kept = parts(&own, "gemini-3-flash");
    assert_eq!(kept[1], json!({"text": "", "thoughtSignature": "text"}));
    assert_eq!(kept[2]["thoughtSignature"], "call");
    let foreign = said(json!([]));
    let kept = parts(&foreign, "gemini-3-flash");
    assert_eq!(
        kept[1]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    assert_eq!(kept[2]["thoughtSignature"], Value::Null);
    assert_eq!(
        parts(&foreign, "gemini-2.5-pro")[1]["thoughtSignature"],
        Value::Null
    );
}

#[test]
fn every_parameter() {
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}});
    for (member, value, path, expected) in [
        ("temperature", json!(1.5), "temperature", json!(1.5)),
        ("top_p", json!(0.5), "topP", json!(0.5)),
        ("top_k", json!(3), "topK", json!(3)),
        ("max_tokens", json!(9), "maxOutputTokens", json!(9)),
        ("n", json!(2), "candidateCount", json!(2)),
        ("stop", json!("END"), "stopSequences", json!(["END"])),
        ("seed", json!(5), "seed", json!(5)),
        ("seed", json!(4_294_967_296_i64), "seed", json!(1)),
        (
            "frequency_penalty",
            json!(0.5),
            "frequencyPenalty",
            json!(0.5),
        ),
        (
            "presence_penalty",
            json!(-1),
            "presencePenalty",
            json!(-1.0),
        ),
        ("logprobs", json!(true), "responseLogprobs", json!(true)),
        (
            "response_format",
            json!({"type": "json_object"}),
            "responseMimeType",
            json!("application/json"),
        ),
        (
            "response_format",
            schema.clone(),
            "responseMimeType",
            json!("application/json"),
        ),
        (
            "response_format",
            schema,
            "responseJsonSchema",
            json!({"type": "object"}),
        ),
        (
            "modalities",
            json!(["text", "audio"]),
            "responseModalities",
            json!(["TEXT", "AUDIO"]),
        ),
        (
            "reasoning_effort",
            json!("low"),
            "thinkingConfig",
            json!({"thinkingBudget": 2048, "includeThoughts": true}),
        ),
        (
            "reasoning_effort",
            json!("none"),
            "thinkingConfig",
            json!({"thinkingBudget": 0, "includeThoughts": false}),
        ),
    ] {
        let out = translated(&with(member, value.clone()), "gemini-2.5-flash");
        assert_eq!(out["generationConfig"][path], expected, "{member} {value}");
    }
    let out = translated(&with("service_tier", json!("default")), "gemini-2.5-flash");
    assert_eq!(out["serviceTier"], "standard");
    let out = translated(&with("web_search_options", json!({})), "gemini-2.5-flash");
    assert_eq!(out["tools"], json!([{"googleSearch": {}}]));
    assert!(out.get("generationConfig").is_none(), "nothing to say");
}

#[test]
fn what_has_no_counterpart() {
    for (member, value) in [
        ("logit_bias", json!({"1": 1})),
        ("n", json!(9)),
        ("functions", json!([{"name": "f"}])),
    ] {
        let error = translate(&with(member, value), "gemini-2.5-flash")
            .0
            .expect_err(member);
        assert_eq!(error.param(), Some(member));
    }
    for (member, value) in [
        ("user", json!("u")),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("verbosity", json!("low")),
        ("service_tier", json!("scale")),
        ("mine", json!(1)),
    ] {
        let (out, notes) = translate(&with(member, value), "gemini-2.5-flash");
        assert!(out.is_ok(), "{member}");
        assert_eq!(notes.dropped(), [member]);
    }
    let (out, notes) = translate(&with("presence_penalty", json!(1)), "gemini-3.1-pro");
    assert!(out.expect("fine").get("generationConfig").is_none());
    assert_eq!(notes.dropped(), ["presence_penalty"]);
}

#[test]
fn thinking_by_generation() {
    for (model, effort, key, value, changed) in [
        ("gemini-2.5-pro", "none", "thinkingBudget", json!(128), true),
        (
            "gemini-2.5-pro",
            "high",
            "thinkingBudget",
            json!(24576),
            false,
        ),
        (
            "gemini-3-pro-preview",
            "medium",
            "thinkingLevel",
            json!("HIGH"),
            true,
        ),
        (
            "gemini-3-flash",
            "minimal",
            "thinkingLevel",
            json!("MINIMAL"),
            false,
        ),
        (
            "gemini-3.1-pro",
            "minimal",
            "thinkingLevel",
            json!("LOW"),
            true,
        ),
        (
            "gemini-3.7-flash",
            "medium",
            "thinkingLevel",
            json!("MEDIUM"),
            false,
        ),
        (
            "gemini-4-pro",
            "xhigh",
            "thinkingLevel",
            json!("HIGH"),
            true,
        ),
        (
            "gemini-flash-latest",
            "none",
            "thinkingLevel",
            json!("LOW"),
            true,
        ),
        (
            "google/gemini-3-flash",
            "none",
            "thinkingLevel",
            json!("MINIMAL"),
            true,
        ),
    ] {
        let (out, notes) = translate(&with("reasoning_effort", json!(effort)), model);
        let thinking = &out.expect("translates")["generationConfig"]["thinkingConfig"];
        assert_eq!(thinking[key], value, "{model} {effort}");
        assert_eq!(thinking.as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(
            notes.mapped().len(),
            usize::from(changed),
            "{model} {effort}"
        );
    }
    let old = translate(&with("reasoning_effort", json!("low")), "gemini-2.0-flash");
    assert_eq!(old.0.expect_err("cannot").param(), Some("reasoning_effort"));
    let mut small = with("reasoning_effort", json!("high"));
    small["max_tokens"] = 1000.into();
    let out = translated(&small, "gemini-2.5-flash");
    assert_eq!(
        out["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        750
    );
}

#[test]
fn every_tool_choice() {
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, expected) in [
        (json!("auto"), json!({"mode": "AUTO"})),
        (json!("none"), json!({"mode": "NONE"})),
        (json!("required"), json!({"mode": "ANY"})),
        (
            named.clone(),
            json!({"mode": "ANY", "allowedFunctionNames": ["g"]}),
        ),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}),
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["g"]}),
        ),
    ] {
        let mut body = with("tool_choice", choice);
        body["tools"] = json!([
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"z": {}}}}},
            {"type": "custom", "custom": {"name": "g"}}]);
        let out = translated(&body, "gemini-2.5-flash");
        assert_eq!(out["toolConfig"]["functionCallingConfig"], expected);
        let declared = &out["tools"][0]["functionDeclarations"];
        assert_eq!(
            declared[0],
            json!({"name": "f", "description": "d",
            "parametersJsonSchema": {"type": "object", "properties": {"z": {}}}})
        );
        assert_eq!(
            declared[1]["parametersJsonSchema"]["required"],
            json!(["input"])
        );
    }
}

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

fn run(streaming: Streaming, pieces: &[&[u8]]) -> (Result<(), Error>, String, Stream) {
    let mut decoder: Box<dyn Decode> = match streaming {
        Streaming::Events => Box::new(sse::Decoder::new()),
        Streaming::Array => Box::new(sse::json_array::Decoder::new()),
    };
    let mut stream = Stream::new(&asked(), streaming);
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
fn a_stream_however_it_is_framed_and_cut() {
    let (end, expected, stream) = run(Streaming::Events, &[as_events(&events()).as_bytes()]);
    end.expect("whole");
    for words in [
        r#""reasoning_content":"hm""#,
        r#""content":"Hé \"[{\\\"\n""#,
        r#"{"index":0,"id":"call_ré1_0_0","type":"function","function":{"name":"f","arguments":"{\"a\":\"x y\",\"z\":1}"},"extra_content":{"google":{"thought_signature":"s1"}}}"#,
        r#"{"index":1,"id":"own","type":"function","function":{"name":"g","arguments":"{}"}}"#,
        r#""reasoning_details":[{"type":"thought_signature","id":"call_ré1_0_0","signature":"s1"}]"#,
        r#""reasoning_details":[{"type":"thought_signature","signature":"s2"}]"#,
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
fn a_broken_call_is_an_error() {
    let body =
        json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "x"}]});
    let error = response::answer(body.to_string().as_bytes(), &asked()).expect_err("broken");
    assert_eq!(error.class(), Some(Class::Transient));
    let (end, _, _) = run(Streaming::Events, &[as_events(&[body]).as_bytes()]);
    assert_eq!(end.expect_err("broken").class(), Some(Class::Transient));
}

#[test]
fn a_whole_answer() {
    let body = json!({"candidates": [
        {"index": 0, "finishReason": "MAX_TOKENS", "content": {"parts": [
            {"text": "th", "thought": true}, {"text": "Hi "}, {"text": "you"},
            {"executableCode": {"code": "1"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
         "logprobsResult": {"chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}],
            "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1.5}]}]}},
        {"index": 1, "finishReason": "STOP", "content": {"parts": [{"functionCall": {"name": "f", "args": {"z": 1, "a": 2}}}]}}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 6},
        "responseId": "r"});
    let answer = response::answer(format!("{body:#}").as_bytes(), &asked()).expect("reads");
    let usage = answer.usage.expect("counted");
    assert_eq!(
        (usage.input, usage.output, usage.reasoning),
        (1, 5, 2),
        "thoughts are among them"
    );
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        (&out["model"], &out["created"], &out["id"]),
        (&json!("gemini-2.5-flash"), &json!(7), &json!("r"))
    );
    let said = &out["choices"][0];
    assert_eq!(said["message"]["content"], "Hi you");
    assert_eq!(said["message"]["reasoning_content"], "th");
    assert_eq!(
        said["message"]["images"][0]["image_url"]["url"],
        "data:image/png;base64,AA=="
    );
    assert_eq!(said["finish_reason"], "length");
    assert_eq!(
        said["logprobs"]["content"][0],
        json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105],
        "top_logprobs": [{"token": "Ho", "logprob": -1.5, "bytes": [72, 111]}]})
    );
    let called = &out["choices"][1];
    assert_eq!(called["finish_reason"], "tool_calls");
    assert_eq!(called["message"]["content"], Value::Null);
    let call = &called["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"a":2,"z":1}"#);
    assert_eq!(call["id"], "call_r_1_0");
}

/// What was answered, sent back as the next turn, is what the provider had said.
#[test]
fn an_answer_survives_the_round_trip() {
    let parts = json!([
        {"text": "So: "},
        {"text": "", "thoughtSignature": "s0"},
        {"functionCall": {"id": "own", "name": "f", "args": {"a": [1, 2.50]}}, "thoughtSignature": "s1"},
        {"functionCall": {"id": "two", "name": "g", "args": {}}}]);
    let body = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "responseId": "r"});
    let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let back = with("messages", json!([answer["choices"][0]["message"]]));
    let (out, notes) = translate(&back, "gemini-3-pro");
    assert_eq!(
        out.expect("translates")["contents"],
        json!([{"role": "model", "parts": parts}])
    );
    assert!(notes.dropped().is_empty(), "{notes:?}");
}

#[test]
fn errors_by_name_before_status() {
    let detail = |quota: &str| {
        json!([{"@type": "x/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "x/google.rpc.RetryInfo", "retryDelay": "34.4s"}])
    };
    for (code, status, message, details, class) in [
        (400, "INVALID_ARGUMENT", "bad", json!([]), Class::Caller),
        (
            400,
            "INVALID_ARGUMENT",
            "key",
            json!([{"reason": "API_KEY_INVALID"}]),
            Class::Credential,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds",
            json!([]),
            Class::ContextLength,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "enable billing",
            json!([]),
            Class::Quota,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "User location is not supported",
            json!([]),
            Class::Region,
        ),
        (401, "UNAUTHENTICATED", "x", json!([]), Class::Credential),
        (403, "PERMISSION_DENIED", "x", json!([]), Class::Credential),
        (404, "NOT_FOUND", "x", json!([]), Class::ModelGone),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            detail("GenerateRequestsPerDayPerProject"),
            Class::Quota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            detail("GenerateRequestsPerMinute"),
            Class::RateLimit,
        ),
        (500, "INTERNAL", "x", json!([]), Class::Transient),
        (503, "UNAVAILABLE", "x", json!([]), Class::Overload),
        (504, "DEADLINE_EXCEEDED", "x", json!([]), Class::Transient),
    ] {
        let body = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
        for body in [body.to_string(), json!([body]).to_string()] {
            let number = StatusCode::from_u16(code).expect("a status");
            let error = error::read(number, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.class(), Some(class), "{body}");
            if class == Class::RateLimit {
                let wait = error.retry_after().expect("told");
                assert_eq!(wait.as_millis(), 34_400);
            }
            let in_stream = run(Streaming::Events, &[format!("data: {body}\n\n").as_bytes()]);
            if !body.starts_with('[') {
                assert_eq!(
                    in_stream.0.expect_err("an error").class(),
                    Some(class),
                    "{body}"
                );
            }
        }
    }
    let html = error::read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
    assert_eq!(html.class(), Some(Class::Transient));
}
