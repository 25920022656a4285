use super::*;

#[test]
fn conversations_are_fitted() {
    let said = json!([{"role": "developer", "content": "x"}, {"role": "assistant", "content": null,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "y"}]);
    let (kept, _) = sent("openai", "m", &with("messages", said.clone()));
    assert_eq!(kept.expect("sent")["messages"], said);
    let (fitted, _) = sent("mistral", "m", &with("messages", said));
    let messages = &fitted.expect("sent")["messages"];
    assert_eq!(messages[0]["role"], "system");
    let id = messages[1]["tool_calls"][0]["id"].as_str().expect("an id");
    assert_eq!(id.len(), 9);
    assert_eq!(messages[2]["tool_call_id"], id);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]);
    let (refused, _) = sent("deepseek", "m", &with("messages", image));
    assert_eq!(
        refused.expect_err("refused").param(),
        Some("messages[0].content[0]")
    );
}

#[test]
fn dropped_members_stay_out_of_messages_that_are_edited() {
    let call = json!({"id": "call_1", "type": "function", "x": 0, "function": {"name": "f", "arguments": "{}"}});
    let text = json!({"type": "text", "text": "Hi", "x": {"type": "y"}});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x", "x": 1}, "x": 2});
    let body = json!({"model": "m", "x": 1, "messages": [
        {"x": 1, "role": "developer", "content": "Be brief."},
        {"role": "user", "x": [1], "content": [text, image], "y": {}},
        {"role": "assistant", "content": null, "tool_calls": [call], "refusal": null, "x": "role"},
        {"role": "tool", "tool_call_id": "call_1", "content": [text]}]});
    let mut chat = Chat::parse(body.to_string().into()).expect("a request");
    let unknown: Vec<_> = chat.request().unknown().collect();
    for member in unknown {
        chat.remove_unknown(member);
    }
    let known: Value = serde_json::from_slice(&chat.bytes()).expect("JSON");
    assert!(!known.to_string().contains("\"x\""));

    let (sent, notes) = sent_of(&chat, "mistral", "m");
    let sent = sent.expect("fits");
    let mut expected = known.clone();
    expected["messages"][0]["role"] = "system".into();
    let id = sent["messages"][3]["tool_call_id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(9));
    expected["messages"][2]["tool_calls"][0]["id"] = id.clone();
    expected["messages"][3]["tool_call_id"] = id;
    let assistant = expected["messages"][2].as_object_mut().expect("a message");
    assistant.remove("refusal");
    assert_eq!(sent, expected);
    assert_eq!(
        notes.dropped(),
        [""; 0],
        "what is gone is not dropped again"
    );

    // A vendor that leaves parts out.
    let translate = OpenAi::new("https://api.deepseek.com").expect("a URL");
    let mut notes = Notes::new(Contract::new(Unsupported::Drop));
    let mut fitted = chat.clone();
    speech::fit(&mut fitted, translate.vendor.row().speech, &mut notes).expect("fits");
    let mut expected = known;
    expected["messages"][0]["role"] = "system".into();
    expected["messages"][1]["content"] = json!([{"type": "text", "text": "Hi"}]);
    let fitted: Value = serde_json::from_slice(&fitted.bytes()).expect("JSON");
    assert_eq!(fitted, expected);
    assert_eq!(notes.dropped(), ["messages[].content[]"]);
}

#[test]
fn messages_that_were_set_are_fitted_as_they_were_set() {
    let mut chat = Chat::parse(r#"{"model":"m","messages":[]}"#.into()).expect("a request");
    chat.set(
        "messages",
        r#"[{"role":"developer","content":"x","name":"n"},{"role":"user","content":"y"}]"#,
    );
    let (sent, notes) = sent_of(&chat, "mistral", "m");
    assert_eq!(
        sent.expect("fits")["messages"],
        json!([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}])
    );
    assert_eq!(notes.dropped(), ["messages[].name"]);
    chat.set("messages", "[7]");
    let (sent, _) = sent_of(&chat, "mistral", "m");
    assert_eq!(sent.expect("not ours to refuse")["messages"], json!([7]));
}

#[test]
fn conversations_of_functions_fit() {
    let body = json!({"model": "m", "messages": [
        {"role": "developer", "content": "Hi"},
        {"tool_calls": null, "role": "assistant", "content": null, "x": 1,
            "function_call": {"name": "f", "arguments": "{\"a\":[1]}"}},
        {"name": "f", "role": "function", "content": "1"}]});
    for set in [false, true] {
        let mut chat = Chat::parse(body.to_string().into()).expect("a request");
        if set {
            chat.set("messages", body["messages"].to_string());
        }
        let mut notes = Notes::default();
        crate::provider::functions::modern(&mut chat, &mut notes).expect("of its shape");
        assert_eq!(notes.mapped(), ["messages"]);
        let (sent, notes) = sent_of(&chat, "mistral", "m");
        let sent = sent.expect("fits");
        let id = &sent["messages"][1]["tool_calls"][0]["id"];
        let letters = id.as_str().expect("an id");
        assert!(letters.len() == 9 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(
            sent,
            json!({"model": "m", "messages": [
                {"role": "system", "content": "Hi"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":[1]}"}}]},
                {"role": "tool", "tool_call_id": id, "content": "1"}]})
        );
        assert_eq!(notes.dropped(), ["messages[].x"]);
    }
}

#[test]
fn tools_that_were_set_are_fitted_too() {
    let mut chat = Chat::parse(with("tools", json!([])).to_string().into()).expect("a request");
    let custom = json!({"type": "custom", "custom": {"name": "g"}});
    let function = json!({"type": "function", "function": {"name": "f"}});
    let of = |name: &str, mode: &str| {
        let one = json!({"type": "custom", "custom": {"name": name}});
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [one]}})
    };
    chat.set("tools", json!([function, custom]).to_string());
    chat.set("tool_choice", of("g", "auto").to_string());
    let (sent, _) = sent_of(&chat, "vllm", "m");
    let sent = sent.expect("fits");
    let input = json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]});
    assert_eq!(
        sent["tools"],
        json!([{"type": "function", "function": {"name": "g", "parameters": input}}])
    );
    assert_eq!(sent["tool_choice"], "auto");
    chat.set("tool_choice", of("h", "auto").to_string());
    let (sent, _) = sent_of(&chat, "vllm", "m");
    assert_eq!(
        sent.expect("fits"),
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    );
}
