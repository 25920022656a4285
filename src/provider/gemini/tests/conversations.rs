use super::*;

#[test]
fn a_conversation_with_tools() {
    let body = json!({"model": "m", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [
            {"type": "text", "text": "Hi"}, {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://host/a.jpg?x"}},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""},
             "extra_content": {"google": {"thought_signature": "sig"}}},
            {"id": "own", "type": "function", "function": {"name": "g", "arguments": "{\"z\":1,\"a\":1.0}"}}]},
        {"role": "tool", "tool_call_id": "own", "content": "2"},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "call_a", "content": "1"}]});
    let out = translated(&body, "gemini-3-pro");
    assert_eq!(
        out["systemInstruction"],
        json!({"parts": [{"text": "Be brief."}, {"text": "Be kind."}]})
    );
    assert_eq!(
        out["contents"],
        json!([
            {"role": "user", "parts": [{"text": "Hi"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://host/a.jpg?x", "mimeType": "image/jpeg"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "sig"},
                {"functionCall": {"id": "own", "name": "g", "args": {"z": 1, "a": 1.0}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "1"}}},
                {"functionResponse": {"id": "own", "name": "g", "response": {"output": "2"}}},
                {"text": "And?"}]}
        ])
    );
}

#[test]
fn a_result_answers_a_call() {
    let body = with(
        "messages",
        json!([{"role": "tool", "tool_call_id": "x", "content": "1"}]),
    );
    let error = translate(&body, "gemini-2.5-pro")
        .0
        .expect_err("no such call");
    assert_eq!(error.param(), Some("messages[0].tool_call_id"));
}

#[test]
fn signatures_come_back_from_either_place_and_calls_of_others_get_none() {
    let call =
        json!({"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let said = |details: Value| {
        with(
            "messages",
            json!([{"role": "assistant", "content": "x", "tool_calls": [call, call], "reasoning_details": details}]),
        )
    };
    let parts = |body: &Value, model: &str| translated(body, model)["contents"][1]["parts"].clone();
    let own = said(json!([
        {"type": "thought_signature", "signature": "text"},
        {"type": "thought_signature", "id": "call_a", "signature": "call"},
        {"type": "thinking", "thinking": "another's"}]));
    let kept = parts(&own, "gemini-3-flash");
    assert_eq!(kept[1], json!({"text": "", "thoughtSignature": "text"}));
    assert_eq!(kept[2]["thoughtSignature"], "call");
    let foreign = said(json!([]));
    let kept = parts(&foreign, "gemini-3-flash");
    assert_eq!(
        kept[1]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    assert_eq!(kept[2]["thoughtSignature"], Value::Null);
    assert_eq!(
        parts(&foreign, "gemini-2.5-pro")[1]["thoughtSignature"],
        Value::Null
    );
}

#[test]
fn images_that_the_model_made_go_back_with_their_signatures() {
    let image = |data: &str| {
        let url = format!("data:image/png;base64,{data}");
        json!({"type": "image_url", "image_url": {"url": url}})
    };
    let signed = |signature: &str| json!({"type": "thought_signature", "signature": signature});
    let inline = |data: &str| json!({"mimeType": "image/png", "data": data});
    for (model, details, wanted) in [
        (
            "gemini-3-pro-image",
            vec![signed("t"), signed("a"), signed("b")],
            json!([{"text": "Here"}, {"text": "", "thoughtSignature": "t"},
                {"inlineData": inline("AAAA"), "thoughtSignature": "a"},
                {"inlineData": inline("BBBB"), "thoughtSignature": "b"}]),
        ),
        (
            "gemini-3-pro-image",
            vec![],
            json!([{"text": "Here"},
                {"inlineData": inline("AAAA"), "thoughtSignature": "skip_thought_signature_validator"},
                {"inlineData": inline("BBBB"), "thoughtSignature": "skip_thought_signature_validator"}]),
        ),
        (
            "gemini-2.5-flash-image",
            vec![],
            json!([{"text": "Here"}, {"inlineData": inline("AAAA")}, {"inlineData": inline("BBBB")}]),
        ),
    ] {
        let body = with(
            "messages",
            json!([{"role": "user", "content": "Draw."},
                {"role": "assistant", "content": "Here", "images": [image("AAAA"), image("BBBB")],
                 "reasoning_details": details},
                {"role": "user", "content": "Bluer."}]),
        );
        let (out, notes) = translate(&body, model);
        let out = out.expect("translates");
        assert_eq!(out["contents"][1]["parts"], wanted, "{model}");
        assert!(notes.dropped().is_empty(), "{notes:?}");
    }
}

#[test]
fn instructions_alone_are_what_the_user_says() {
    let system = json!({"role": "system", "content": "Be brief."});
    let out = translated(
        &json!({"model": "m", "messages": [system]}),
        "gemini-2.5-flash",
    );
    let alone = json!([{"role": "user", "parts": [{"text": "Be brief."}]}]);
    assert_eq!(out["contents"], alone);
    assert_eq!(out.get("systemInstruction"), None);
}

#[test]
fn a_call_comes_behind_a_user_turn() {
    let call =
        json!({"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let called = json!({"role": "assistant", "tool_calls": [call]});
    let said = json!({"role": "assistant", "content": "x"});
    let dot = json!({"role": "user", "parts": [{"text": "."}]});
    for (messages, opened) in [
        (
            json!([{"role": "system", "content": "Be brief."}, called]),
            true,
        ),
        (json!([{"role": "user", "content": ""}, said, called]), true),
        (json!([{"role": "user", "content": "Hi"}, called]), false),
        (json!([said, {"role": "user", "content": "Hi"}]), false),
    ] {
        let (out, notes) = translate(&with("messages", messages.clone()), "gemini-2.5-flash");
        let out = out.expect("translates");
        assert_eq!(out["contents"][0] == dot, opened, "{messages}");
        assert_eq!(
            notes.mapped().contains(&"messages".into()),
            opened,
            "{messages}"
        );
    }
    // What is cached stands before it, and ends with such a turn; null is nothing.
    let mut body = with("messages", json!([called]));
    for name in ["cached_content", "safety_settings", "top_k"] {
        body[name] = Value::Null;
    }
    let (out, notes) = translate(&body, "gemini-2.5-flash");
    let out = out.expect("translates");
    assert_eq!(out["contents"][0], dot);
    for name in ["cachedContent", "safetySettings", "generationConfig"] {
        assert_eq!(out.get(name), None);
    }
    assert!(notes.dropped().is_empty());
    body["cached_content"] = "cachedContents/c".into();
    let (out, notes) = translate(&body, "gemini-2.5-flash");
    assert_ne!(out.expect("translates")["contents"][0], dot);
    assert!(notes.mapped().is_empty());
}

#[test]
fn a_conversation_that_says_nothing_is_refused() {
    let body = with("messages", json!([{"role": "user", "content": ""}]));
    let error = translate(&body, "gemini-2.5-pro").0.expect_err("refused");
    assert_eq!(
        (error.param(), error.code()),
        (Some("messages[0].content"), Some("invalid_value"))
    );
}

#[test]
fn a_tool_gives_images_and_files() {
    let call =
        json!({"id": "own", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = with(
        "messages",
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "own", "content": [
                {"type": "text", "text": "Here"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://host/a.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}},
                {"type": "file", "file": {"file_data": "data:application/zip;base64,DDDD"}}]}]),
    );
    let png = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let pdf = json!({"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}});
    let zip = json!({"inlineData": {"mimeType": "application/zip", "data": "DDDD"}});
    let there = json!({"fileData": {"fileUri": "https://host/a.png", "mimeType": "image/png"}});
    let mut result =
        json!({"functionResponse": {"id": "own", "name": "f", "response": {"output": "Here"}}});
    assert_eq!(
        translated(&body, "gemini-2.5-pro")["contents"][2]["parts"],
        json!([result, png, there, pdf, zip])
    );
    result["functionResponse"]["parts"] = json!([png, pdf]);
    assert_eq!(
        translated(&body, "gemini-3-pro")["contents"][2]["parts"],
        json!([result, there, zip])
    );
}

#[test]
fn ids_go_back_to_models_that_give_some() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [
            {"id": "D681PevKs", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "D681PevKs", "content": "1"}]});
    for (model, door, goes) in [
        ("gemini-2.5-flash", Door::Vertex, false),
        ("gemini-3-pro-preview", Door::Vertex, true),
        ("gemini-2.5-flash", Door::Api, true),
        ("gemini-3-pro-preview", Door::Api, true),
    ] {
        let out = request::body(&chat(&body), model, door, &mut Notes::default());
        let out: Value = serde_json::from_slice(&out.expect("translates").body).expect("JSON");
        let call = &out["contents"][1]["parts"][0]["functionCall"];
        let result = &out["contents"][2]["parts"][0]["functionResponse"];
        for part in [call, result] {
            assert_eq!(part["name"], "f", "{model}");
            assert_eq!(part["id"] == "D681PevKs", goes, "{model} {door:?}");
        }
    }
}

#[test]
fn an_image_of_the_wrong_name_has_the_right_one() {
    let shown = json!([{"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}]);
    let body = with("messages", json!([{"role": "user", "content": shown}]));
    assert_eq!(
        translated(&body, "gemini-2.5-flash")["contents"][0]["parts"][0],
        json!({"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}})
    );
}
