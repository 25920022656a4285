//! Members of a request.

use super::*;

#[test]
fn what_has_no_counterpart_is_refused() {
    for (member, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("moderation", json!({"model": "m"})),
    ] {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        body[member] = value;
        let error = request::body(
            &chat(&body),
            "claude-sonnet-4-5",
            request::Door::Own,
            &mut Notes::default(),
        )
        .expect_err(member);
        assert_eq!(error.param(), Some(member));
    }
}

#[test]
fn every_tool_choice() {
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, expected, tools) in [
        (json!("auto"), json!({"type": "auto"}), 2),
        (json!("none"), json!({"type": "none"}), 2),
        (json!("required"), json!({"type": "any"}), 2),
        (named.clone(), json!({"type": "tool", "name": "g"}), 2),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}),
            json!({"type": "any"}),
            1,
        ),
    ] {
        let mut body = with("tool_choice", choice);
        body["tools"] = json!([{"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "g"}}]);
        let out = translated(&body, "claude-sonnet-4-5");
        assert_eq!(out["tool_choice"], expected);
        assert_eq!(out["tools"].as_array().map(Vec::len), Some(tools));
    }
}

#[test]
fn images_formats_and_sampling() {
    let image = |url: &str| {
        let content = json!([{"type": "image_url", "image_url": {"url": url}}]);
        with("messages", json!([{"role": "user", "content": content}]))
    };
    let out = translated(&image("https://host/a.png"), "claude-sonnet-4-5");
    let source = &out["messages"][0]["content"][0]["source"];
    assert_eq!(*source, json!({"type": "url", "url": "https://host/a.png"}));
    let param = refused(&image("data:image/png,raw"), "claude-sonnet-4-5").0;
    assert_eq!(param.as_deref(), Some("messages[0].content[0]"));

    let out = translated(
        &with("response_format", json!({"type": "json_object"})),
        "m",
    );
    assert!(
        out["system"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("JSON"))
    );

    let hot = with("temperature", json!(0.5));
    assert_eq!(translated(&hot, "claude-sonnet-4-5")["temperature"], 0.5);
    let param = refused(&hot, "claude-opus-5").0;
    assert_eq!(param.as_deref(), Some("temperature"));
    let mut both = hot;
    both["top_p"] = 0.5.into();
    assert_eq!(
        refused(&both, "claude-haiku-4-5").0.as_deref(),
        Some("top_p")
    );
    assert_eq!(translated(&both, "claude-opus-4-6")["top_p"], 0.5);
}

#[test]
fn defaults_that_nobody_asked_for_go_without_a_word() {
    for (model, asked, defaults, sent) in [
        ("claude-opus-5", json!({}), [0.7, 0.9], [None, None]),
        ("claude-opus-4-7", json!({}), [0.7, 0.9], [None, None]),
        (
            "claude-sonnet-4-5",
            json!({"reasoning_effort": "high"}),
            [0.7, 1.0],
            [None, None],
        ),
        (
            "claude-sonnet-4-5",
            json!({}),
            [0.7, 0.9],
            [Some(0.7), None],
        ),
        ("claude-sonnet-4-5", json!({}), [2.0, 1.0], [None, None]),
        // What was asked for goes before what was not.
        (
            "claude-haiku-4-5",
            json!({"top_p": 0.5}),
            [0.7, 0.9],
            [None, Some(0.5)],
        ),
        (
            "claude-haiku-4-5",
            json!({"temperature": 0.5}),
            [0.7, 0.9],
            [Some(0.5), None],
        ),
    ] {
        let chat = testing::filled(&testing::with(asked), defaults);
        let mut notes = Notes::of(Contract::default(), &chat);
        let out = request::body(&chat, model, request::Door::Own, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("nothing is refused")).expect("JSON");
        let of = |name: &str| out.get(name).and_then(Value::as_f64);
        assert_eq!([of("temperature"), of("top_p")], sent, "{model}");
        let told = (notes.dropped(), notes.mapped());
        assert_eq!(told, (&[][..], &[][..]), "{model}");
    }
}

#[test]
fn the_web_is_searched_by_the_providers_own_tool() {
    let body = with(
        "web_search_options",
        json!({"search_context_size": "medium", "user_location": {"type": "approximate", "approximate": {"country": "TR"}}}),
    );
    assert_eq!(
        translated(&body, "claude-sonnet-4-5")["tools"],
        json!([{"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "country": "TR"}}])
    );
    let message = json!({"id": "m", "model": "c", "stop_reason": "end_turn", "content": [
        {"type": "text", "text": "Hé, "}, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "so.", "citations": [{"type": "web_search_result_location", "url": "https://a", "title": "A"},
            {"type": "char_location", "document_title": "own"}]}],
        "usage": {"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3}}});
    let answer = response::answer(message.to_string().as_bytes(), 7).expect("reads");
    assert_eq!(answer.usage.map(|it| it.web_searches), Some(3));
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let said = &out["choices"][0]["message"];
    assert_eq!(
        (&said["content"], said.get("tool_calls")),
        (&json!("Hé, so."), None)
    );
    assert_eq!(
        said["annotations"],
        json!([{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 4, "end_index": 7}}])
    );
}

#[test]
fn tiers() {
    for (tier, door, sent, dropped, mapped) in [
        ("auto", request::Door::Own, Some("auto"), false, false),
        (
            "default",
            request::Door::Own,
            Some("standard_only"),
            false,
            false,
        ),
        ("priority", request::Door::Own, Some("auto"), false, true),
        ("fast", request::Door::Own, Some("auto"), false, true),
        ("flex", request::Door::Own, None, true, false),
        ("auto", request::Door::Vertex, None, false, false),
        ("default", request::Door::Vertex, None, false, false),
        ("priority", request::Door::Vertex, None, true, false),
    ] {
        let mut notes = Notes::default();
        let body = with("service_tier", tier.into()).to_string();
        let out = request::body(
            &Chat::parse(body.to_owned().into()).expect("a request"),
            "claude-sonnet-4-5",
            door,
            &mut notes,
        );
        let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
        assert_eq!(out["service_tier"].as_str(), sent, "{tier}");
        assert_eq!(!notes.dropped().is_empty(), dropped, "{tier}");
        assert_eq!(!notes.mapped().is_empty(), mapped, "{tier}");
    }
}
