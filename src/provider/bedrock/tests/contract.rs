use super::*;

#[test]
fn what_is_refused_says_where() {
    let part = |part: Value| with(json!({"messages": [{"role": "user", "content": [part]}]}));
    let at = "messages[0].content[0]";
    for (body, model, param, code) in [
        (with(json!({"n": 2})), NOVA, "n", "unsupported_parameter"),
        (
            with(json!({"logprobs": true})),
            NOVA,
            "logprobs",
            "unsupported_parameter",
        ),
        (
            with(json!({"logit_bias": {"1": 2}})),
            NOVA,
            "logit_bias",
            "unsupported_parameter",
        ),
        (
            with(json!({"web_search_options": {}})),
            NOVA,
            "web_search_options",
            "unsupported_parameter",
        ),
        (
            with(json!({"functions": [{"name": "f"}]})),
            NOVA,
            "functions",
            "unsupported_parameter",
        ),
        (
            with(json!({"reasoning_effort": "low"})),
            "meta.llama3",
            "reasoning_effort",
            "unsupported_parameter",
        ),
        (
            with(json!({"reasoning_effort": "none"})),
            "anthropic.claude-opus-5-5",
            "reasoning_effort",
            "unsupported_value",
        ),
        (
            with(json!({"temperature": 0.5})),
            "anthropic.claude-opus-5",
            "temperature",
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://host/a.png"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "file", "file": {"file_id": "f"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "", "format": "ogg"}})),
            NOVA,
            at,
            "unsupported_parameter",
        ),
        (
            with(json!({"messages": [{"role": "function", "name": "f", "content": "1"}]})),
            NOVA,
            "messages[0].role",
            "unsupported_parameter",
        ),
        (
            with(
                json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "[1"}}]}]}),
            ),
            NOVA,
            "messages[0].tool_calls[0].function.arguments",
            "invalid_request_error",
        ),
    ] {
        let (found, said) = refused(&body, model);
        assert_eq!(found, param, "{body}");
        if code.starts_with("uns") {
            assert_eq!(said, code, "{body}");
        }
    }
}

#[test]
fn what_is_dropped_or_changed_is_said() {
    let body = with(json!({
        "seed": 1, "user": "u", "safety_identifier": "s", "presence_penalty": 1, "frequency_penalty": 1,
        "prediction": {"type": "content", "content": "x"}, "verbosity": "low", "store": true,
        "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {},
        "service_tier": "scale", "top_k": 3, "mine": 1, "temperature": 2, "top_p": 1,
        "response_format": {"type": "json_object"}, "reasoning_effort": "max",
        "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": false}));
    let (out, notes) = noted(&body, "openai.gpt-oss-20b-1:0").expect("translates");
    let mut dropped = notes.dropped().to_vec();
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "frequency_penalty",
            "mine",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
            "seed",
            "service_tier",
            "store",
            "top_k",
            "user",
            "verbosity"
        ]
    );
    assert_eq!(
        notes.mapped(),
        ["reasoning_effort", "temperature", "response_format"]
    );
    assert!(
        out["system"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("JSON"))
    );

    let mut strict = Notes::new(Contract::new(Unsupported::Refuse));
    assert!(
        request::body(
            &Chat::parse(body.to_string().into()).expect("a request"),
            NOVA,
            &mut strict
        )
        .is_err()
    );
    let mut loose = Notes::new(Contract::new(Unsupported::Drop));
    let two = with(json!({"n": 2, "logprobs": true}));
    request::body(
        &Chat::parse(two.to_string().into()).expect("a request"),
        NOVA,
        &mut loose,
    )
    .expect("dropped");
    assert_eq!(loose.dropped(), ["n", "logprobs"]);
}

#[test]
fn defaults_that_nobody_asked_for_go_without_a_word() {
    for (model, asked, sent) in [
        ("us.anthropic.claude-opus-4-7-v1:0", json!({}), json!({})),
        (
            "anthropic.claude-haiku-4-5",
            json!({"reasoning_effort": "low"}),
            json!({"maxTokens": 16384}),
        ),
        (
            "anthropic.claude-haiku-4-5",
            json!({"top_p": 0.5}),
            json!({"topP": 0.5}),
        ),
        (
            "anthropic.claude-haiku-4-5",
            json!({}),
            json!({"temperature": 0.7}),
        ),
        (NOVA, json!({}), json!({"temperature": 0.7, "topP": 0.9})),
    ] {
        let chat = testing::filled(&with(asked), [0.7, 0.9]);
        let mut notes = Notes::of(Contract::default(), &chat);
        let out = request::body(&chat, model, &mut notes).expect("nothing is refused");
        let out: Value = serde_json::from_slice(&out).expect("JSON");
        let inference = out.get("inferenceConfig").cloned().unwrap_or(json!({}));
        assert_eq!(inference, sent, "{model}");
        let told = (notes.dropped(), notes.mapped());
        assert_eq!(told, (&[][..], &[][..]), "{model}");
    }
}

#[test]
fn a_loop_goes_on_without_thinking_that_did_not_come_back() {
    for (members, thinks) in testing::loops() {
        let (out, notes) = noted(&with(members), CLAUDE).expect("translates");
        let fields = &out["additionalModelRequestFields"];
        assert_eq!(fields.get("thinking").is_some(), thinks, "{out}");
        let dropped = notes.dropped().contains(&"reasoning_effort".into());
        assert_eq!(dropped, !thinks, "{out}");
    }
}
