use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::request;

#[test]
fn every_member_is_borrowed() {
    let body = r#"{"model":"m","messages":[
        {"role":"system","content":"be\nbrief"},
        {"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
          {"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},
          {"type":"file","file":{"file_data":"AA==","filename":"a.txt"},"prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}},
          {"type":"other","what":1}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""}},{"id":"d","type":"custom","custom":{"name":"g","input":"x\"y"}}]},
        {"role":"tool","tool_call_id":"c","content":"42"}],
        "temperature":1,"max_tokens":1e2,"stop":"END","tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},
        "user":null,"top_k":5,"x":null}"#;
    let request = Request::parse(body.as_bytes()).expect("parses");
    assert_eq!(request.max_output(), Some(100));
    assert_eq!(&*request.stop.expect("given").0[0], "END");
    assert!(request.user.is_none());
    assert_eq!(request.rest.len(), 1);
    let Some(Content::Parts(parts)) = &request.messages[1].content else {
        panic!("parts");
    };
    assert!(matches!(
        parts[0].text.clone().expect("text").into_cow(),
        std::borrow::Cow::Borrowed("Hi")
    ));
    let image = parts[1].image_url.as_ref().expect("image");
    assert_eq!(image.data(), Some(("image/png", "AAAA")));
    let file = parts[3].file.as_ref().expect("file");
    assert_eq!(file.data(), Some(("text/plain", "AA==")));
    assert!(parts[3].breakpoint().expect("marked").is_long());
    let calls = request.messages[2].calls();
    assert_eq!((calls[0].name(), &*calls[0].arguments()), ("f", "{}"));
    assert_eq!(&*calls[1].arguments(), r#"{"input":"x\"y"}"#);
    assert!(matches!(request.tool_choice, Some(ToolChoice::Named(name)) if &*name == "f"));
}

#[test]
fn tool_choices() {
    for (text, shape) in [
        (r#""none""#, "None"),
        (r#""auto""#, "Auto"),
        (r#""required""#, "Required"),
        (
            r#"{"type":"custom","custom":{"name":"c"}}"#,
            "Named(Text(1 bytes))",
        ),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
            "Allowed(Required, [Text(1 bytes)])",
        ),
    ] {
        let choice: ToolChoice<'_> = serde_json::from_str(text).expect("parses");
        assert_eq!(format!("{choice:?}"), shape);
    }
    assert!(serde_json::from_str::<ToolChoice<'_>>(r#""always""#).is_err());
    assert!(serde_json::from_str::<ToolChoice<'_>>("{}").is_err());
}

#[test]
fn nothing_said_is_shown() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"secret"}],"metadata":{"k":"secret"}}"#;
    let request = Request::parse(body).expect("parses");
    assert!(!format!("{request:?}").contains("secret"));
}

#[test]
fn what_is_wrong_fails() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"messages":[]}"#,
        r#"{"model":1,"messages":[]}"#,
        r#"{"model":"m","messages":[{"role":"king"}]}"#,
        r#"{"model":"m","messages":[],"max_tokens":1.5}"#,
        "[]",
    ] {
        assert!(Request::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_text_is_written_as_it_was_spelled() {
    for spelled in [
        r#""""#,
        r#""plain""#,
        r#""a\"b\n\/""#,
        r#""\u00e9 \ud83d\ude00""#,
        r#""é""#,
    ] {
        let text: Text<'_> = serde_json::from_str(spelled).expect("a string");
        assert_eq!(serde_json::to_string(&text).expect("writes"), spelled);
        let meant: String = serde_json::from_str(spelled).expect("a string");
        assert_eq!(
            (text.as_str(), text.is_empty()),
            (&*meant, meant.is_empty())
        );
        assert_eq!(text, Text::from(meant.clone()));
        assert_eq!(serde_json::to_value(&text).expect("writes"), meant);
        assert_eq!(text.into_cow(), meant);
    }
    for broken in [
        "1",
        "null",
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\x""#,
        "\"\n\"",
        "[]",
    ] {
        assert!(
            serde_json::from_str::<Text<'_>>(broken).is_err(),
            "{broken}"
        );
    }
    let owned = Text::from("q\"\n".to_owned());
    assert_eq!(serde_json::to_string(&owned).expect("writes"), r#""q\"\n""#);
}

/// A request with something of everything, without a fault.
fn everything() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "brief"}]},
            {"role": "user", "name": "u", "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f"}, "prompt_cache_breakpoint": {"mode": "explicit"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ]},
            {"role": "tool", "tool_call_id": "c", "content": "42"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "function_call": {"name": "f", "arguments": ""}, "audio": {"id": "a"}},
            {"role": "function", "name": "f", "content": null},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "strict": null, "parameters": {"type": "object"}}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "name": "g"}],
        }},
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stop": ["a", "b"], "seed": 1, "n": 1, "max_completion_tokens": 10, "temperature": 0.5,
        "logit_bias": {"1": 2}, "modalities": ["text"], "stream": true,
        "stream_options": {"include_usage": true}, "metadata": {"k": "v"}, "user": "u",
    })
}

/// Every member that is read anywhere, some that only others know, and some that nobody does.
const KEYS: &[&str] = &[
    "type",
    "text",
    "image_url",
    "input_audio",
    "file",
    "refusal",
    "prompt_cache_breakpoint",
    "cache_control",
    "reasoning_content",
    "reasoning_details",
    "extra_content",
    "function",
    "custom",
    "allowed_tools",
    "name",
    "id",
    "role",
    "content",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "audio",
    "json_schema",
    "schema",
    "strict",
    "description",
    "parameters",
    "format",
    "mode",
    "tools",
    "ttl",
    "url",
    "detail",
    "data",
    "file_data",
    "filename",
    "arguments",
    "input",
    "stop",
    "tool_choice",
    "functions",
    "response_format",
    "seed",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "top_logprobs",
    "temperature",
    "modalities",
    "user",
    "verbosity",
    "top_k",
    "thinking",
    "x",
];

/// Values that may stand where another is wanted.
fn odd() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1.0),
        json!(1e18),
        json!(-7),
        json!(0.5),
        json!(""),
        json!("text"),
        json!("function"),
        json!("custom"),
        json!("json_object"),
        json!("a\u{0}\u{1f600}\"\\"),
        json!([]),
        json!({}),
        json!([1, {}, null]),
        json!(["a"]),
        json!({"type": "ephemeral", "ttl": "1h"}),
        json!({"type": "ephemeral", "ttl": 5}),
        json!({"name": "n"}),
        json!({"name": 5, "function": 5}),
        json!({"url": 5, "id": null}),
        json!([{"type": "text", "text": "x", "image_url": 5}]),
        json!([{"type": "reasoning.text", "text": 5}]),
        json!({"type": "function", "function": {"name": "f"}, "custom": 5, "name": 5}),
        json!({"type": "custom", "function": [], "custom": {"name": "g"}, "allowed_tools": "all"}),
        json!({"type": "text", "json_schema": 5}),
    ]
}

/// Changes one member of the object of this number, counted from the outermost.
fn change(value: &mut Value, number: &mut usize, key: &str, with: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, number, key, with)),
        Value::Object(members) => {
            if *number == 0 {
                members.insert(key.to_owned(), with.clone());
                return true;
            }
            *number -= 1;
            let mut values = members.values_mut();
            values.any(|value| change(value, number, key, with))
        }
        _ => false,
    }
}

/// Whether the validator has nothing to say of the shape and values of a text.
fn accepted(text: &str) -> bool {
    request::Request::read(text.as_bytes()).is_ok_and(|read| read.fault_count() == 0)
}

#[test]
fn what_is_accepted_is_readable_whatever_stands_in_any_one_member() {
    let mut tried = 0;
    let base = everything();
    assert!(accepted(&base.to_string()));
    let count = base.to_string().matches('{').count();
    let odd = odd();
    let mut turn = odd.iter().cycle();
    for number in 0..count {
        for key in KEYS {
            // With two of the odd values each: which ones moves on from member to member.
            for with in turn.by_ref().take(2) {
                let mut changed = base.clone();
                change(&mut changed, &mut number.clone(), key, with);
                let text = changed.to_string();
                if accepted(&text) {
                    tried += 1;
                    if let Err(error) = Request::parse(text.as_bytes()) {
                        panic!("{key} {with} in object {number}: {error}\n{text}");
                    }
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

proptest! {
    #[test]
    fn what_is_accepted_is_readable(
        changes in proptest::collection::vec((0..45usize, proptest::sample::select(KEYS), proptest::sample::select(odd())), 1..6),
    ) {
        let mut changed = everything();
        for (number, key, with) in changes {
            let before = changed.clone();
            change(&mut changed, &mut number.clone(), key, &with);
            // Changes that the validator refuses are taken back, so that others are tried on top.
            if !accepted(&changed.to_string()) {
                changed = before;
            }
        }
        let text = changed.to_string();
        let read = Request::parse(text.as_bytes());
        prop_assert!(read.is_ok(), "{:?}\n{}", read.err(), text);
    }
}

#[test]
fn members_of_others_say_nothing_where_they_are_not_of_their_type() {
    let body = r#"{"model":"m","cache_control":true,"seed":9e18,"messages":[
        {"role":"user","content":[{"text":"Hi","cache_control":"ephemeral","image_url":5,"type":"text"}]},
        {"role":"assistant","content":"x","reasoning_content":{"a":1},"reasoning_details":"none"},
        {"role":"assistant","content":"x","reasoning_content":"why","reasoning_details":[{"a":1}]}],
        "tools":[{"function":{"name":"f"},"custom":0,"cache_control":{"ttl":"1h","ttl":"2h"},"type":"function"}],
        "response_format":{"type":"text","json_schema":[]}}"#;
    let request = Request::parse(body.as_bytes()).expect("parses");
    assert!(request.cache_control.is_none());
    assert_eq!(request.seed, Some(Integer(9_000_000_000_000_000_000)));
    let parts = request.messages[0]
        .content
        .as_ref()
        .expect("content")
        .parts();
    assert_eq!(parts[0].text.as_deref(), Some("Hi"));
    assert!(parts[0].breakpoint().is_none() && parts[0].image_url.is_none());
    assert!(request.messages[1].reasoning_content.is_none());
    assert!(request.messages[1].reasoning_details.is_none());
    assert_eq!(
        request.messages[2].reasoning_content.as_deref(),
        Some("why")
    );
    assert_eq!(
        request.messages[2].reasoning_details.as_ref().map(Vec::len),
        Some(1)
    );
    let tools = request.tools.as_deref().expect("tools");
    assert_eq!(tools[0].name(), Some("f"));
    assert!(tools[0].custom.is_none() && tools[0].cache_control.is_none());
    assert!(
        request
            .response_format
            .expect("given")
            .json_schema
            .is_none()
    );
}
