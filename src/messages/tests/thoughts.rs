//! What is thought between texts and calls keeps its place.

use super::*;

fn blocks() -> Value {
    json!([
        {"type": "thinking", "thinking": "one", "signature": "s1"},
        {"type": "text", "text": "H\u{e9} \"\u{1f600}\" "},
        {"type": "thinking", "thinking": "two", "signature": "s2"},
        {"type": "redacted_thinking", "data": "b3A="},
        {"type": "text", "text": "you"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "thinking", "thinking": "three", "signature": "s3"},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ])
}

fn anthropic() -> (Anthropic, Target) {
    let anthropic = Anthropic::new("https://upstream").expect("a URL");
    (anthropic, Target::new("anthropic", "claude-sonnet-4-5"))
}

/// The blocks of the assistant's turn that goes up.
fn sent(body: impl Into<bytes::Bytes>) -> Value {
    let (anthropic, target) = anthropic();
    let chat = Chat::parse(body.into()).expect("a request");
    let request = anthropic.request(&chat, &target, &mut Notes::default());
    let request = request.expect("translates").into_body();
    let out: Value = serde_json::from_slice(request.remaining()).expect("JSON");
    out["messages"][1]["content"].clone()
}

/// The conversation that such a turn stands in.
fn conversation(turn: &Value, results: &Value) -> Value {
    let mut body = with(json!({}));
    let messages = body["messages"].as_array_mut().expect("messages");
    messages.push(turn.clone());
    messages.extend(results.as_array().expect("some").iter().cloned());
    body
}

#[test]
fn from_messages_to_anthropic() {
    let turn = json!({"role": "assistant", "content": blocks()});
    let results = json!([{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": "2"}]}]);
    let body = conversation(&turn, &results).to_string();
    let (out, way) = request::translate(body.as_bytes()).expect("translates");
    assert!(way.dropped.names().is_empty());
    assert_eq!(sent(out), blocks());
}

#[test]
fn from_anthropic_to_messages_and_back_from_a_client_of_completions() {
    let (anthropic, target) = anthropic();
    let chat = Chat::parse(r#"{"model":"m","messages":[]}"#.into()).expect("a request");
    let asked = Asked::new(&chat, &target, std::time::SystemTime::now());
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": blocks(), "stop_reason": "tool_use", "usage": {"input_tokens": 9, "output_tokens": 5}});
    let answer = anthropic.answer(&asked, message.to_string().into());
    let answer = answer.expect("an answer").body;

    let back = response::message(&answer).expect("a message");
    let back: Value = serde_json::from_slice(&back).expect("JSON");
    assert_eq!(back["content"], blocks());

    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["content"], "H\u{e9} \"\u{1f600}\" you");
    let results = json!([{"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"}]);
    let body = conversation(said, &results).to_string();
    assert_eq!(sent(body), blocks());
}
