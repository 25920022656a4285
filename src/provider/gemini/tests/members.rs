use super::*;

#[test]
fn every_parameter() {
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}});
    for (member, value, path, expected) in [
        ("temperature", json!(1.5), "temperature", json!(1.5)),
        ("top_p", json!(0.5), "topP", json!(0.5)),
        ("top_k", json!(3), "topK", json!(3)),
        ("max_tokens", json!(9), "maxOutputTokens", json!(9)),
        ("n", json!(2), "candidateCount", json!(2)),
        ("stop", json!("END"), "stopSequences", json!(["END"])),
        ("seed", json!(5), "seed", json!(5)),
        ("seed", json!(4_294_967_296_i64), "seed", json!(1)),
        (
            "frequency_penalty",
            json!(0.5),
            "frequencyPenalty",
            json!(0.5),
        ),
        (
            "presence_penalty",
            json!(-1),
            "presencePenalty",
            json!(-1.0),
        ),
        ("logprobs", json!(true), "responseLogprobs", json!(true)),
        (
            "response_format",
            json!({"type": "json_object"}),
            "responseMimeType",
            json!("application/json"),
        ),
        (
            "response_format",
            schema.clone(),
            "responseMimeType",
            json!("application/json"),
        ),
        (
            "response_format",
            schema,
            "responseJsonSchema",
            json!({"type": "object"}),
        ),
        (
            "modalities",
            json!(["text", "audio"]),
            "responseModalities",
            json!(["TEXT", "AUDIO"]),
        ),
        (
            "reasoning_effort",
            json!("low"),
            "thinkingConfig",
            json!({"thinkingBudget": 2048, "includeThoughts": true}),
        ),
        (
            "reasoning_effort",
            json!("none"),
            "thinkingConfig",
            json!({"thinkingBudget": 0, "includeThoughts": false}),
        ),
    ] {
        let out = translated(&with(member, value.clone()), "gemini-2.5-flash");
        assert_eq!(out["generationConfig"][path], expected, "{member} {value}");
    }
    let out = translated(&with("service_tier", json!("default")), "gemini-2.5-flash");
    assert_eq!(out["serviceTier"], "standard");
    let out = translated(&with("web_search_options", json!({})), "gemini-2.5-flash");
    assert_eq!(out["tools"], json!([{"googleSearch": {}}]));
    assert!(out.get("generationConfig").is_none(), "nothing to say");
}

#[test]
fn what_has_no_counterpart() {
    for (member, value) in [
        ("logit_bias", json!({"1": 1})),
        ("n", json!(9)),
        ("functions", json!([{"name": "f"}])),
    ] {
        let error = translate(&with(member, value), "gemini-2.5-flash")
            .0
            .expect_err(member);
        assert_eq!(error.param(), Some(member));
    }
    for (member, value) in [
        ("user", json!("u")),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("verbosity", json!("low")),
        ("service_tier", json!("scale")),
        ("mine", json!(1)),
    ] {
        let (out, notes) = translate(&with(member, value), "gemini-2.5-flash");
        assert!(out.is_ok(), "{member}");
        assert_eq!(notes.dropped(), [member]);
    }
    let (out, notes) = translate(&with("presence_penalty", json!(1)), "gemini-3.1-pro");
    assert!(out.expect("fine").get("generationConfig").is_none());
    assert_eq!(notes.dropped(), ["presence_penalty"]);
}

#[test]
fn thinking_by_generation() {
    for (model, effort, key, value, changed) in [
        ("gemini-2.5-pro", "none", "thinkingBudget", json!(128), true),
        (
            "gemini-2.5-pro",
            "high",
            "thinkingBudget",
            json!(24576),
            false,
        ),
        (
            "gemini-2.5-flash-lite",
            "minimal",
            "thinkingBudget",
            json!(512),
            true,
        ),
        (
            "gemini-2.5-flash-lite",
            "none",
            "thinkingBudget",
            json!(0),
            false,
        ),
        (
            "gemini-3-pro-preview",
            "medium",
            "thinkingLevel",
            json!("HIGH"),
            true,
        ),
        (
            "gemini-3-flash",
            "minimal",
            "thinkingLevel",
            json!("MINIMAL"),
            false,
        ),
        (
            "gemini-3.1-pro",
            "minimal",
            "thinkingLevel",
            json!("LOW"),
            true,
        ),
        (
            "gemini-3.7-flash",
            "medium",
            "thinkingLevel",
            json!("MEDIUM"),
            false,
        ),
        (
            "gemini-4-pro",
            "xhigh",
            "thinkingLevel",
            json!("HIGH"),
            true,
        ),
        (
            "gemini-flash-latest",
            "none",
            "thinkingLevel",
            json!("LOW"),
            true,
        ),
        (
            "google/gemini-3-flash",
            "none",
            "thinkingLevel",
            json!("MINIMAL"),
            true,
        ),
    ] {
        let (out, notes) = translate(&with("reasoning_effort", json!(effort)), model);
        let thinking = &out.expect("translates")["generationConfig"]["thinkingConfig"];
        assert_eq!(thinking[key], value, "{model} {effort}");
        assert_eq!(thinking.as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(
            notes.mapped().len(),
            usize::from(changed),
            "{model} {effort}"
        );
    }
    let old = translate(&with("reasoning_effort", json!("low")), "gemini-2.0-flash");
    assert_eq!(old.0.expect_err("cannot").param(), Some("reasoning_effort"));
    let mut small = with("reasoning_effort", json!("high"));
    small["max_tokens"] = 1000.into();
    let out = translated(&small, "gemini-2.5-flash");
    assert_eq!(
        out["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        750
    );
}

#[test]
fn every_tool_choice() {
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, expected) in [
        (json!("auto"), json!({"mode": "AUTO"})),
        (json!("none"), json!({"mode": "NONE"})),
        (json!("required"), json!({"mode": "ANY"})),
        (
            named.clone(),
            json!({"mode": "ANY", "allowedFunctionNames": ["g"]}),
        ),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}),
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["g"]}),
        ),
    ] {
        let mut body = with("tool_choice", choice);
        body["tools"] = json!([
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"z": {}}}}},
            {"type": "custom", "custom": {"name": "g"}}]);
        let out = translated(&body, "gemini-2.5-flash");
        assert_eq!(out["toolConfig"]["functionCallingConfig"], expected);
        let declared = &out["tools"][0]["functionDeclarations"];
        assert_eq!(
            declared[0],
            json!({"name": "f", "description": "d",
            "parametersJsonSchema": {"type": "object", "properties": {"z": {}}}})
        );
        assert_eq!(
            declared[1]["parametersJsonSchema"]["required"],
            json!(["input"])
        );
    }
}

#[test]
fn the_providers_search_goes_beside_functions() {
    let mut body = with("web_search_options", json!({}));
    body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let validated = json!({"mode": "VALIDATED"});
    let any = json!({"mode": "ANY"});
    for (choice, calling) in [
        (Value::Null, Value::Null),
        (json!("auto"), validated),
        (json!("required"), any),
    ] {
        body["tool_choice"] = choice.clone();
        let config = &translated(&body, "gemini-3-pro")["toolConfig"];
        assert_eq!(config["includeServerSideToolInvocations"], true, "{choice}");
        let told = config.get("functionCallingConfig");
        assert_eq!(told, (!calling.is_null()).then_some(&calling), "{choice}");
        // Vertex AI has no such member.
        let out = request::body(
            &chat(&body),
            "gemini-3-pro",
            Door::Vertex,
            &mut Notes::default(),
        );
        let out: Value = serde_json::from_slice(&out.expect("translates").body).expect("JSON");
        let told = &out["toolConfig"]["includeServerSideToolInvocations"];
        assert_eq!(told, &Value::Null, "{choice}");
    }
    body["tool_choice"] = "auto".into();
    body["web_search_options"] = Value::Null;
    let config = &translated(&body, "gemini-3-pro")["toolConfig"];
    assert_eq!(config, &json!({"functionCallingConfig": {"mode": "AUTO"}}));
}

#[test]
fn tools_and_json_exclude_each_other_before_the_third_generation() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for format in [
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}),
    ] {
        let mut body = with("response_format", format);
        let config = &translated(&body, "gemini-2.5-flash")["generationConfig"];
        assert_eq!(config["responseMimeType"], "application/json");
        body["tools"] = tools.clone();
        let (refused, _) = translate(&body, "gemini-2.5-flash");
        let error = refused.expect_err("refused");
        assert_eq!(error.param(), Some("response_format"));
        let config = &translated(&body, "gemini-3-pro")["generationConfig"];
        assert_eq!(config["responseMimeType"], "application/json");
        let mut notes = Notes::new(crate::provider::Contract::new(
            crate::provider::Unsupported::Drop,
        ));
        let out = request::body(&chat(&body), "gemini-2.5-flash", Door::Api, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("translates").body).expect("JSON");
        assert_eq!(out.get("generationConfig"), None);
        assert_eq!(notes.dropped(), ["response_format"]);
    }
}
