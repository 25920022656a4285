use serde_json::{Value, json};

use super::{Ollama, Stream, request, response};
use crate::{
    error::{Class, Error},
    provider::{
        Asked, Notes, Translate,
        testing::{self, call, chat, chunks, deltas, piece, with},
    },
    sse::ndjson::Decoder,
};

fn asked() -> Asked {
    testing::asked("local", "llama3.2")
}

fn noted(body: &Value, model: &str) -> Result<(Value, Notes), Error> {
    let mut notes = Notes::default();
    let out = request::body(&chat(body), model, &mut notes)?;
    Ok((serde_json::from_slice(&out).expect("JSON"), notes))
}

#[test]
fn members_one_by_one() {
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d"}}, {"type": "custom", "custom": {"name": "g"}}]);
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}});
    for (members, model, path, value) in [
        (json!({}), "llama3.2", "/stream", json!(false)),
        (json!({"stream": true}), "llama3.2", "/stream", json!(true)),
        (
            json!({"temperature": 1.5}),
            "m",
            "/options/temperature",
            json!(1.5),
        ),
        (json!({"top_p": 0.5}), "m", "/options/top_p", json!(0.5)),
        (json!({"logprobs": true}), "m", "/logprobs", json!(true)),
        (json!({"logprobs": false}), "m", "/logprobs", Value::Null),
        (
            json!({"logprobs": true, "top_logprobs": 3}),
            "m",
            "/top_logprobs",
            json!(3),
        ),
        (json!({"seed": 5}), "m", "/options/seed", json!(5)),
        (
            json!({"max_tokens": 5}),
            "m",
            "/options/num_predict",
            json!(5),
        ),
        (json!({"stop": "x"}), "m", "/options/stop", json!(["x"])),
        (
            json!({"presence_penalty": -1}),
            "m",
            "/options/presence_penalty",
            json!(-1.0),
        ),
        (
            json!({"frequency_penalty": 1}),
            "m",
            "/options/frequency_penalty",
            json!(1.0),
        ),
        (json!({"top_k": 5}), "m", "/options/top_k", json!(5)),
        (json!({"min_p": 0.1}), "m", "/options/min_p", json!(0.1)),
        (
            json!({"repeat_penalty": 1.1}),
            "m",
            "/options/repeat_penalty",
            json!(1.1),
        ),
        (
            json!({"num_ctx": 4096}),
            "m",
            "/options/num_ctx",
            json!(4096),
        ),
        (json!({"keep_alive": "5m"}), "m", "/keep_alive", json!("5m")),
        (
            json!({"response_format": {"type": "json_object"}}),
            "m",
            "/format",
            json!("json"),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}),
            "m",
            "/format",
            json!({"type": "object"}),
        ),
        (
            json!({"reasoning_effort": "none"}),
            "m",
            "/think",
            json!(false),
        ),
        (
            json!({"reasoning_effort": "high"}),
            "m",
            "/think",
            json!(true),
        ),
        (
            json!({"reasoning_effort": "max"}),
            "gpt-oss:20b",
            "/think",
            json!("high"),
        ),
        (
            json!({"tools": tools}),
            "m",
            "/tools/0/function/description",
            json!("d"),
        ),
        (
            json!({"tools": tools}),
            "m",
            "/tools/1/function/parameters/required",
            json!(["input"]),
        ),
        (
            json!({"tools": tools, "tool_choice": "none"}),
            "m",
            "/tools",
            Value::Null,
        ),
        (
            json!({"tools": tools, "tool_choice": allowed}),
            "m",
            "/tools/0/function/name",
            json!("g"),
        ),
        (
            json!({"tools": tools, "tool_choice": allowed}),
            "m",
            "/tools/1",
            Value::Null,
        ),
    ] {
        let (out, _) = noted(&with(members.clone()), model).expect("translates");
        let found = out.pointer(path).cloned().unwrap_or_default();
        assert_eq!(found, value, "{members}: {out}");
    }
}

#[test]
fn a_conversation() {
    let (out, notes) = noted(&json!({"model": "m", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]}), "m").expect("translates");
    assert!(notes.dropped().is_empty());
    assert_eq!(
        out["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look", "images": ["QUJD"]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
            {"role": "tool", "content": "1", "tool_call_id": "a", "tool_name": "f"}])
    );
}

#[test]
fn what_cannot_be_said() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (members, param) in [
        (json!({"n": 2}), "n"),
        (
            json!({"tools": tools, "tool_choice": "required"}),
            "tool_choice",
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "f"}}}),
            "tool_choice",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}}]}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        let error = noted(&with(members.clone()), "m")
            .map(|it| it.0)
            .expect_err("refused");
        assert_eq!(error.param(), Some(param), "{members}");
    }
    let members = json!({"user": "u", "logit_bias": {}, "mine": 1, "reasoning_effort": "low"});
    let (_, notes) = noted(&with(members), "m").expect("translates");
    assert_eq!(notes.dropped(), ["user", "mine"]);
    assert_eq!(notes.mapped(), ["reasoning_effort"]);
}

#[test]
fn a_whole_answer() {
    let body = json!({"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop",
        "message": {"role": "assistant", "content": "Hi", "thinking": "hm", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1]}}}, {"id": "own", "function": {"name": "g", "arguments": {}}}]},
        "prompt_eval_count": 4, "eval_count": 2, "total_duration": 1});
    let asked = asked();
    let answer = response::answer(&asked, body.to_string().as_bytes()).expect("an answer");
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let message = &out["choices"][0]["message"];
    assert_eq!(out["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Hi"), &json!("hm"))
    );
    let calls = &message["tool_calls"];
    assert_eq!(
        calls[0]["function"],
        json!({"name": "f", "arguments": "{\"x\":[1]}"})
    );
    assert!(
        calls[0]["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("call_") && id.ends_with("_0"))
    );
    assert_eq!(calls[1]["id"], "own");
    assert_eq!(out["usage"]["total_tokens"], 6);
    for (reason, finish) in [
        ("stop", "stop"),
        ("length", "length"),
        ("load", "stop"),
        ("unload", "stop"),
    ] {
        let body = json!({"message": {"content": ""}, "done": true, "done_reason": reason});
        let answer = response::answer(&asked, body.to_string().as_bytes()).expect("an answer");
        let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(out["choices"][0]["finish_reason"], finish);
        assert_eq!(out.get("usage"), None, "others estimate it");
    }
    for body in ["{}", "[", r#"{"error":"out of memory"}"#] {
        assert!(response::answer(&asked, body.as_bytes()).is_err(), "{body}");
    }
}

fn run(pieces: &[&[u8]]) -> (String, Result<(), Error>) {
    let asked = asked();
    let (text, ended) = testing::run(&mut Decoder::new(), &mut Stream::new(&asked), pieces);
    let id = asked.id().trim_start_matches("chatcmpl-");
    (text.replace(id, "ID"), ended)
}

const LINES: &str = concat!(
    r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
    "\n",
    r#"{"model":"m","message":{"role":"assistant","content":"Hé \""},"done":false}"#,
    "\r\n\n",
    r#"{"model":"m","message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":false}"#,
    "\n",
    r#"{"model":"m","message":{"content":"","tool_calls":[{"id":"x","function":{"name":"g"}}]},"done":false}"#,
    "\n",
    r#"{"model":"m","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":4,"eval_count":2}"#,
);

#[test]
fn a_stream_however_it_is_cut() {
    let (whole, ended) = run(&[LINES.as_bytes()]);
    ended.expect("whole");
    let chunks = chunks(&whole);
    assert_eq!(
        deltas(&chunks),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "hm"}),
            json!({"content": "Hé \""}),
            call(0, "call_ID_0", "f"),
            piece(0, "{\"a\":1}"),
            call(1, "x", "g"),
            piece(1, "{}"),
            json!({}),
            Value::Null,
        ]
    );
    assert_eq!(chunks[7]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[8]["usage"]["prompt_tokens"], 4);
    assert!(whole.ends_with("data: [DONE]\n\n"));
    let single: Vec<&[u8]> = LINES.as_bytes().chunks(1).collect();
    assert_eq!(run(&single).0, whole);
    for at in 0..LINES.len() {
        let (head, tail) = LINES.as_bytes().split_at(at);
        assert_eq!(run(&[head, tail]).0, whole, "{at}");
    }
}

#[test]
fn broken_streams() {
    let line = "{\"message\":{\"content\":\"x\"},\"done\":false}\n";
    assert!(run(&[b""]).1.is_err(), "empty");
    assert!(run(&[line.as_bytes()]).1.is_err(), "cut");
    for bad in ["{\"error\":\"unexpected EOF\"}\n", "nonsense\n", "[1]\n"] {
        let (text, ended) = run(&[line.as_bytes(), bad.as_bytes()]);
        let error = ended.expect_err(bad);
        assert_eq!(error.code(), Some("bad_upstream_response"));
        assert!(text.contains("\"x\"") && !text.contains("[DONE]"));
    }
}

#[test]
fn refusals() {
    let ollama = Ollama::new("http://h").expect("a URL");
    for (status, class) in [
        (400, Class::Caller),
        (404, Class::ModelGone),
        (500, Class::Transient),
    ] {
        let status = http::StatusCode::from_u16(status).expect("a status");
        let body = br#"{"error":"model \"x\" not found"}"#;
        let error = ollama.error(status, &http::HeaderMap::new(), body);
        assert_eq!(error.class(), Some(class));
    }
}

#[test]
fn how_likely_tokens_are_comes_in_the_apis_form() {
    let given = json!([
        {"token": "é", "logprob": -0.25, "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]},
        {"token": "\u{fffd}", "logprob": -1e-7, "bytes": [240]}]);
    let told = json!({"content": [
        {"token": "é", "logprob": -0.25, "bytes": [195, 169],
         "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]},
        {"token": "\u{fffd}", "logprob": -1e-7, "bytes": [240], "top_logprobs": []}],
        "refusal": null});
    let message = json!({"role": "assistant", "content": "é"});
    let line = |done: bool, likely: &Value| {
        json!({"message": message, "done": done, "logprobs": likely}).to_string()
    };
    let answer = response::answer(&asked(), line(true, &given).as_bytes()).expect("an answer");
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(out["choices"][0]["logprobs"], told);
    let text = format!("{}\n{}\n", line(false, &given), line(true, &json!([])));
    let mut stream = Stream::new(&asked());
    let (text, ended) = testing::run(&mut Decoder::new(), &mut stream, [text.as_bytes()]);
    ended.expect("whole");
    let likely: Vec<Value> = chunks(&text)
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/logprobs").cloned())
        .collect();
    assert_eq!(likely, [told]);
}

#[test]
fn likelihoods_that_cannot_be_read_leave_the_answer_whole() {
    let message = json!({"role": "assistant", "content": "x"});
    for likely in [
        json!(5),
        json!("a"),
        json!({"a": 1}),
        json!([1]),
        json!([{"token": 5, "logprob": 0.5}]),
        json!([{"token": "a"}]),
        json!([{"token": "a", "logprob": 0.5, "top_logprobs": 7}]),
    ] {
        let line = json!({"message": message, "done": true, "logprobs": likely}).to_string();
        let answer = response::answer(&asked(), line.as_bytes()).expect("an answer");
        let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(out["choices"][0]["message"]["content"], "x");
        assert_eq!(out["choices"][0]["logprobs"], Value::Null, "{likely}");
        let mut stream = Stream::new(&asked());
        let (_, ended) = testing::run(&mut Decoder::new(), &mut stream, [line.as_bytes()]);
        ended.expect("whole");
    }
}

#[test]
fn a_call_of_no_name_is_no_answer() {
    let call = json!({"function": {"name": "", "arguments": {}}});
    let line = json!({"message": {"content": "", "tool_calls": [call]}, "done": true}).to_string();
    response::answer(&asked(), line.as_bytes()).expect_err("no answer");
    let mut stream = Stream::new(&asked());
    let (text, ended) = testing::run(&mut Decoder::new(), &mut stream, [format!("{line}\n")]);
    ended.expect_err("no answer");
    assert!(!text.contains("tool_calls"), "{text}");
}
