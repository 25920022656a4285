//! Each row of the mapping tables, from OpenAI's request to the provider's: a request and all that
//! the provider is sent of it, or the refusal.
//!
//! The fixtures are patches (RFC 7396) of a base: `ask` of the request, `sent` of the body that goes
//! up, which must then be the same to the last member. What is announced beside it is named in
//! `dropped` and `mapped`, and nothing else may be; `refused` is the parameter that a refusal names.

use std::{borrow::Cow, collections::BTreeSet, fmt::Debug};

use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tower_completions::{
    Error, Target,
    body::Full,
    parse::Chat,
    provider::{
        Contract, Notes, Translate, Unsupported,
        anthropic::Anthropic,
        azure::{Api, Auth, Azure},
        bedrock::Bedrock,
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        vertex::Vertex,
    },
};

/// RFC 7396.
fn patch(target: &mut Value, by: &Value) {
    let Value::Object(members) = by else {
        target.clone_from(by);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("it is one").remove(name);
        } else {
            patch(&mut target[name], value);
        }
    }
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let name = |name: &Value| name.as_str().expect("a name").to_owned();
    list.iter().map(name).collect()
}

/// What is sent, and what is announced beside it.
fn sent<T: Translate>(
    translate: &T,
    model: &str,
    ask: &Value,
    contract: &str,
) -> Result<(Request<Full>, Notes), Error> {
    let rule = match contract {
        "drop" => Unsupported::Drop,
        "refuse" => Unsupported::Refuse,
        _ => Unsupported::ByMeaning,
    };
    let mut notes = Notes::new(Contract::new(rule));
    let chat = Chat::parse(ask.to_string().into()).expect("a request");
    let target = Target::new("p", model);
    let mut request = translate.request(&chat, &target, &mut notes)?;
    translate.authorize(&mut request, "the-key")?;
    Ok((request, notes))
}

/// What is wrong with a case; nothing, when all is as it is written down.
fn check<T: Translate>(translate: &T, base: &Value, case: &Value) -> Result<(), String> {
    let known = [
        "ask", "sent", "path", "model", "dropped", "mapped", "refused", "code", "contract",
    ];
    let members = case.as_object().expect("a case");
    assert!(
        members.keys().all(|name| known.contains(&&**name)),
        "{case}"
    );
    let model = case["model"].as_str().or(base["model"].as_str());
    let contract = case["contract"].as_str().unwrap_or_default();
    let mut ask = base["ask"].clone();
    if let Some(by) = case.get("ask") {
        patch(&mut ask, by);
    }
    let done = sent(translate, model.expect("a model"), &ask, contract);
    if let Some(param) = case["refused"].as_str() {
        let Err(error) = done else {
            return Err("it is not refused".to_owned());
        };
        let code = case["code"].as_str().unwrap_or("unsupported_parameter");
        return same(
            "refusal",
            &(error.param(), error.code()),
            &(Some(param), Some(code)),
        );
    }
    let (request, notes) = done.map_err(|error| error.to_string())?;
    let mut wanted = base["sent"].clone();
    if let Some(by) = case.get("sent") {
        patch(&mut wanted, by);
    }
    let path = case["path"].as_str().or(base["path"].as_str());
    let uri = format!("http://host{}", path.expect("a path"));
    same("URL", &request.uri().to_string(), &uri)?;
    same("method", request.method(), &Method::POST)?;
    for (name, value) in base["headers"].as_object().expect("headers") {
        let header = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        same(name, &header, &value.as_str())?;
    }
    let body = tokio_test::block_on(request.into_body().collect());
    let body: Value = serde_json::from_slice(&body.expect("whole").to_bytes()).expect("JSON");
    if body != wanted {
        return Err(format!("body\n  {body}, not\n  {wanted}"));
    }
    let of = |list: &[Cow<'static, str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    same("dropped", &of(notes.dropped()), &names(&case["dropped"]))?;
    same("mapped", &of(notes.mapped()), &names(&case["mapped"]))
}

fn same<T: PartialEq + Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what} {got:?}, not {wanted:?}"))
}

/// All cases of a provider, one or more for each of these rows and none for others.
fn rows<T: Translate>(translate: &T, of: &str, text: &str, listed: &[&str]) {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|why| panic!("{of}: {why}"));
    let rows = all["rows"].as_object().expect("rows");
    let there: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = listed.iter().copied().collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    let unlisted: Vec<_> = there.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "{of}: {missing:?} {unlisted:?}"
    );
    let mut wrong = Vec::new();
    for (row, cases) in rows {
        let cases = cases.as_array().expect("cases");
        assert!(!cases.is_empty(), "{of}, {row}");
        for case in cases {
            if let Err(why) = check(translate, &all["base"], case) {
                wrong.push(format!("{of}, {row}: {case}\n  {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/requests/", $name, ".json"))
    };
}

#[test]
fn anthropic() {
    let translate = Anthropic::new("http://host").expect("a URL");
    let listed = [
        "model",
        "max_completion_tokens, max_tokens",
        "system, developer",
        "user",
        "assistant",
        "assistant.tool_calls",
        "reasoning sent back",
        "tool",
        "function role, functions, function_call",
        "name",
        "same-role neighbours",
        "image_url with data URL",
        "image_url with http(s)",
        "file",
        "input_audio",
        "prompt_cache_breakpoint",
        "stop",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format json_schema",
        "response_format json_object",
        "reasoning_effort",
        "user, safety_identifier",
        "service_tier",
        "web_search_options",
        "stream",
        "n",
        "frequency_penalty, presence_penalty",
        "logit_bias",
        "logprobs",
        "seed",
        "prediction",
        "modalities, audio",
        "verbosity",
        "store",
        "metadata",
        "prompt_cache_key, prompt_cache_options",
        "moderation",
        "unknown members",
    ];
    rows(&translate, "anthropic", fixture!("anthropic"), &listed);
}

#[test]
fn gemini() {
    let translate = Gemini::new("http://host").expect("a URL");
    let listed = [
        "model, stream",
        "system, developer",
        "user, assistant",
        "text",
        "image_url data URL, input_audio, file data",
        "image_url http(s)",
        "tool_calls",
        "reasoning sent back",
        "tool",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_completion_tokens",
        "temperature",
        "top_p, top_k",
        "n",
        "stop",
        "frequency_penalty, presence_penalty",
        "seed",
        "logprobs, top_logprobs",
        "response_format json_object",
        "response_format json_schema",
        "reasoning_effort",
        "modalities, audio",
        "service_tier",
        "web_search_options",
        "metadata",
        "logit_bias",
        "user, safety_identifier, store, prediction, verbosity",
        "prompt caching",
        "safety_settings, cached_content",
        "functions",
        "name",
        "moderation",
        "unknown members",
    ];
    rows(&translate, "gemini", fixture!("gemini"), &listed);
}

#[test]
fn vertex() {
    let translate = Vertex::at("http://host", "proj", "loc").expect("a URL");
    let listed = [
        "model, stream",
        "metadata as labels",
        "service_tier",
        "Anthropic's models",
    ];
    rows(&translate, "vertex", fixture!("vertex"), &listed);
}

#[test]
fn bedrock() {
    let translate = Bedrock::new("http://host").expect("a URL");
    let listed = [
        "model, stream",
        "system, developer",
        "user, assistant",
        "text",
        "image",
        "file",
        "audio",
        "tool_calls",
        "reasoning sent back",
        "tool",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_completion_tokens",
        "temperature, top_p",
        "stop",
        "response_format json_schema",
        "response_format json_object",
        "reasoning_effort",
        "service_tier",
        "metadata",
        "cache breakpoints",
        "top_k",
        "n",
        "frequency_penalty, presence_penalty",
        "seed",
        "logprobs",
        "logit_bias",
        "user, safety_identifier",
        "guardrailConfig, performanceConfig, additional fields",
        "modalities, audio",
        "web_search_options",
        "functions, moderation",
        "prediction, verbosity, store, prompt caching",
        "name, unknown members",
    ];
    rows(&translate, "bedrock", fixture!("bedrock"), &listed);
}

#[test]
fn cohere() {
    let translate = Cohere::new("http://host").expect("a URL");
    let listed = [
        "model, stream",
        "roles",
        "image_url",
        "input_audio, file",
        "tool_calls, tool",
        "top_p, top_k",
        "temperature",
        "frequency_penalty, presence_penalty",
        "stop",
        "max_completion_tokens",
        "seed, logprobs",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "strict tools",
        "extras",
        "n",
        "logit_bias",
        "parallel_tool_calls",
        "modalities, audio",
        "web_search_options",
        "functions, moderation",
        "prediction, verbosity, store, metadata, service_tier",
        "user, safety_identifier, prompt caching",
        "name, unknown members",
    ];
    rows(&translate, "cohere", fixture!("cohere"), &listed);
}

#[test]
fn ollama() {
    let translate = Ollama::new("http://host").expect("a URL");
    let listed = [
        "model, stream",
        "messages",
        "images",
        "input_audio, file",
        "tool_calls, tool",
        "response_format",
        "options",
        "keep_alive",
        "think",
        "tools",
        "tool_choice",
        "n",
        "logit_bias",
        "logprobs",
        "parallel_tool_calls",
        "modalities, audio",
        "web_search_options",
        "functions, moderation",
        "prediction, verbosity, store, metadata, service_tier",
        "user, safety_identifier, prompt caching",
        "name, unknown members",
    ];
    rows(&translate, "ollama", fixture!("ollama"), &listed);
}

#[test]
fn azure() {
    let translate = Azure::new("http://host", Api::V1, None).expect("a URL");
    let listed = ["v1", "stream"];
    rows(&translate, "azure", fixture!("azure"), &listed);
}

#[test]
fn azure_by_deployment() {
    let translate = Azure::new("http://host", Api::Deployments, None);
    let translate = translate.expect("a URL").with_auth(Auth::Bearer);
    let listed = ["deployments, Entra bearer"];
    rows(&translate, "azure", fixture!("azure-deployments"), &listed);
}
