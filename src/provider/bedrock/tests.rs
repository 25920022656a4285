use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Bedrock, Stream, error, request, response};
use crate::{
    error::{Class, Error},
    ext::Target,
    parse::Chat,
    provider::{Asked, Contract, Notes, Translate, TranslateStream, Unsupported},
    sse::aws::{Decoder, Kind, write_message},
};

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let mut asked = Asked::new(&chat, &Target::new("aws", NOVA));
    asked.created = 7;
    asked
}

/// A request of one message, with these members.
fn with(members: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(members) = members else {
        panic!("members are an object");
    };
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn noted(body: &Value, model: &str) -> Result<(Value, Notes), Error> {
    let mut notes = Notes::default();
    let out = request::body(
        &Chat::parse(body.to_string().into()).expect("a request"),
        model,
        &mut notes,
    )?;
    Ok((serde_json::from_slice(&out).expect("JSON"), notes))
}

fn sent(body: &Value, model: &str) -> Value {
    noted(body, model).expect("translates").0
}

fn refused(body: &Value, model: &str) -> (String, String) {
    let error = noted(body, model).map(|(out, _)| out).expect_err("refused");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.param()), text(error.code()))
}

#[test]
fn a_model_is_one_segment() {
    let bedrock = Bedrock::new("http://host/prefix/").expect("a URL");
    let chat = Chat::parse(with(json!({"stream": true})).to_string().into()).expect("a request");
    for (model, path) in [
        (NOVA, "/prefix/model/amazon.nova-pro-v1%3A0/converse-stream"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
            "/prefix/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse-stream",
        ),
        (
            "../a?b#ü",
            "/prefix/model/..%2Fa%3Fb%23%C3%BC/converse-stream",
        ),
    ] {
        let target = Target::new("aws", model);
        let request = bedrock.request(&chat, &target, &mut Notes::default());
        assert_eq!(request.expect("a request").uri().path(), path);
    }
}

#[test]
fn members_one_by_one() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let spec = json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]);
    for (members, model, path, value) in [
        (
            json!({"max_completion_tokens": 9}),
            NOVA,
            "/inferenceConfig/maxTokens",
            json!(9),
        ),
        (
            json!({"max_tokens": 0}),
            NOVA,
            "/inferenceConfig/maxTokens",
            json!(1),
        ),
        (
            json!({"temperature": 0.5}),
            NOVA,
            "/inferenceConfig/temperature",
            json!(0.5),
        ),
        (
            json!({"temperature": 1.7}),
            NOVA,
            "/inferenceConfig/temperature",
            json!(1.0),
        ),
        (
            json!({"temperature": 1}),
            CLAUDE,
            "/inferenceConfig",
            Value::Null,
        ),
        (
            json!({"top_p": 0.5}),
            NOVA,
            "/inferenceConfig/topP",
            json!(0.5),
        ),
        (
            json!({"stop": "x"}),
            NOVA,
            "/inferenceConfig/stopSequences",
            json!(["x"]),
        ),
        (
            json!({"stop": ["x", "", "y"]}),
            NOVA,
            "/inferenceConfig/stopSequences",
            json!(["x", "y"]),
        ),
        (
            json!({"top_k": 5}),
            CLAUDE,
            "/additionalModelRequestFields/top_k",
            json!(5),
        ),
        (
            json!({"top_k": 5}),
            NOVA,
            "/additionalModelRequestFields/inferenceConfig/topK",
            json!(5),
        ),
        (
            json!({"service_tier": "default"}),
            NOVA,
            "/serviceTier/type",
            json!("default"),
        ),
        (
            json!({"service_tier": "fast"}),
            NOVA,
            "/serviceTier/type",
            json!("priority"),
        ),
        (
            json!({"service_tier": "auto"}),
            NOVA,
            "/serviceTier",
            Value::Null,
        ),
        (
            json!({"metadata": {"a": "b"}}),
            NOVA,
            "/requestMetadata",
            json!({"a": "b"}),
        ),
        (
            json!({"metadata": {}}),
            NOVA,
            "/requestMetadata",
            Value::Null,
        ),
        (
            json!({"guardrailConfig": {"x": 1}}),
            NOVA,
            "/guardrailConfig",
            json!({"x": 1}),
        ),
        (
            json!({"performanceConfig": {"latency": "optimized"}}),
            NOVA,
            "/performanceConfig/latency",
            json!("optimized"),
        ),
        (
            json!({"additionalModelResponseFieldPaths": ["/a"]}),
            NOVA,
            "/additionalModelResponseFieldPaths/0",
            json!("/a"),
        ),
        (
            json!({"additionalModelRequestFields": {"a": 1}}),
            NOVA,
            "/additionalModelRequestFields/a",
            json!(1),
        ),
        (
            json!({"tools": tool}),
            NOVA,
            "/toolConfig/tools",
            spec.clone(),
        ),
        (
            json!({"tools": tool, "tool_choice": "auto"}),
            NOVA,
            "/toolConfig/toolChoice",
            Value::Null,
        ),
        (
            json!({"tools": tool, "tool_choice": "required"}),
            NOVA,
            "/toolConfig/toolChoice",
            json!({"any": {}}),
        ),
        (
            json!({"tools": tool, "tool_choice": {"type": "function", "function": {"name": "f"}}}),
            NOVA,
            "/toolConfig/toolChoice",
            json!({"tool": {"name": "f"}}),
        ),
        (
            json!({"tools": tool, "tool_choice": "none"}),
            NOVA,
            "/toolConfig",
            Value::Null,
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false}),
            CLAUDE,
            "/additionalModelRequestFields/tool_choice",
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false, "tool_choice": "required"}),
            CLAUDE,
            "/additionalModelRequestFields/tool_choice/type",
            json!("any"),
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false, "tool_choice": "required"}),
            CLAUDE,
            "/toolConfig/toolChoice",
            Value::Null,
        ),
        (
            json!({"reasoning_effort": "high"}),
            CLAUDE,
            "/additionalModelRequestFields/thinking/type",
            json!("enabled"),
        ),
        (
            json!({"reasoning_effort": "high"}),
            "anthropic.claude-opus-5-v1",
            "/additionalModelRequestFields/output_config/effort",
            json!("high"),
        ),
        (
            json!({"reasoning_effort": "none"}),
            "anthropic.claude-opus-5-v1",
            "/additionalModelRequestFields/thinking/type",
            json!("disabled"),
        ),
        (
            json!({"reasoning_effort": "xhigh"}),
            NOVA,
            "/additionalModelRequestFields/reasoningConfig",
            json!({"type": "enabled", "maxReasoningEffort": "high"}),
        ),
        (
            json!({"reasoning_effort": "low"}),
            "openai.gpt-oss-120b-1:0",
            "/additionalModelRequestFields/reasoning_effort",
            json!("low"),
        ),
        (
            json!({"reasoning_effort": "none"}),
            "meta.llama3",
            "/additionalModelRequestFields",
            Value::Null,
        ),
        (
            json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
            CLAUDE,
            "/messages/0/content/1",
            json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        ),
        (
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            NOVA,
            "/stream",
            Value::Null,
        ),
    ] {
        let out = sent(&with(members.clone()), model);
        let found = out.pointer(path).cloned().unwrap_or_default();
        assert_eq!(found, value, "{members}: {out}");
    }
}

#[test]
fn schemas_are_text_and_keep_their_order() {
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[],"response_format":{{"type":"json_schema","json_schema":{{"name":"n","description":"d","schema":{schema}}}}},
        "tools":[{{"type":"function","function":{{"name":"f","description":"","strict":true,"parameters":{{"properties":{{"z":{{}},"a":{{}}}}}}}},"cache_control":{{"type":"ephemeral"}}}},
        {{"type":"custom","custom":{{"name":"c","description":"free"}}}}]}}"#
    );
    let out = request::body(
        &Chat::parse(body.to_owned().into()).expect("a request"),
        NOVA,
        &mut Notes::default(),
    )
    .expect("translates");
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    assert!(
        text.contains(r#"{"type":"object","properties":{"z":{},"a":{}}}"#),
        "{text}"
    );
    let out: Value = serde_json::from_str(&text).expect("JSON");
    let format = &out["outputConfig"]["textFormat"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(
        format["structure"]["jsonSchema"],
        json!({"schema": schema, "name": "n", "description": "d"})
    );
    let tools = &out["toolConfig"]["tools"];
    assert_eq!(tools[0]["toolSpec"]["strict"], true);
    assert!(tools[0]["toolSpec"].get("description").is_none());
    assert_eq!(tools[1], json!({"cachePoint": {"type": "default"}}));
    assert_eq!(tools[2]["toolSpec"]["description"], "free");
    assert_eq!(
        tools[2]["toolSpec"]["inputSchema"]["json"]["required"],
        json!(["input"])
    );
}

#[test]
fn a_conversation_with_everything_in_it() {
    let body = json!({"model": "m",
        "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}},
        "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief.", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [
            {"type": "text", "text": " "},
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD"}, "cache_control": {"type": "ephemeral"}},
            {"type": "file", "file": {"filename": "my_notes  v2.pdf", "file_data": "data:application/pdf;base64,UERG"}},
            {"type": "file", "file": {"filename": "a.csv", "file_data": "QUJD"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}]},
        {"role": "user", "content": "please"},
        {"role": "assistant", "content": "Well", "reasoning_details": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"}, {"type": "other"}],
         "tool_calls": [{"id": "call 1", "type": "function", "function": {"name": "f", "arguments": "{\"z\":1,\"a\":2}"}},
                        {"id": "x".repeat(80), "type": "custom", "custom": {"name": "g", "input": "free"}}]},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "x".repeat(80), "content": [{"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "call 1", "content": ""}]});
    let (out, notes) = noted(&body, CLAUDE).expect("translates");
    assert!(notes.dropped().is_empty() && notes.mapped().is_empty());
    assert_eq!(
        out["system"],
        json!([{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "Be kind."}])
    );
    assert_eq!(
        out["messages"][0],
        json!({"role": "user", "content": [
            {"text": "Look"},
            {"image": {"format": "jpeg", "source": {"bytes": "QUJD"}}},
            {"cachePoint": {"type": "default"}},
            {"document": {"format": "pdf", "name": "my notes v2", "source": {"bytes": "UERG"}}},
            {"document": {"format": "csv", "name": "a", "source": {"bytes": "QUJD"}}},
            {"audio": {"format": "wav", "source": {"bytes": "QUJD"}}},
            {"text": "please"}]})
    );
    let spoken = &out["messages"][1]["content"];
    assert_eq!(
        spoken[0],
        json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}})
    );
    assert_eq!(
        spoken[1],
        json!({"reasoningContent": {"redactedContent": "b3BhcXVl"}})
    );
    assert_eq!(spoken[2], json!({"text": "Well"}));
    let ids: Vec<&str> = [3, 4]
        .map(|at: usize| spoken[at]["toolUse"]["toolUseId"].as_str().expect("an id"))
        .into();
    for id in &ids {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        assert!((1..=64).contains(&id.len()) && id.chars().all(fits), "{id}");
    }
    assert_eq!(spoken[3]["toolUse"]["input"], json!({"z": 1, "a": 2}));
    assert_eq!(spoken[4]["toolUse"]["input"], json!({"input": "free"}));
    let back = &out["messages"][2]["content"];
    assert_eq!(
        back[0],
        json!({"toolResult": {"toolUseId": ids[1], "content": [{"text": "2"}]}})
    );
    assert_eq!(
        back[1],
        json!({"toolResult": {"toolUseId": ids[0], "content": [{"text": "(no output)"}]}})
    );
    assert_eq!(back[2], json!({"text": "And?"}));
    assert_eq!(out["toolConfig"]["tools"].as_array().map(Vec::len), Some(1));
    assert_eq!(out["toolConfig"]["toolChoice"], json!({"any": {}}));
}

#[test]
fn a_conversation_with_calls_keeps_its_tools() {
    let history = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]);
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d"}}]);
    let mut body = json!({"model": "m", "messages": history});
    let out = sent(&body, CLAUDE);
    assert_eq!(out["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"]["type"],
        "none"
    );
    assert_eq!(
        sent(&body, NOVA)["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "f"
    );
    body["tools"] = tools;
    body["tool_choice"] = "none".into();
    let out = sent(&body, CLAUDE);
    assert_eq!(
        out["toolConfig"]["tools"][0]["toolSpec"]["description"],
        "d"
    );
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"]["type"],
        "none"
    );
    assert_eq!(refused(&body, NOVA).0, "tool_choice");
}

#[test]
fn what_is_refused_says_where() {
    let part = |part: Value| with(json!({"messages": [{"role": "user", "content": [part]}]}));
    let at = "messages[0].content[0]";
    for (body, model, param, code) in [
        (with(json!({"n": 2})), NOVA, "n", "unsupported_parameter"),
        (
            with(json!({"logprobs": true})),
            NOVA,
            "logprobs",
            "unsupported_parameter",
        ),
        (
            with(json!({"logit_bias": {"1": 2}})),
            NOVA,
            "logit_bias",
            "unsupported_parameter",
        ),
        (
            with(json!({"web_search_options": {}})),
            NOVA,
            "web_search_options",
            "unsupported_parameter",
        ),
        (
            with(json!({"functions": [{"name": "f"}]})),
            NOVA,
            "functions",
            "unsupported_parameter",
        ),
        (
            with(json!({"reasoning_effort": "low"})),
            "meta.llama3",
            "reasoning_effort",
            "unsupported_parameter",
        ),
        (
            with(json!({"reasoning_effort": "none"})),
            "anthropic.claude-opus-5-5",
            "reasoning_effort",
            "unsupported_value",
        ),
        (
            with(json!({"temperature": 0.5})),
            "anthropic.claude-opus-5",
            "temperature",
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://host/a.png"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "file", "file": {"file_id": "f"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "", "format": "ogg"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            with(json!({"messages": [{"role": "function", "name": "f", "content": "1"}]})),
            NOVA,
            "messages[0].role",
            "unsupported_parameter",
        ),
        (
            with(
                json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "[1"}}]}]}),
            ),
            NOVA,
            "messages[0].tool_calls[0].function.arguments",
            "invalid_request_error",
        ),
    ] {
        let (found, said) = refused(&body, model);
        assert_eq!(found, param, "{body}");
        if code.starts_with("uns") {
            assert_eq!(said, code, "{body}");
        }
    }
}

#[test]
fn what_is_dropped_or_changed_is_said() {
    let body = with(json!({
        "seed": 1, "user": "u", "safety_identifier": "s", "presence_penalty": 1, "frequency_penalty": 1,
        "prediction": {"type": "content", "content": "x"}, "verbosity": "low", "store": true,
        "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {},
        "service_tier": "scale", "top_k": 3, "mine": 1, "temperature": 2, "top_p": 1,
        "response_format": {"type": "json_object"}, "reasoning_effort": "max",
        "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": false}));
    let (out, notes) = noted(&body, "openai.gpt-oss-20b-1:0").expect("translates");
    let mut dropped = notes.dropped().to_vec();
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "frequency_penalty",
            "mine",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
            "seed",
            "service_tier",
            "store",
            "top_k",
            "user",
            "verbosity"
        ]
    );
    assert_eq!(
        notes.mapped(),
        ["reasoning_effort", "temperature", "response_format"]
    );
    assert!(
        out["system"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("JSON"))
    );

    let mut strict = Notes::new(Contract::new(Unsupported::Refuse));
    assert!(
        request::body(
            &Chat::parse(body.to_string().into()).expect("a request"),
            NOVA,
            &mut strict
        )
        .is_err()
    );
    let mut loose = Notes::new(Contract::new(Unsupported::Drop));
    let two = with(json!({"n": 2, "logprobs": true}));
    request::body(
        &Chat::parse(two.to_string().into()).expect("a request"),
        NOVA,
        &mut loose,
    )
    .expect("dropped");
    assert_eq!(loose.dropped(), ["n", "logprobs"]);
}

fn answer(body: &Value) -> (Value, Option<crate::wire::Usage>) {
    let answer = response::answer(&asked(), body.to_string().as_bytes()).expect("an answer");
    let json = serde_json::from_slice(&answer.body).expect("JSON");
    (json, answer.usage)
}

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
fn stop_reasons() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "stop"),
        ("malformed_tool_use", "stop"),
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

/// A stream as the service sends it, padding and all.
fn frames(events: &[(&str, Value)]) -> Bytes {
    let mut out = BytesMut::new();
    for (name, payload) in events {
        let mut payload = payload.clone();
        payload["p"] = "abcdefgh".into();
        let kind = if name.ends_with("Exception") {
            Kind::Exception
        } else {
            Kind::Event
        };
        write_message(&mut out, kind, name, payload.to_string().as_bytes());
    }
    out.freeze()
}

/// What a stream becomes, its pieces cut so.
fn run(pieces: &[Bytes]) -> (String, Result<(), Error>, Option<crate::wire::Usage>) {
    let mut stream = Stream::new(&asked());
    let mut decoder = Decoder::new();
    let mut out = BytesMut::new();
    let mut feed = || -> Result<(), Error> {
        for piece in pieces {
            decoder.push(piece.clone());
            while let Some(event) = decoder.next() {
                let event = event.expect("intact");
                stream.event(event.name(), event.data(), &mut out)?;
            }
        }
        assert!(decoder.finish().is_none());
        stream.finish(&mut out)
    };
    let ended = feed();
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    (text, ended, stream.usage())
}

fn chunks(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter(|event| !event.is_empty());
    data.map(|event| event.strip_prefix("data: ").expect("data"))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

fn everything() -> Bytes {
    frames(&[
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h\u{e9}"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "m"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": "b3A="}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"text": "Hi \""}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"text": ""}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"citation": {"title": "x"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 2})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": ""}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{\"a\":"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": "1}"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 3})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 4, "start": {"toolUse": {"toolUseId": "t2", "name": "g"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 4})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 5, "start": {"toolResult": {"toolUseId": "s"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 5, "delta": {"toolUse": {"input": "foreign"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 5})),
        ("brandNew", json!({})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 4, "outputTokens": 3, "cacheReadInputTokens": 8}, "metrics": {"latencyMs": 1}}),
        ),
    ])
}

#[test]
fn a_stream_with_everything_in_it() {
    let (text, ended, usage) = run(&[everything()]);
    ended.expect("whole");
    assert!(text.ends_with("data: [DONE]\n\n"));
    let deltas: Vec<Value> = chunks(&text)
        .into_iter()
        .map(|chunk| {
            chunk["choices"]
                .get(0)
                .map_or(Value::Null, |it| it["delta"].clone())
        })
        .collect();
    let call = |index: u8, name: &str, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let piece = |index: u8, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "h\u{e9}"}),
            json!({"reasoning_content": "m"}),
            json!({"reasoning_details": [{"type": "thinking", "thinking": "h\u{e9}m", "signature": "sig"}]}),
            json!({"reasoning_details": [{"type": "redacted_thinking", "data": "b3A="}]}),
            json!({"content": "Hi \""}),
            call(0, "f", "t1"),
            piece(0, "{\"a\":"),
            piece(0, "1}"),
            call(1, "g", "t2"),
            piece(1, "{}"),
            json!({}),
            Value::Null,
        ]
    );
    let all = chunks(&text);
    let last = all.last().expect("some");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 12);
    assert_eq!(
        all[all.len() - 2]["choices"][0]["finish_reason"],
        "tool_calls"
    );
    let same = |chunk: &Value| {
        chunk["id"] == all[0]["id"] && chunk["created"] == 7 && chunk["model"] == NOVA
    };
    assert!(all.iter().all(same));
    assert_eq!(usage.map(|it| (it.input, it.output)), Some((12, 3)));
}

#[test]
fn a_stream_however_it_is_cut() {
    let input = everything();
    let id = |text: &str| chunks(text)[0]["id"].as_str().expect("an id").to_owned();
    let plain = |pieces: &[Bytes]| {
        let (text, ended, _) = run(pieces);
        ended.expect("whole");
        text.replace(&id(&text), "ID")
    };
    let whole = plain(std::slice::from_ref(&input));
    let single: Vec<Bytes> = (0..input.len()).map(|at| input.slice(at..=at)).collect();
    assert_eq!(plain(&single), whole);
    for at in 0..input.len() {
        assert_eq!(
            plain(&[input.slice(..at), input.slice(at..)]),
            whole,
            "{at}"
        );
    }
}

#[test]
fn exceptions_and_cuts() {
    let start = ("messageStart", json!({"role": "assistant"}));
    let text = (
        "contentBlockDelta",
        json!({"contentBlockIndex": 0, "delta": {"text": "x"}}),
    );
    let stop = ("messageStop", json!({"stopReason": "end_turn"}));
    for (name, payload, class) in [
        (
            "throttlingException",
            json!({"message": "slow"}),
            Class::RateLimit,
        ),
        (
            "internalServerException",
            json!({"message": "x"}),
            Class::Transient,
        ),
        (
            "serviceUnavailableException",
            json!({"message": "x"}),
            Class::Overload,
        ),
        (
            "validationException",
            json!({"message": "Input is too long for requested model."}),
            Class::ContextLength,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "x", "originalStatusCode": 429, "originalMessage": "y"}),
            Class::RateLimit,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "x"}),
            Class::Transient,
        ),
    ] {
        let (out, ended, _) = run(&[frames(&[start.clone(), text.clone(), (name, payload)])]);
        assert_eq!(
            ended.expect_err("an exception").class(),
            Some(class),
            "{name}"
        );
        assert!(!out.contains("[DONE]"));
    }
    let mut out = BytesMut::new();
    write_message(&mut out, Kind::Error, "500", b"sorry");
    assert!(run(&[out.freeze()]).1.is_err());

    assert!(
        run(&[frames(&[start.clone(), text.clone()])]).1.is_err(),
        "cut"
    );
    assert!(run(&[Bytes::new()]).1.is_err(), "empty");
    let (out, ended, usage) = run(&[frames(&[start, text, stop])]);
    assert!(ended.is_ok() && usage.is_none() && out.ends_with("data: [DONE]\n\n"));
}

#[test]
fn refusals() {
    let long = "The model returned the following errors: Input is too long for requested model.";
    for (status, code, message, class) in [
        (
            400,
            "ValidationException:http://internal/",
            "bad",
            Class::Caller,
        ),
        (400, "ValidationException", long, Class::ContextLength),
        (
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
            Class::ModelGone,
        ),
        (400, "ServiceQuotaExceededException", "x", Class::Quota),
        (403, "AccessDeniedException", "x", Class::Credential),
        (403, "UnrecognizedClientException", "x", Class::Credential),
        (403, "InvalidSignatureException", "x", Class::Credential),
        (403, "ExpiredTokenException", "x", Class::Credential),
        (404, "ResourceNotFoundException", "x", Class::ModelGone),
        (408, "ModelTimeoutException", "x", Class::Transient),
        (424, "ModelErrorException", "x", Class::Transient),
        (429, "ThrottlingException", "x", Class::RateLimit),
        (429, "ModelNotReadyException", "x", Class::Overload),
        (500, "InternalServerException", "x", Class::Transient),
        (503, "ServiceUnavailableException", "x", Class::Overload),
        (418, "", "x", Class::Caller),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let body = json!({"message": message}).to_string();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(code).expect("text");
        headers.insert("x-amzn-errortype", kind);
        let by_header = error::read(status, &headers, body.as_bytes());
        assert_eq!(by_header.class(), Some(class), "{code}");
        let body =
            json!({"message": message, "__type": format!("com.amazon.coral.service#{code}")});
        let by_body = error::read(status, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(by_body.class(), Some(class), "{code} in the body");
    }
    let status = StatusCode::BAD_REQUEST;
    let error = error::read(status, &HeaderMap::new(), br#"{"message":"no such tool"}"#);
    assert_eq!(
        (error.message(), error.kind()),
        ("no such tool", crate::error::Kind::Format)
    );
}

#[test]
fn a_schema_is_a_tool_for_models_that_know_none() {
    let old = "anthropic.claude-3-haiku-20240307-v1:0";
    let name = "gateway__structured_answer";
    let schema = json!({"type": "object", "properties": {"a": {}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
    let body = with(json!({"response_format": format}));
    let (out, notes) = noted(&body, old).expect("translates");
    assert_eq!(notes.mapped(), ["response_format"]);
    let spec = &out["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(
        (&spec["name"], &spec["inputSchema"]["json"]),
        (&json!(name), &schema)
    );
    assert!(out["outputConfig"].is_null() && out["toolConfig"]["toolChoice"].is_null());
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"],
        json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
    );
    assert!(sent(&body, CLAUDE)["toolConfig"].is_null());
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (choice, kind) in [("auto", "any"), ("none", "tool")] {
        let both = with(json!({"response_format": format, "tools": tools, "tool_choice": choice}));
        let out = sent(&both, old);
        assert_eq!(
            out["additionalModelRequestFields"]["tool_choice"]["type"],
            kind
        );
    }
    let own = with(
        json!({"response_format": format, "tools": [{"type": "function", "function": {"name": name}}]}),
    );
    assert_eq!(refused(&own, old).0, "tools");

    let call = json!({"toolUse": {"toolUseId": "t", "name": name, "input": {"a": 1}}});
    let (whole, _) =
        answer(&json!({"output": {"message": {"content": [call]}}, "stopReason": "tool_use"}));
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], "{\"a\":1}");
    assert_eq!(choice["finish_reason"], "stop");
    assert!(choice["message"]["tool_calls"].is_null());
    let all = frames(&[
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": name}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"a\":"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "1}"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "tool_use"})),
    ]);
    let (out, ended, _) = run(&[all]);
    ended.expect("whole");
    let chunks = chunks(&out);
    let said = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), "{\"a\":1}");
    assert!(out.contains("\"finish_reason\":\"stop\"") && !out.contains("tool_calls"));
}
