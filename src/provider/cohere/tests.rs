use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Stream, error, request, response};
use crate::{
    error::{Class, Error},
    provider::{
        Asked, Notes,
        testing::{self, call, chat, chunks, deltas, piece, with},
    },
    sse::Decoder,
};

fn asked() -> Asked {
    testing::asked("cohere", "command-a")
}

fn noted(body: &Value) -> Result<(Value, Notes), Error> {
    let mut notes = Notes::default();
    let out = request::body(&chat(body), "command-a", &mut notes)?;
    Ok((serde_json::from_slice(&out).expect("JSON"), notes))
}

fn sent(body: &Value) -> Value {
    noted(body).expect("translates").0
}

#[test]
fn members_one_by_one() {
    let tools = json!([{"type": "function", "function": {"name": "f", "strict": true}}, {"type": "custom", "custom": {"name": "g"}}]);
    let named = json!({"type": "function", "function": {"name": "g"}});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}});
    for (members, path, value) in [
        (json!({}), "/model", json!("command-a")),
        (json!({}), "/stream", json!(false)),
        (json!({"stream": true}), "/stream", json!(true)),
        (json!({"top_p": 0.5}), "/p", json!(0.5)),
        (json!({"top_p": 1}), "/p", json!(0.99)),
        (json!({"top_p": 0}), "/p", json!(0.01)),
        (json!({"top_k": 5}), "/k", json!(5)),
        (json!({"temperature": 1.5}), "/temperature", json!(1.5)),
        (
            json!({"frequency_penalty": 0.5}),
            "/frequency_penalty",
            json!(0.5),
        ),
        (
            json!({"presence_penalty": -2}),
            "/presence_penalty",
            json!(0.0),
        ),
        (
            json!({"frequency_penalty": 2}),
            "/frequency_penalty",
            json!(1.0),
        ),
        (
            json!({"stop": ["a", "b"]}),
            "/stop_sequences",
            json!(["a", "b"]),
        ),
        (json!({"max_completion_tokens": 5}), "/max_tokens", json!(5)),
        (json!({"seed": 5}), "/seed", json!(5)),
        (
            json!({"response_format": {"type": "json_object"}}),
            "/response_format",
            json!({"type": "json_object"}),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}),
            "/response_format",
            json!({"type": "json_object", "json_schema": {"type": "object"}}),
        ),
        (
            json!({"response_format": {"type": "text"}}),
            "/response_format",
            Value::Null,
        ),
        (
            json!({"reasoning_effort": "none"}),
            "/thinking",
            json!({"type": "disabled"}),
        ),
        (
            json!({"reasoning_effort": "low"}),
            "/thinking",
            json!({"type": "enabled", "token_budget": 2048}),
        ),
        (json!({"tools": tools}), "/strict_tools", json!(true)),
        (
            json!({"tools": tools}),
            "/tools/0/function/parameters",
            json!({"type": "object", "properties": {}}),
        ),
        (
            json!({"tools": tools}),
            "/tools/1/function/parameters/required",
            json!(["input"]),
        ),
        (json!({"tools": tools}), "/tool_choice", Value::Null),
        (
            json!({"tools": tools, "tool_choice": "required"}),
            "/tool_choice",
            json!("REQUIRED"),
        ),
        (
            json!({"tools": tools, "tool_choice": "none"}),
            "/tool_choice",
            json!("NONE"),
        ),
        (
            json!({"tools": tools, "tool_choice": named}),
            "/tool_choice",
            json!("REQUIRED"),
        ),
        (
            json!({"tools": tools, "tool_choice": named}),
            "/tools/0/function/name",
            json!("g"),
        ),
        (
            json!({"tools": tools, "tool_choice": named}),
            "/tools/1",
            Value::Null,
        ),
        (
            json!({"tools": tools, "tool_choice": allowed}),
            "/tools/1",
            Value::Null,
        ),
        (json!({"documents": ["a"]}), "/documents", json!(["a"])),
        (
            json!({"citation_options": {"mode": "off"}}),
            "/citation_options/mode",
            json!("off"),
        ),
        (
            json!({"safety_mode": "STRICT"}),
            "/safety_mode",
            json!("STRICT"),
        ),
        (json!({"priority": 3}), "/priority", json!(3)),
    ] {
        let out = sent(&with(members.clone()));
        let found = out.pointer(path).cloned().unwrap_or_default();
        assert_eq!(found, value, "{members}: {out}");
    }
}

#[test]
fn a_conversation() {
    let out = sent(&json!({"model": "m", "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]},
        {"role": "assistant", "reasoning_content": "I will call.", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"role": "assistant", "content": "One."}]}));
    assert_eq!(
        out["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]},
            {"role": "assistant", "tool_plan": "I will call.", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "assistant", "content": "One."}])
    );
}

#[test]
fn what_cannot_be_said() {
    for (members, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logit_bias": {"1": 1}}), "logit_bias"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"tools": [], "tool_choice": "required"}),
            "tool_choice",
        ),
    ] {
        let error = noted(&with(members.clone()))
            .map(|it| it.0)
            .expect_err("refused");
        assert_eq!(
            (error.param(), error.code()),
            (Some(param), Some("unsupported_parameter")),
            "{members}"
        );
    }
    let (_, notes) = noted(&with(
        json!({"user": "u", "metadata": {"a": "b"}, "parallel_tool_calls": false, "mine": 1,
        "tools": [{"type": "function", "function": {"name": "f"}}], "presence_penalty": -1,
        "messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}]}),
    ))
    .expect("translates");
    assert_eq!(
        notes.dropped(),
        [
            "parallel_tool_calls",
            "metadata",
            "user",
            "mine",
            "messages[].reasoning_content"
        ]
    );
    assert_eq!(notes.mapped(), ["presence_penalty"]);
}

#[test]
fn text_beside_calls_is_their_plan() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for (mut said, plan) in [
        (json!({"content": "I will."}), "I will."),
        (
            json!({"content": [{"type": "text", "text": "I "}, {"type": "text", "text": "will."}]}),
            "I will.",
        ),
        (
            json!({"content": "I will.", "reasoning_content": "Hm."}),
            "Hm.\n\nI will.",
        ),
        (
            json!({"content": "", "reasoning_content": "H\u{e9}."}),
            "H\u{e9}.",
        ),
    ] {
        said["role"] = "assistant".into();
        said["tool_calls"] = json!([call]);
        let out = sent(&json!({"model": "m", "messages": [said]}));
        let wanted = json!({"role": "assistant", "tool_plan": plan, "tool_calls": [call]});
        assert_eq!(out["messages"][0], wanted);
    }
}

#[test]
fn a_whole_answer() {
    let body = json!({"id": "c1", "finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_plan": "I will.",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "So"}, {"type": "text", "text": "."}],
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        "usage": {"billed_units": {"input_tokens": 10.0, "output_tokens": 3.0}, "tokens": {"input_tokens": 300.0, "output_tokens": 5.0}, "cached_tokens": 4.0}});
    let answer = response::answer(&asked(), body.to_string().as_bytes()).expect("an answer");
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(out["id"], "c1");
    let choice = &out["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "So.");
    assert_eq!(choice["message"]["reasoning_content"], "I will.Hm.");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"],
        json!({"name": "f", "arguments": "{}"})
    );
    assert_eq!(out["usage"]["prompt_tokens"], 10);
    let usage = answer.usage.expect("counted");
    assert_eq!((usage.input, usage.cached_input, usage.output), (10, 4, 3));
}

#[test]
fn finish_reasons() {
    for (reason, finish) in [
        ("COMPLETE", Ok("stop")),
        ("STOP_SEQUENCE", Ok("stop")),
        ("MAX_TOKENS", Ok("length")),
        ("TOOL_CALL", Ok("tool_calls")),
        ("ERROR_TOXIC", Ok("content_filter")),
        ("NEW", Ok("stop")),
        ("ERROR", Err(Some("bad_upstream_response"))),
        ("TIMEOUT", Err(Some("upstream_timeout"))),
    ] {
        let body = json!({"message": {}, "finish_reason": reason}).to_string();
        let answer = response::answer(&asked(), body.as_bytes());
        let out = answer.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
        match (out, finish) {
            (Ok(out), Ok(finish)) => assert_eq!(out["choices"][0]["finish_reason"], finish),
            (Err(error), Err(code)) => assert_eq!(error.code(), code),
            (out, _) => panic!("{reason}: {out:?}"),
        }
    }
    assert!(response::answer(&asked(), b"{}").is_err());
}

fn everything() -> String {
    let message = |value: Value| json!({"message": value});
    [
        json!({"type": "message-start", "id": "c1", "delta": message(json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}))}),
        json!({"type": "content-start", "index": 0, "delta": message(json!({"content": {"type": "thinking", "thinking": ""}}))}),
        json!({"type": "content-delta", "index": 0, "delta": message(json!({"content": {"thinking": "h\u{e9}"}}))}),
        json!({"type": "content-end", "index": 0}),
        json!({"type": "content-start", "index": 1, "delta": message(json!({"content": {"type": "text", "text": ""}}))}),
        json!({"type": "content-delta", "index": 1, "delta": message(json!({"content": {"text": "Hi \""}}))}),
        json!({"type": "citation-start", "index": 0, "delta": message(json!({"citations": {"start": 0}}))}),
        json!({"type": "citation-end", "index": 0}),
        json!({"type": "content-end", "index": 1}),
        json!({"type": "tool-plan-delta", "delta": message(json!({"tool_plan": "plan"}))}),
        json!({"type": "tool-call-start", "index": 0, "delta": message(json!({"tool_calls": {"id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": message(json!({"tool_calls": {"function": {"arguments": "{\"a\":"}}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": message(json!({"tool_calls": {"function": {"arguments": "1}"}}}))}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "tool-call-start", "index": 1, "delta": message(json!({"tool_calls": {"id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}}))}),
        json!({"type": "tool-call-end", "index": 1}),
        json!({"type": "brand-new"}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 4, "output_tokens": 3}}}}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a name")))
    .chain(["data: [DONE]\n\n".to_owned()])
    .collect()
}

fn run(pieces: &[&[u8]]) -> (String, Result<(), Error>) {
    testing::run(&mut Decoder::new(), &mut Stream::new(&asked()), pieces)
}

#[test]
fn a_stream_however_it_is_cut() {
    let input = everything();
    let (whole, ended) = run(&[input.as_bytes()]);
    ended.expect("whole");
    let chunks = chunks(&whole);
    assert_eq!(
        deltas(&chunks),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "h\u{e9}"}),
            json!({"content": "Hi \""}),
            json!({"citations": [{"index": 0, "start": 0}]}),
            json!({"reasoning_content": "plan"}),
            call(0, "t1", "f"),
            piece(0, "{\"a\":"),
            piece(0, "1}"),
            call(1, "t2", "g"),
            piece(1, "{}"),
            json!({}),
            Value::Null,
        ]
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == "c1" && chunk["model"] == "command-a")
    );
    assert_eq!(chunks[10]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[11]["usage"]["total_tokens"], 7);
    assert!(whole.ends_with("data: [DONE]\n\n") && whole.matches("[DONE]").count() == 1);

    let single: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(run(&single).0, whole);
    for at in 0..input.len() {
        let (head, tail) = input.as_bytes().split_at(at);
        assert_eq!(run(&[head, tail]).0, whole, "{at}");
    }
}

#[test]
fn broken_streams() {
    let start = "data: {\"type\":\"message-start\",\"id\":\"c\"}\n\n";
    assert!(run(&[start.as_bytes()]).1.is_err(), "cut");
    for (event, code) in [
        ("data: nonsense\n\n", "bad_upstream_response"),
        (
            "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\"}}\n\n",
            "bad_upstream_response",
        ),
        (
            "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TIMEOUT\"}}\n\n",
            "upstream_timeout",
        ),
        (
            "data: {\"message\":\"oh\",\"id\":\"x\"}\n\n",
            "bad_upstream_response",
        ),
    ] {
        let (text, ended) = run(&[start.as_bytes(), event.as_bytes()]);
        assert_eq!(ended.expect_err(event).code(), Some(code), "{event}");
        assert!(!text.contains("[DONE]"));
    }
}

#[test]
fn refusals() {
    for (status, body, class) in [
        (400, json!({"id": "x", "message": "bad"}), Class::Caller),
        (
            400,
            json!({"message": "x", "error_type": "TOO_MANY_TOKENS"}),
            Class::ContextLength,
        ),
        (
            400,
            json!({"message": "too many tokens: size limit exceeded"}),
            Class::ContextLength,
        ),
        (401, json!({"message": "x"}), Class::Credential),
        (402, json!({"message": "x"}), Class::Quota),
        (403, json!({"message": "x"}), Class::Forbidden),
        (404, json!({"message": "x"}), Class::ModelGone),
        (422, json!({"message": "x"}), Class::Caller),
        (429, json!({"message": "x"}), Class::RateLimit),
        (498, json!({"message": "x"}), Class::Credential),
        (499, json!({"message": "x"}), Class::Transient),
        (500, json!({"message": "x"}), Class::Transient),
        (501, json!({"message": "x"}), Class::Transient),
        (503, json!({"message": "x"}), Class::Overload),
        (504, json!("not an object"), Class::Transient),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = error::read(status, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(error.class(), Some(class), "{status} {body}");
    }
}

#[test]
fn calls_that_are_written_side_by_side() {
    let event = |kind: &str, index: u8, calls: Value| {
        let event =
            json!({"type": kind, "index": index, "delta": {"message": {"tool_calls": calls}}});
        format!("data: {event}\n\n")
    };
    let begins = |index: u8, id: &str| {
        let call =
            json!({"id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
        event("tool-call-start", index, call)
    };
    let goes_on = |index: u8, text: &str| {
        event(
            "tool-call-delta",
            index,
            json!({"function": {"arguments": text}}),
        )
    };
    let ends = |index: u8| event("tool-call-end", index, json!({}));
    let end = json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}});
    let input = [
        begins(0, "a"),
        begins(1, "b"),
        goes_on(0, "{\"x\":"),
        goes_on(1, "{\"y\":"),
        begins(2, "c"),
        goes_on(1, "2}"),
        ends(1),
        goes_on(0, "1}"),
        ends(0),
        format!("data: {end}\n\n"),
    ]
    .concat();
    let (text, ended) = run(&[input.as_bytes()]);
    ended.expect("whole");
    assert_eq!(
        deltas(&chunks(&text)),
        [
            json!({"role": "assistant", "content": ""}),
            testing::call(0, "a", "f"),
            testing::call(1, "b", "f"),
            testing::piece(0, "{\"x\":"),
            testing::piece(1, "{\"y\":"),
            testing::call(2, "c", "f"),
            testing::piece(1, "2}"),
            testing::piece(0, "1}"),
            testing::piece(2, "{}"),
            json!({}),
        ]
    );
    let many: String = (0..200).map(|index| begins(index, "a")).collect();
    assert!(run(&[many.as_bytes()]).1.is_err());
}

#[test]
fn a_call_of_no_name_is_no_answer() {
    for function in [json!({"arguments": "{}"}), json!({"name": ""}), json!({})] {
        let call = json!({"id": "t", "type": "function", "function": function});
        let whole = json!({"message": {"tool_calls": [call]}, "finish_reason": "TOOL_CALL"});
        response::answer(&asked(), whole.to_string().as_bytes()).expect_err("no answer");
        let event = json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}});
        let (text, ended) = run(&[format!("data: {event}\n\n").as_bytes()]);
        ended.expect_err("no answer");
        assert!(!text.contains("tool_calls"), "{text}");
    }
}
