use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    error::Error,
    provider::{Contract, Unsupported},
};

fn sent(vendor: &str, model: &str, body: &Value) -> (Result<Value, Error>, Notes) {
    let chat = Chat::parse(Bytes::from(body.to_string())).expect("a request");
    sent_of(&chat, vendor, model)
}

fn sent_of(chat: &Chat, vendor: &str, model: &str) -> (Result<Value, Error>, Notes) {
    let translate = OpenAi::new("http://host/v1").expect("a URL");
    let translate = translate.with_vendor(Vendor::named(vendor).expect("known"));
    let mut notes = Notes::default();
    let request = translate.request(chat, &Target::new("p", model), &mut notes);
    let body = request.map(|request| {
        let mut body = request.into_body();
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        let frame = http_body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut cx);
        let std::task::Poll::Ready(Some(Ok(frame))) = frame else {
            panic!("a body")
        };
        serde_json::from_slice(&frame.into_data().expect("data")).expect("JSON")
    });
    (body, notes)
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}

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
            json!(5.0),
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
fn hosts_tell_vendors() {
    for vendor in Vendor::all() {
        assert_eq!(Vendor::named(vendor.name()), Some(vendor));
        let Some(base) = vendor.base_url() else {
            continue;
        };
        let translate = OpenAi::new(base).expect("a URL");
        if !base.contains("localhost") {
            assert_eq!(translate.vendor, vendor, "{base}");
        }
    }
    assert_eq!(Vendor::of_host("API.X.AI").name(), "xai");
    assert_eq!(Vendor::of_host("evilapi.x.ai").name(), "plain");
    assert_eq!(Vendor::of_host("eu.api.mistral.ai").name(), "mistral");
}

/// A row says one thing of each member.
#[test]
fn the_table_is_sound() {
    for vendor in Vendor::all() {
        let names: Vec<&str> = vendor.row().params.iter().map(|(name, _)| *name).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{}", vendor.name());
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
fn tiers_by_vendor() {
    for (vendor, tier, sent_as) in [
        ("mistral", "priority", Some("auto")),
        ("mistral", "flex", None),
        ("groq", "priority", Some("performance")),
        ("groq", "flex", Some("flex")),
        ("groq", "scale", None),
    ] {
        let (sent, notes) = sent(vendor, "m", &with("service_tier", tier.into()));
        assert_eq!(
            sent.expect("sent")["service_tier"].as_str(),
            sent_as,
            "{vendor} {tier}"
        );
        assert_eq!(
            notes.dropped().is_empty(),
            sent_as.is_some(),
            "{vendor} {tier}"
        );
    }
}

#[test]
fn efforts_by_model() {
    // What is asked of a model and what it is told; `-` is nothing, `!` a refusal.
    for (vendor, model, rows) in [
        ("xai", "grok-3-mini", "minimal:low high:high none:!"),
        ("xai", "grok-4.3", "none:none xhigh:high"),
        ("xai", "grok-4.5", "medium:medium none:!"),
        ("xai", "grok-4", "low:!"),
        ("xai", "grok-4.20-reasoning", "low:!"),
        ("xai", "grok-4-1-fast-reasoning", "low:!"),
        ("openai", "gpt-4o-mini", "low:! none:-"),
        ("openai", "gpt-4.1-2025-04-14", "high:! none:-"),
        ("openai", "chatgpt-4o-latest", "high:!"),
        (
            "openai",
            "ft:gpt-4o-mini-2024-07-18:org::id",
            "low:! none:-",
        ),
        ("openai", "o1-mini", "low:! none:!"),
        (
            "openai",
            "o3",
            "minimal:low low:low high:high xhigh:high none:!",
        ),
        ("openai", "o4-mini-2025-04-16", "medium:medium max:high"),
        (
            "openai",
            "gpt-5",
            "minimal:minimal high:high xhigh:high none:!",
        ),
        ("openai", "gpt-5-2025-08-07", "minimal:minimal none:!"),
        ("openai", "gpt-5-mini", "minimal:minimal max:high"),
        ("openai", "gpt-5-pro", "low:high high:high none:!"),
        (
            "openai",
            "gpt-5-chat-latest",
            "low:medium medium:medium none:!",
        ),
        ("openai", "gpt-5-codex", "minimal:low high:high"),
        (
            "openai",
            "gpt-5.1",
            "none:none minimal:low high:high xhigh:high",
        ),
        ("openai", "gpt-5.1-chat-latest", "high:medium"),
        ("openai", "gpt-5.1-codex-max", "xhigh:xhigh none:!"),
        ("openai", "gpt-5.2", "none:none xhigh:xhigh max:xhigh"),
        (
            "openai",
            "gpt-5.2-pro-2025-12-11",
            "low:medium xhigh:xhigh none:!",
        ),
        (
            "openai",
            "gpt-5.4-nano",
            "none:none minimal:low xhigh:xhigh",
        ),
        ("openai", "gpt-6-astra", "low:low max:xhigh none:!"),
        ("openai", "gpt-6.1-sol", "minimal:low max:xhigh none:!"),
        ("openai", "gpt-6-sol", "none:none max:xhigh"),
        ("openai", "gpt-7", "max:max"),
        ("openai", "my-own", "max:max none:none"),
        (
            "groq",
            "openai/gpt-oss-120b",
            "minimal:low medium:medium max:high none:!",
        ),
        (
            "groq",
            "qwen/qwen3-32b",
            "none:none low:default high:default default:default",
        ),
        ("groq", "llama-3.3-70b-versatile", "low:! none:-"),
        ("groq", "some-new-model", "xhigh:xhigh"),
    ] {
        for row in rows.split(' ') {
            let (asked, wanted) = row.split_once(':').expect("a row");
            let (sent, notes) = sent(vendor, model, &with("reasoning_effort", asked.into()));
            if wanted == "!" {
                let error = sent.expect_err(model);
                assert_eq!(error.param(), Some("reasoning_effort"), "{model} {asked}");
                continue;
            }
            let sent = &sent.expect(model)["reasoning_effort"];
            assert_eq!(sent.as_str().unwrap_or("-"), wanted, "{model} {asked}");
            let told = !notes.mapped().is_empty();
            assert_eq!(told, wanted != "-" && wanted != asked, "{model} {asked}");
        }
    }
}

/// RFC 7396.
fn patch(target: &mut Value, by: &Value) {
    let Value::Object(members) = by else {
        target.clone_from(by);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            patch(&mut target[name], value);
        }
    }
}

/// What `rows.txt` says of each parameter of each vendor's table, and nothing of others.
#[test]
fn each_row_of_the_table_is_as_written_down() {
    let mut seen: Vec<(&str, String)> = Vec::new();
    let lines = include_str!("rows.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (who, rest) = line.split_once(' ').expect("a vendor");
        let (vendor, model) = who.split_once(':').unwrap_or((who, "x"));
        let (ask, wanted) = rest.split_once(" -> ").expect("what comes of it");
        let ask: Value = serde_json::from_str(ask).expect("JSON");
        let members = ask.as_object().expect("an object").keys();
        seen.extend(members.map(|name| (vendor, name.clone())));
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        patch(&mut body, &ask);
        let (done, notes) = sent(vendor, model, &body);
        if let Some(param) = wanted.strip_prefix("! ") {
            let error = done.expect_err(line);
            assert_eq!(error.param(), Some(param), "{line}");
            assert_eq!(error.code(), Some("unsupported_parameter"), "{line}");
            continue;
        }
        let mut words = wanted.split(' ');
        let by = words.next().expect("a patch");
        body["model"] = model.into();
        patch(&mut body, &serde_json::from_str(by).expect("JSON"));
        assert_eq!(done.expect(line), body, "{line}");
        let (mut dropped, mut mapped) = (Vec::new(), Vec::new());
        for word in words {
            let (what, names) = word.split_once('=').expect("what is told");
            let into = if what == "dropped" {
                &mut dropped
            } else {
                &mut mapped
            };
            into.extend(names.split(',').map(str::to_owned));
        }
        let mut told: Vec<String> = notes.dropped().iter().map(ToString::to_string).collect();
        told.sort_unstable();
        dropped.sort_unstable();
        assert_eq!(told, dropped, "{line}");
        assert_eq!(notes.mapped(), mapped, "{line}");
    }
    for vendor in Vendor::all() {
        let has = |name: &str| {
            seen.iter()
                .any(|(of, member)| *of == vendor.name() && member == name)
        };
        let params = vendor.row().params.iter().map(|(name, _)| *name);
        let missing: Vec<&str> = params.filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", vendor.name());
        assert!(
            seen.iter().any(|(of, _)| *of == vendor.name()),
            "{}",
            vendor.name()
        );
    }
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
