use super::*;

#[test]
fn a_member_by_another_name_or_value() {
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"z": 1, "a": 2}}});
    for (vendor, member, value, name, expected) in [
        ("mistral", "seed", json!(7), "random_seed", json!(7)),
        (
            "mistral",
            "max_completion_tokens",
            json!(9),
            "max_tokens",
            json!(9),
        ),
        (
            "mistral",
            "service_tier",
            json!("default"),
            "service_tier",
            json!("standard_only"),
        ),
        (
            "deepseek",
            "max_completion_tokens",
            json!(9),
            "max_tokens",
            json!(9),
        ),
        (
            "deepseek",
            "reasoning_effort",
            json!("none"),
            "thinking",
            json!({"type": "disabled"}),
        ),
        (
            "deepseek",
            "reasoning_effort",
            json!("high"),
            "reasoning_effort",
            json!("high"),
        ),
        (
            "groq",
            "service_tier",
            json!("priority"),
            "service_tier",
            json!("performance"),
        ),
        (
            "groq",
            "service_tier",
            json!("flex"),
            "service_tier",
            json!("flex"),
        ),
        ("together", "logprobs", json!(true), "logprobs", json!(1)),
        (
            "fireworks",
            "top_logprobs",
            json!(20),
            "top_logprobs",
            json!(5),
        ),
        (
            "fireworks",
            "user",
            json!("u"),
            "context_length_exceeded_behavior",
            json!("error"),
        ),
        ("tgi", "stop", json!("END"), "stop", json!(["END"])),
        (
            "tgi",
            "response_format",
            schema,
            "response_format",
            json!({"type": "json", "value": {"z": 1, "a": 2}}),
        ),
        ("plain", "seed", json!(7), "seed", json!(7)),
    ] {
        let (body, _) = sent(vendor, "x", &with(member, value));
        let body = body.expect("fits");
        assert_eq!(body[name], expected, "{vendor} {member}");
        assert!(
            name == member || vendor == "fireworks" || body.get(member).is_none(),
            "{vendor} {member}"
        );
    }
}

#[test]
fn openais_thinking_models_take_the_newer_limit_only() {
    for (model, newer) in [
        ("gpt-4o-mini", false),
        ("gpt-4.1", false),
        ("o3-mini", true),
        ("gpt-5.1", true),
        ("gpt-6-astra", true),
        ("omni", false),
    ] {
        let (body, _) = sent("openai", model, &with("max_tokens", json!(9)));
        let body = body.expect("fits");
        assert_eq!(
            body.get("max_completion_tokens").is_some(),
            newer,
            "{model}"
        );
        assert_eq!(body.get("max_tokens").is_none(), newer, "{model}");
    }
}

#[test]
fn what_a_vendor_does_not_take() {
    for (vendor, member, value) in [
        ("groq", "n", json!(2)),
        ("groq", "logprobs", json!(true)),
        ("deepseek", "logit_bias", json!({"1": 1})),
        (
            "deepseek",
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "s"}}),
        ),
        ("mistral", "web_search_options", json!({})),
        ("perplexity", "modalities", json!(["audio"])),
    ] {
        let (body, _) = sent(vendor, "x", &with(member, value));
        let error = body.expect_err(member);
        assert_eq!(
            (error.param(), error.code()),
            (Some(member), Some("unsupported_parameter"))
        );
    }
    for (vendor, member, value, told) in [
        ("groq", "frequency_penalty", json!(1), true),
        ("groq", "frequency_penalty", json!(0), false),
        ("groq", "n", json!(1), false),
        ("groq", "logprobs", json!(false), false),
        ("deepseek", "seed", json!(0), true),
        ("xai", "verbosity", json!("low"), true),
        ("vllm", "user", json!("u"), true),
        ("vllm", "user", Value::Null, false),
        ("deepseek", "service_tier", json!("auto"), false),
    ] {
        let (body, notes) = sent(vendor, "x", &with(member, value.clone()));
        assert!(
            body.expect("fits").get(member).is_none(),
            "{vendor} {member}"
        );
        assert_eq!(
            !notes.dropped().is_empty(),
            told,
            "{vendor} {member} {value}"
        );
    }
}

#[test]
fn usage_is_asked_for_where_it_must_be() {
    let body = with("stream", json!(true));
    for vendor in Vendor::all() {
        let (sent, _) = sent(vendor.name(), "x", &body);
        let asked = &sent.expect("fits")["stream_options"]["include_usage"];
        let always = ["mistral", "perplexity"].contains(&vendor.name());
        assert_eq!(*asked == true, !always, "{}", vendor.name());
    }
}

#[test]
fn models_that_reason_take_no_samplers() {
    let high = Some("high");
    for (vendor, model, effort, member, value, there) in [
        (
            "openai",
            "o3-mini",
            None,
            "temperature",
            json!(0.5),
            Err(()),
        ),
        (
            "openai",
            "o3-mini",
            None,
            "temperature",
            json!(1),
            Ok(false),
        ),
        ("openai", "gpt-5-mini", None, "top_p", json!(0.5), Err(())),
        (
            "openai",
            "gpt-5-mini",
            None,
            "logprobs",
            json!(false),
            Ok(false),
        ),
        (
            "openai",
            "gpt-5-chat-latest",
            None,
            "temperature",
            json!(0.5),
            Ok(true),
        ),
        (
            "openai",
            "gpt-5.1",
            None,
            "temperature",
            json!(0.5),
            Ok(true),
        ),
        (
            "openai",
            "gpt-5.1",
            Some("none"),
            "temperature",
            json!(0.5),
            Ok(true),
        ),
        (
            "openai",
            "gpt-5.1",
            high,
            "presence_penalty",
            json!(1),
            Err(()),
        ),
        ("openai", "gpt-5.4-pro", None, "top_p", json!(0.5), Err(())),
        ("openai", "gpt-6-astra", None, "top_p", json!(0.5), Err(())),
        ("openai", "gpt-6-sol", None, "top_p", json!(0.5), Ok(true)),
        (
            "openai",
            "gpt-4o",
            None,
            "temperature",
            json!(0.5),
            Ok(true),
        ),
        ("xai", "grok-4-0709", None, "stop", json!(["x"]), Err(())),
        (
            "xai",
            "grok-4-fast-non-reasoning",
            None,
            "stop",
            json!(["x"]),
            Ok(true),
        ),
        ("xai", "grok-3", None, "stop", json!(["x"]), Ok(true)),
        (
            "deepseek",
            "deepseek-chat",
            None,
            "temperature",
            json!(0.5),
            Ok(true),
        ),
    ] {
        let mut body = with(member, value);
        body["reasoning_effort"] = effort.into();
        let (sent, notes) = sent(vendor, model, &body);
        let got = match &sent {
            Ok(sent) => Ok(!sent[member].is_null()),
            Err(error) => {
                assert_eq!(error.param(), Some(member), "{model}");
                Err(())
            }
        };
        assert_eq!(got, there, "{model} {member} {sent:?}");
        assert!(notes.dropped().is_empty(), "{model} {notes:?}");
    }
    let (sent, notes) = sent(
        "deepseek",
        "deepseek-reasoner",
        &with("temperature", json!(0.5)),
    );
    assert!(sent.expect("sent")["temperature"].is_null());
    assert_eq!(notes.dropped(), ["temperature"]);
}
