use super::*;

#[test]
fn a_model_is_one_segment() {
    let bedrock = Bedrock::new("http://host/prefix/").expect("a URL");
    let chat = Chat::parse(with(json!({"stream": true})).to_string().into()).expect("a request");
    for (model, path) in [
        (NOVA, "/prefix/model/amazon.nova-pro-v1%3A0/converse-stream"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
            "/prefix/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse-stream",
        ),
        (
            "../a?b#ü",
            "/prefix/model/..%2Fa%3Fb%23%C3%BC/converse-stream",
        ),
    ] {
        let target = Target::new("aws", model);
        let request = bedrock.request(&chat, &target, &mut Notes::default());
        assert_eq!(request.expect("a request").uri().path(), path);
    }
}

#[test]
fn members_one_by_one() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let spec = json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]);
    for (members, model, path, value) in [
        (
            json!({"max_completion_tokens": 9}),
            NOVA,
            "/inferenceConfig/maxTokens",
            json!(9),
        ),
        (
            json!({"max_tokens": 0}),
            NOVA,
            "/inferenceConfig/maxTokens",
            json!(1),
        ),
        (
            json!({"temperature": 0.5}),
            NOVA,
            "/inferenceConfig/temperature",
            json!(0.5),
        ),
        (
            json!({"temperature": 1.7}),
            NOVA,
            "/inferenceConfig/temperature",
            json!(1.0),
        ),
        (
            json!({"temperature": 1}),
            CLAUDE,
            "/inferenceConfig",
            Value::Null,
        ),
        (
            json!({"top_p": 0.5}),
            NOVA,
            "/inferenceConfig/topP",
            json!(0.5),
        ),
        (
            json!({"stop": "x"}),
            NOVA,
            "/inferenceConfig/stopSequences",
            json!(["x"]),
        ),
        (
            json!({"stop": ["x", "", "y"]}),
            NOVA,
            "/inferenceConfig/stopSequences",
            json!(["x", "y"]),
        ),
        (
            json!({"top_k": 5}),
            CLAUDE,
            "/additionalModelRequestFields/top_k",
            json!(5),
        ),
        (
            json!({"top_k": 5}),
            NOVA,
            "/additionalModelRequestFields/inferenceConfig/topK",
            json!(5),
        ),
        (
            json!({"service_tier": "default"}),
            NOVA,
            "/serviceTier/type",
            json!("default"),
        ),
        (
            json!({"service_tier": "fast"}),
            NOVA,
            "/serviceTier/type",
            json!("priority"),
        ),
        (
            json!({"service_tier": "auto"}),
            NOVA,
            "/serviceTier",
            Value::Null,
        ),
        (
            json!({"metadata": {"a": "b"}}),
            NOVA,
            "/requestMetadata",
            json!({"a": "b"}),
        ),
        (
            json!({"metadata": {}}),
            NOVA,
            "/requestMetadata",
            Value::Null,
        ),
        (
            json!({"guardrailConfig": {"x": 1}}),
            NOVA,
            "/guardrailConfig",
            json!({"x": 1}),
        ),
        (
            json!({"performanceConfig": {"latency": "optimized"}}),
            NOVA,
            "/performanceConfig/latency",
            json!("optimized"),
        ),
        (
            json!({"additionalModelResponseFieldPaths": ["/a"]}),
            NOVA,
            "/additionalModelResponseFieldPaths/0",
            json!("/a"),
        ),
        (
            json!({"additionalModelRequestFields": {"a": 1}}),
            NOVA,
            "/additionalModelRequestFields/a",
            json!(1),
        ),
        (
            json!({"tools": tool}),
            NOVA,
            "/toolConfig/tools",
            spec.clone(),
        ),
        (
            json!({"tools": tool, "tool_choice": "auto"}),
            NOVA,
            "/toolConfig/toolChoice",
            Value::Null,
        ),
        (
            json!({"tools": tool, "tool_choice": "required"}),
            NOVA,
            "/toolConfig/toolChoice",
            json!({"any": {}}),
        ),
        (
            json!({"tools": tool, "tool_choice": {"type": "function", "function": {"name": "f"}}}),
            NOVA,
            "/toolConfig/toolChoice",
            json!({"tool": {"name": "f"}}),
        ),
        (
            json!({"tools": tool, "tool_choice": "none"}),
            NOVA,
            "/toolConfig",
            Value::Null,
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false}),
            CLAUDE,
            "/additionalModelRequestFields/tool_choice",
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false, "tool_choice": "required"}),
            CLAUDE,
            "/additionalModelRequestFields/tool_choice/type",
            json!("any"),
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": false, "tool_choice": "required"}),
            CLAUDE,
            "/toolConfig/toolChoice",
            Value::Null,
        ),
        (
            json!({"reasoning_effort": "high"}),
            CLAUDE,
            "/additionalModelRequestFields/thinking/type",
            json!("enabled"),
        ),
        (
            json!({"reasoning_effort": "high"}),
            "anthropic.claude-opus-5-v1",
            "/additionalModelRequestFields/output_config/effort",
            json!("high"),
        ),
        (
            json!({"reasoning_effort": "none"}),
            "anthropic.claude-opus-5-v1",
            "/additionalModelRequestFields/thinking/type",
            json!("disabled"),
        ),
        (
            json!({"reasoning_effort": "xhigh"}),
            NOVA,
            "/additionalModelRequestFields/reasoningConfig",
            json!({"type": "enabled", "maxReasoningEffort": "high"}),
        ),
        (
            json!({"reasoning_effort": "low"}),
            "openai.gpt-oss-120b-1:0",
            "/additionalModelRequestFields/reasoning_effort",
            json!("low"),
        ),
        (
            json!({"reasoning_effort": "none"}),
            "meta.llama3",
            "/additionalModelRequestFields",
            Value::Null,
        ),
        (
            json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
            CLAUDE,
            "/messages/0/content/1",
            json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        ),
        (
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            NOVA,
            "/stream",
            Value::Null,
        ),
    ] {
        let out = sent(&with(members.clone()), model);
        let found = out.pointer(path).cloned().unwrap_or_default();
        assert_eq!(found, value, "{members}: {out}");
    }
}

#[test]
fn schemas_are_text_and_keep_their_order() {
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[],"response_format":{{"type":"json_schema","json_schema":{{"name":"n","description":"d","schema":{schema}}}}},
        "tools":[{{"type":"function","function":{{"name":"f","description":"","strict":true,"parameters":{{"properties":{{"z":{{}},"a":{{}}}}}}}},"cache_control":{{"type":"ephemeral"}}}},
        {{"type":"custom","custom":{{"name":"c","description":"free"}}}}]}}"#
    );
    let out = request::body(
        &Chat::parse(body.to_owned().into()).expect("a request"),
        NOVA,
        &mut Notes::default(),
    )
    .expect("translates");
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    assert!(
        text.contains(r#"{"type":"object","properties":{"z":{},"a":{}}}"#),
        "{text}"
    );
    let out: Value = serde_json::from_str(&text).expect("JSON");
    let format = &out["outputConfig"]["textFormat"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(
        format["structure"]["jsonSchema"],
        json!({"schema": schema, "name": "n", "description": "d"})
    );
    let tools = &out["toolConfig"]["tools"];
    assert_eq!(tools[0]["toolSpec"]["strict"], true);
    assert!(tools[0]["toolSpec"].get("description").is_none());
    assert_eq!(tools[1], json!({"cachePoint": {"type": "default"}}));
    assert_eq!(tools[2]["toolSpec"]["description"], "free");
    assert_eq!(
        tools[2]["toolSpec"]["inputSchema"]["json"]["required"],
        json!(["input"])
    );
}

#[test]
fn a_schema_is_a_tool_for_models_that_know_none() {
    let old = "anthropic.claude-3-haiku-20240307-v1:0";
    let name = "gateway__structured_answer";
    let schema = json!({"type": "object", "properties": {"a": {"type": "null"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
    let body = with(json!({"response_format": format}));
    let (out, notes) = noted(&body, old).expect("translates");
    assert_eq!(notes.mapped(), ["response_format"]);
    let spec = &out["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(
        (&spec["name"], &spec["inputSchema"]["json"]),
        (&json!(name), &schema)
    );
    assert!(out["outputConfig"].is_null() && out["toolConfig"]["toolChoice"].is_null());
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"],
        json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
    );
    assert!(sent(&body, CLAUDE)["toolConfig"].is_null());
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (choice, kind) in [("auto", "any"), ("none", "tool")] {
        let both = with(json!({"response_format": format, "tools": tools, "tool_choice": choice}));
        let out = sent(&both, old);
        assert_eq!(
            out["additionalModelRequestFields"]["tool_choice"]["type"],
            kind
        );
    }
    let own = with(
        json!({"response_format": format, "tools": [{"type": "function", "function": {"name": name}}]}),
    );
    assert_eq!(refused(&own, old).0, "tools");

    let call = json!({"toolUse": {"toolUseId": "t", "name": name, "input": {"a": 1}}});
    let (whole, _) =
        answer(&json!({"output": {"message": {"content": [call]}}, "stopReason": "tool_use"}));
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], "{\"a\":1}");
    assert_eq!(choice["finish_reason"], "stop");
    assert!(choice["message"]["tool_calls"].is_null());
    let all = frames(&[
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": name}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"a\":"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "1}"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "tool_use"})),
    ]);
    let (out, ended, _) = run(&[all]);
    ended.expect("whole");
    let chunks = chunks(&out);
    let said = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), "{\"a\":1}");
    assert!(out.contains("\"finish_reason\":\"stop\"") && !out.contains("tool_calls"));
}
