//! How models are told to think.

use super::*;

#[test]
fn thinking_by_generation() {
    let body = json!({"model": "m", "reasoning_effort": "xhigh", "messages": [{"role": "user", "content": "Hi"}]});
    let old = translated(&body, "claude-sonnet-4-5");
    assert!(old["thinking"]["budget_tokens"].as_u64() < old["max_tokens"].as_u64());
    assert_eq!(
        translated(&body, "claude-opus-4-6")["output_config"]["effort"],
        "high"
    );
    assert_eq!(
        translated(&body, "claude-opus-4-7")["output_config"]["effort"],
        "xhigh"
    );
}

#[test]
fn a_loop_goes_on_without_thinking_that_did_not_come_back() {
    for (members, thinks) in testing::loops() {
        let chat = chat(&testing::with(members));
        for (model, thinks) in [("claude-sonnet-4-5", thinks), ("claude-opus-4-6", true)] {
            let mut notes = Notes::default();
            let out = request::body(&chat, model, request::Door::Own, &mut notes);
            let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
            assert_eq!(out.get("thinking").is_some(), thinks, "{model} {out}");
            let dropped = notes.dropped().contains(&"reasoning_effort".into());
            assert_eq!(dropped, !thinks, "{model} {out}");
        }
    }
}

#[test]
fn thinking_off_by_generation() {
    let body = with("reasoning_effort", json!("none"));
    for (model, kind) in [
        ("claude-sonnet-4-5", Value::Null),
        ("claude-opus-4-7", Value::Null),
        ("claude-opus-5", json!("disabled")),
        ("claude-sonnet-5-5", json!("between_tools")),
    ] {
        assert_eq!(
            translated(&body, model)["thinking"]["type"],
            kind,
            "{model}"
        );
    }
    let code = refused(&body, "claude-opus-5-5").1;
    assert_eq!(code.as_deref(), Some("unsupported_value"));
}

#[test]
fn a_budget_leaves_room_and_small_answers_do_without() {
    for (max, budget) in [
        (8000, json!(6000)),
        (1100, json!(1024)),
        (1024, Value::Null),
    ] {
        let mut body = with("reasoning_effort", json!("high"));
        body["max_tokens"] = max.into();
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(out["thinking"]["budget_tokens"], budget, "{max}");
        assert_eq!(out["max_tokens"], max);
    }
}
