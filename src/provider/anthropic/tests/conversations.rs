//! What a conversation is made of.

use super::*;

#[test]
fn a_conversation_with_tools() {
    let out = translated(
        &json!({"model": "m", "max_tokens": 50, "parallel_tool_calls": false, "stop": ["END", " "], "user": "u",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                {"role": "assistant", "content": null, "reasoning_details": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                 "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
                                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                {"role": "user", "content": "And?"}],
            "tools": [{"type": "function", "function": {"name": "f"}}]}),
        "claude-sonnet-4-5",
    );
    assert_eq!(
        out["system"],
        json!([{"type": "text", "text": "Be brief."}])
    );
    assert_eq!(out["messages"].as_array().expect("turns").len(), 3);
    let spoken = &out["messages"][1]["content"];
    assert_eq!(
        spoken[0],
        json!({"type": "thinking", "thinking": "t", "signature": "s"})
    );
    assert_eq!(
        spoken[1],
        json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})
    );
    let results = &out["messages"][2]["content"];
    assert_eq!(
        results[1],
        json!({"type": "tool_result", "tool_use_id": "b", "content": "2"})
    );
    assert_eq!(results[2], json!({"type": "text", "text": "And?"}));
    assert_eq!(
        out["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(out["tools"][0]["input_schema"]["type"], "object");
    assert_eq!(out["stop_sequences"], json!(["END"]));
    assert_eq!(out["max_tokens"], 50);
}

#[test]
fn texts_are_documents_of_their_words() {
    for (name, data) in [
        ("a.txt", "SGVsbG8sIHfDtnJsZA=="),
        ("a.txt", "data:text/plain;base64,SGVsbG8sIHfDtnJsZA=="),
        ("a.csv", "data:text/csv;base64,SGVsbG8sIHfDtnJsZA=="),
    ] {
        let part = json!({"type": "file", "file": {"filename": name, "file_data": data}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(
            out["messages"][0]["content"][0],
            json!({"type": "document", "title": name,
                "source": {"type": "text", "media_type": "text/plain", "data": "Hello, w\u{f6}rld"}})
        );
    }
    let part = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "!"}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
    let refusal = refused(&body, "claude-sonnet-4-5");
    assert_eq!(refusal.0.as_deref(), Some("messages[0].content[0]"));
}

#[test]
fn instructions_alone_are_what_the_user_says() {
    let system = json!({"role": "system", "content": "Be brief."});
    let mut body = json!({"model": "m", "messages": [system]});
    let out = translated(&body, "claude-sonnet-4-5");
    let alone = json!([{"role": "user", "content": [{"type": "text", "text": "Be brief."}]}]);
    assert_eq!(out["messages"], alone);
    assert_eq!(out.get("system"), None);
    body["response_format"] = json!({"type": "json_object"});
    let out = translated(&body, "claude-sonnet-4-5");
    assert_eq!(out["messages"], alone);
    assert_eq!(out["system"].as_array().map(Vec::len), Some(1));
}

#[test]
fn names_that_a_model_made_up_go_back_as_names() {
    let long = "x".repeat(200);
    for (name, sent) in [
        ("f-1_x", "f-1_x".to_owned()),
        ("$READ.file", "_READ_file".to_owned()),
        ("", "_".to_owned()),
        (&long, "x".repeat(128)),
    ] {
        let call =
            json!({"id": "a", "type": "function", "function": {"name": name, "arguments": "{}"}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "no such tool"}]});
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(out["messages"][1]["content"][0]["name"], sent);
    }
}
