//! Answers by a schema.

use super::*;

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
