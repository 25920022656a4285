use serde_json::{Value, json};

use super::*;

fn names() -> Names {
    Arc::new(vec![Box::from("free"), Box::from("code")])
}

#[test]
fn custom_tools_are_found() {
    let offered = |tools: Value| {
        let body = json!({"model": "m", "messages": [], "tools": tools});
        let chat = Chat::parse(body.to_string().into()).expect("a request");
        offered(&chat).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let function =
        json!({"type": "function", "function": {"name": "f", "description": "\"custom\""}});
    let custom = json!({"type": "custom", "custom": {"name": "free"}});
    assert_eq!(
        offered(json!([function, custom])),
        Some(vec!["free".to_owned()])
    );
    assert_eq!(offered(json!([function])), None);
}

#[test]
fn a_whole_answer_calls_custom_tools() {
    let call = |id: &str, name: &str, arguments: Value| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let custom = |id: &str, name: &str, input: &str| json!({"id": id, "type": "custom", "custom": {"name": name, "input": input}});
    for (sent, want) in [
        (
            call(
                "a",
                "free",
                json!("{\"input\": \"h\u{e9}\\n\\u00e9\\ud83d\\ude00\\\"\"}"),
            ),
            custom("a", "free", "h\u{e9}\n\u{e9}\u{1f600}\""),
        ),
        (
            call("a", "code", json!({"input": "x"})),
            custom("a", "code", "x"),
        ),
        (call("a", "code", json!("{}")), custom("a", "code", "")),
        (call("a", "code", json!("")), custom("a", "code", "")),
        (call("a", "code", json!(null)), custom("a", "code", "")),
        // Something else was written.
        (
            call("a", "code", json!(" ".repeat(300))),
            custom("a", "code", &" ".repeat(300)),
        ),
        (
            call("a", "code", json!("{\"x\":1}")),
            custom("a", "code", "{\"x\":1}"),
        ),
        (
            call("a", "code", json!("print(1)")),
            custom("a", "code", "print(1)"),
        ),
        (
            call("a", "code", json!("{\"inp")),
            custom("a", "code", "{\"inp"),
        ),
    ] {
        let whole = |call: &Value| {
            let function = json!({"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"input\":\"x\"}"}});
            json!({"id": "c", "choices": [{"index": 0, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": null, "tool_calls": [function, call]}}]})
        };
        let told = answer(&names(), whole(&sent).to_string().as_bytes()).expect("told");
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        assert_eq!(told, whole(&want));
    }
    let other = json!({"choices": [{"message": {"tool_calls": [call("a", "f", json!("{}"))]}}]});
    assert_eq!(answer(&names(), other.to_string().as_bytes()), None);
    assert_eq!(answer(&names(), b"<html>\"tool_calls\""), None);
}

/// The deltas that a stream of these fragments becomes.
fn told(fragments: &[Value]) -> Vec<Value> {
    let text: String = fragments
        .iter()
        .map(|call| {
            let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
            format!("data: {chunk}\n\n")
        })
        .collect();
    let mut out = BytesMut::new();
    Customs::new(names()).events(text.as_bytes(), &mut out);
    let out = std::str::from_utf8(&out).expect("UTF-8");
    let data = out
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("data"));
    data.map(|data| {
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        chunk["choices"][0]["delta"]["tool_calls"][0].clone()
    })
    .collect()
}

#[test]
fn a_stream_calls_custom_tools_wherever_its_pieces_end() {
    let arguments = "{ \"input\" : \"a\\\\\\n\u{e9}\\u00e9 \\ud83d\\ude00\\ud83d \\x}\" }";
    let want = "a\\\n\u{e9}\u{e9} \u{1f600}\u{fffd} \\x}";
    let ends: Vec<usize> = (0..=arguments.len())
        .filter(|at| arguments.is_char_boundary(*at))
        .collect();
    for &first in &ends {
        for &second in ends.iter().filter(|second| **second >= first) {
            let pieces = [
                &arguments[..first],
                &arguments[first..second],
                &arguments[second..],
            ];
            let mut fragments = vec![
                json!({"index": 1, "id": "a", "type": "function", "function": {"name": "code", "arguments": ""}}),
            ];
            fragments.extend(
                pieces
                    .iter()
                    .map(|piece| json!({"index": 1, "function": {"arguments": piece}})),
            );
            let told = told(&fragments);
            assert_eq!(
                told[0],
                json!({"index": 1, "id": "a", "type": "custom", "custom": {"name": "code", "input": ""}})
            );
            let text: String = told
                .iter()
                .map(|call| call["custom"]["input"].as_str().expect("text"))
                .collect();
            assert_eq!(text, want, "{pieces:?}");
        }
    }
}

#[test]
fn calls_of_a_stream_are_told_apart() {
    let open = |index: u64, id: &str, name: &str, arguments: &str| json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let custom = |index: u64, id: &str, name: &str, input: &str| json!({"index": index, "id": id, "type": "custom", "custom": {"name": name, "input": input}});
    let function = json!({"index": 1, "function": {"arguments": "{\"input\":\"z\"}"}});
    // Side by side, a function among them; all at one index.
    assert_eq!(
        told(&[
            open(0, "a", "free", "{\"input\":\"x"),
            open(1, "b", "f", ""),
            json!({"index": 0, "function": {"arguments": "y\"}"}}),
            function.clone(),
            open(0, "c", "code", "{\"input\":\"v\"}"),
            open(0, "d", "f", "{}"),
        ]),
        [
            custom(0, "a", "free", "x"),
            open(1, "b", "f", ""),
            json!({"index": 0, "custom": {"input": "y"}}),
            function,
            custom(0, "c", "code", "v"),
            open(0, "d", "f", "{}"),
        ]
    );
}
