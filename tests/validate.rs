//! `Validate` through its public layer.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Error, Principal,
    body::Full,
    cost::{PriceList, Prices},
    parse::{Chat, ChatBody},
    validate::{
        Capabilities, Catalog, KnownModels, Mistakes, Policy, Report, Support, UnknownMembers,
        ValidateLayer,
    },
    wire::request::Name,
};

async fn echo(request: Request<ChatBody>) -> Result<Response<Full>, Infallible> {
    Ok(Response::new(Full::new(
        request
            .into_body()
            .collect()
            .await
            .expect("read")
            .to_bytes(),
    )))
}

async fn send(layer: ValidateLayer, body: &str, caller: Option<Principal>) -> Response<String> {
    let mut request = Request::new(Full::new(body.to_owned()));
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let response = layer
        .layer(service_fn(echo))
        .oneshot(request)
        .await
        .expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("read").to_bytes();
    Response::from_parts(parts, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

fn ask(fields: &Value) -> String {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string()
}

/// Status in dialects `openai` and `strict`, code and param of one request.
async fn verdict(fields: &Value) -> (u16, u16, Option<String>, Option<String>) {
    let body = ask(fields);
    let open = send(ValidateLayer::new(Dialect::openai()), &body, None).await;
    let strict = send(ValidateLayer::new(Dialect::strict()), &body, None).await;
    let error = open.extensions().get::<Error>();
    if error.is_none() {
        assert_eq!(
            *open.body(),
            body,
            "an accepted request travels on byte for byte"
        );
    }
    (
        open.status().as_u16(),
        strict.status().as_u16(),
        error.and_then(|error| error.code().map(str::to_owned)),
        error.and_then(|error| error.param().map(str::to_owned)),
    )
}

const TYPE: &str = "invalid_type";
const VALUE: &str = "invalid_value";
const MISSING: &str = "missing_required_parameter";

#[tokio::test]
async fn a_table_of_requests() {
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let good = [
        json!({}),
        json!({ "temperature": 0, "top_p": 1, "n": 1.0, "stop": null, "seed": -5 }),
        json!({ "temperature": 2, "presence_penalty": -2, "frequency_penalty": 2 }),
        json!({ "temperature": null, "top_p": null, "max_tokens": null, "stream": null, "logprobs": null }),
        json!({ "stop": "x" }),
        json!({ "stop": ["a", "b", "c", "d"] }),
        json!({ "logprobs": true, "top_logprobs": 20 }),
        json!({ "logit_bias": { "50256": -100 } }),
        json!({ "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false } }),
        json!({ "tools": tool, "tool_choice": "required", "parallel_tool_calls": false }),
        json!({ "tools": tool, "tool_choice": { "type": "function", "function": { "name": "f" } } }),
        json!({ "tools": tool, "tool_choice": "none" }),
        json!({ "tool_choice": "none" }),
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": {}, "strict": null } } }),
        json!({ "reasoning_effort": "xhigh", "verbosity": "low", "service_tier": "flex" }),
        json!({ "metadata": { "a": "b" }, "user": "u", "store": true }),
        json!({ "modalities": ["text", "audio"], "audio": { "voice": "alloy", "format": "mp3" } }),
        json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "t" },
            { "type": "image_url", "image_url": { "url": "https://a/b.png", "detail": "low" } },
        ] }] }),
        json!({ "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "42" },
        ] }),
        json!({ "x_unknown": [null, { "deep": true }] }),
    ];
    for fields in good {
        assert_eq!(
            verdict(&fields).await.0,
            200,
            "{fields}: {:?}",
            verdict(&fields).await
        );
    }
    let bad = [
        (json!({ "temperature": 2.0001 }), VALUE, "temperature"),
        (json!({ "temperature": -0.1 }), VALUE, "temperature"),
        (json!({ "temperature": "1" }), TYPE, "temperature"),
        (json!({ "top_p": 1.1 }), VALUE, "top_p"),
        (json!({ "n": 0 }), VALUE, "n"),
        (json!({ "n": 129 }), VALUE, "n"),
        (json!({ "n": 1.5 }), TYPE, "n"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), VALUE, "stop"),
        (json!({ "stop": 7 }), TYPE, "stop"),
        (json!({ "stop": ["a", 7] }), TYPE, "stop[1]"),
        (
            json!({ "presence_penalty": 2.1 }),
            VALUE,
            "presence_penalty",
        ),
        (
            json!({ "frequency_penalty": -2.1 }),
            VALUE,
            "frequency_penalty",
        ),
        (
            json!({ "logprobs": true, "top_logprobs": 21 }),
            VALUE,
            "top_logprobs",
        ),
        (
            json!({ "logprobs": true, "top_logprobs": -1 }),
            VALUE,
            "top_logprobs",
        ),
        (json!({ "top_logprobs": 3 }), VALUE, "top_logprobs"),
        (json!({ "max_tokens": 0 }), VALUE, "max_tokens"),
        (
            json!({ "max_tokens": 1, "max_completion_tokens": 1 }),
            VALUE,
            "max_tokens",
        ),
        (
            json!({ "max_completion_tokens": "5" }),
            TYPE,
            "max_completion_tokens",
        ),
        (json!({ "seed": 1.5 }), TYPE, "seed"),
        (json!({ "stream": "yes" }), TYPE, "stream"),
        (
            json!({ "stream_options": { "include_usage": true } }),
            VALUE,
            "stream_options",
        ),
        (json!({ "logit_bias": { "5": 101 } }), VALUE, "logit_bias.5"),
        (
            json!({ "tools": tool, "tool_choice": "sometimes" }),
            VALUE,
            "tool_choice",
        ),
        (json!({ "tool_choice": "auto" }), VALUE, "tool_choice"),
        (
            json!({ "tools": [{ "type": "function", "function": {} }] }),
            MISSING,
            "tools[0].function.name",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "no blanks" } }] }),
            VALUE,
            "tools[0].function.name",
        ),
        (
            json!({ "response_format": { "type": "xml" } }),
            VALUE,
            "response_format.type",
        ),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            MISSING,
            "response_format.json_schema",
        ),
        (
            json!({ "reasoning_effort": "extreme" }),
            VALUE,
            "reasoning_effort",
        ),
        (json!({ "metadata": { "a": 1 } }), TYPE, "metadata.a"),
        (json!({ "model": null }), TYPE, "model"),
        (json!({ "messages": null }), TYPE, "messages"),
        (json!({ "messages": [] }), VALUE, "messages"),
        (json!({ "messages": ["hi"] }), TYPE, "messages[0]"),
        (
            json!({ "messages": [{ "content": "hi" }] }),
            MISSING,
            "messages[0].role",
        ),
        (
            json!({ "messages": [{ "role": "user" }] }),
            MISSING,
            "messages[0].content",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [] }] }),
            VALUE,
            "messages[0].content",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": 5 } }] }] }),
            TYPE,
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "hologram" }] }] }),
            VALUE,
            "messages[0].content[0].type",
        ),
        (
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            MISSING,
            "messages[0].tool_call_id",
        ),
    ];
    let mut wrong = Vec::new();
    for (fields, code, param) in bad {
        let got = verdict(&fields).await;
        let strict = if code == VALUE { 422 } else { 400 };
        let expected = (400, strict, Some(code.to_owned()), Some(param.to_owned()));
        if got != expected {
            wrong.push(format!("{fields}:\n  got {got:?}\n  not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn defaults_are_filled_in_where_the_dialect_says_so() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":null}"#;
    let sent = |dialect| async {
        send(ValidateLayer::new(dialect), body, None)
            .await
            .into_body()
    };
    assert_eq!(sent(Dialect::openai()).await, body);
    let expected =
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.7,"top_p":1}"#;
    assert_eq!(sent(Dialect::onysoft()).await, expected);
}

/// A dialect is a value like any other.
#[tokio::test]
async fn an_own_dialect_has_its_own_defaults_and_its_own_status() {
    let mut own = Dialect::openai();
    own.temperature = Some("0.25");
    own.value_status = http::StatusCode::UNPROCESSABLE_ENTITY;
    let sent = send(ValidateLayer::new(own.clone()), &ask(&json!({})), None).await;
    let sent: Value = serde_json::from_str(sent.body()).expect("JSON");
    assert_eq!(sent["temperature"], json!(0.25));
    assert!(sent.get("top_p").is_none());
    for (fields, status) in [(json!({ "n": 0 }), 422), (json!({ "n": "0" }), 400)] {
        let refused = send(ValidateLayer::new(own.clone()), &ask(&fields), None).await;
        assert_eq!(refused.status(), status, "{fields}");
    }
}

#[tokio::test]
async fn very_many_mistakes_are_refused_as_one_is() {
    for count in [1, 300] {
        let biases: serde_json::Map<_, _> =
            (0..count).map(|at| (format!("{at}"), json!(101))).collect();
        let first = Some("logit_bias.0".to_owned());
        let expected = (400, 422, Some(VALUE.to_owned()), first);
        assert_eq!(verdict(&json!({ "logit_bias": biases })).await, expected);
        let wrong = vec![json!(5); count];
        let first = Some("messages[0]".to_owned());
        let expected = (400, 400, Some(TYPE.to_owned()), first);
        assert_eq!(verdict(&json!({ "messages": wrong })).await, expected);
    }
}

#[derive(Clone)]
struct Known;

impl KnownModels for Known {
    fn id(&self, name: &str) -> Arc<str> {
        Arc::from(if name == "short" { "family/m" } else { name })
    }
    fn support(&self, model: &str, parameter: Name, _: &Chat) -> Support {
        match (model, parameter) {
            ("family/m", Name::Seed) => Support::Drop,
            ("family/m", Name::Temperature | Name::LogitBias) => Support::Refuse,
            _ => Support::Yes,
        }
    }
    fn context_window(&self, model: &str) -> Option<u64> {
        (model == "family/m").then_some(1000)
    }
}

#[tokio::test]
async fn a_models_own_limits_are_told_or_announced() {
    let layer = || ValidateLayer::new(Dialect::onysoft()).models(Known);
    let body = ask(&json!({ "model": "short", "seed": 5 }));
    let response = send(layer(), &body, None).await;
    assert_eq!(response.headers()["x-params-dropped"], "seed");
    let sent: Value = serde_json::from_str(response.body()).expect("JSON");
    assert!(sent.get("seed").is_none() && sent.get("temperature").is_none() && sent["top_p"] == 1);

    let refused = send(
        layer(),
        &ask(&json!({ "model": "short", "logit_bias": {} })),
        None,
    )
    .await;
    let code = |response: &Response<String>| {
        response
            .extensions()
            .get::<Error>()
            .and_then(|e| e.code().map(str::to_owned))
    };
    assert_eq!(code(&refused).as_deref(), Some("unsupported_parameter"));

    let long =
        json!({ "model": "short", "messages": [{ "role": "user", "content": "x".repeat(8000) }] });
    let refused = send(layer(), &ask(&long), None).await;
    assert_eq!(code(&refused).as_deref(), Some("context_length_exceeded"));
    assert!(
        refused.body().contains("2007"),
        "the estimate is said: {}",
        refused.body()
    );

    let caller = Principal::new("c").with_models(["family/*"]);
    assert_eq!(
        send(
            layer(),
            &ask(&json!({ "model": "short" })),
            Some(caller.clone())
        )
        .await
        .status(),
        200
    );
    let refused = send(layer(), &ask(&json!({ "model": "else/x" })), Some(caller)).await;
    assert_eq!(
        (refused.status().as_u16(), code(&refused).as_deref()),
        (403, Some("model_not_allowed"))
    );
}

/// A price book whose lists know more of models than their prices.
fn book() -> Prices {
    let litellm = r#"{
        "small": {"litellm_provider": "a", "input_cost_per_token": 1e-6, "max_input_tokens": 1000,
            "max_output_tokens": 100, "supports_vision": false, "supports_function_calling": false,
            "supports_parallel_function_calling": false, "supports_reasoning": false},
        "large": {"litellm_provider": "a", "input_cost_per_token": 1e-6, "max_input_tokens": 3000,
            "max_output_tokens": 100, "supports_vision": true}}"#;
    let genai = r#"[{"id": "b", "models": [{"id": "other", "match": {"equals": "other"},
        "context_window": 2000, "prices": {"input_mtok": 1}}]}]"#;
    Prices::new()
        .with_list(PriceList::litellm(litellm, "v").expect("readable"))
        .with_list(PriceList::genai_prices(genai, "v").expect("readable"))
        .with_targets("small", [("a", "small")])
        .with_targets("other", [("b", "other")])
        .with_targets("either", [("a", "small"), ("a", "large")])
        .with_targets("unlisted", [("a", "small"), ("c", "new")])
}

#[tokio::test]
async fn a_price_book_tells_what_its_models_take() {
    let book = book();
    let ids = ["small", "other", "either", "unlisted"];
    let catalog = ids.into_iter().fold(Catalog::new(), |catalog, id| {
        let facts = book.facts(id).unwrap_or_default();
        catalog.model(id, [], Capabilities::of(id).filled(&facts))
    });
    let image = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]);
    let text = |bytes: usize| json!([{"role": "user", "content": "x".repeat(bytes)}]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let long = Some("context_length_exceeded");
    let unsupported = Some("unsupported_parameter");
    for (fields, code, param) in [
        // A thousand tokens and a fifth of the estimate.
        (json!({"model": "small", "messages": text(4900)}), None, ""),
        (
            json!({"model": "small", "messages": text(5100)}),
            long,
            "messages",
        ),
        (json!({"model": "other", "messages": text(9900)}), None, ""),
        (
            json!({"model": "other", "messages": text(10_100)}),
            long,
            "messages",
        ),
        (
            json!({"model": "either", "messages": text(14_900)}),
            None,
            "",
        ),
        (
            json!({"model": "either", "messages": text(15_100)}),
            long,
            "messages",
        ),
        (
            json!({"model": "unlisted", "messages": text(50_000)}),
            None,
            "",
        ),
        (json!({"model": "small", "max_tokens": 100}), None, ""),
        (
            json!({"model": "small", "max_tokens": 101}),
            Some("invalid_value"),
            "max_tokens",
        ),
        (
            json!({"model": "small", "messages": image}),
            Some("unsupported_content"),
            "messages",
        ),
        (json!({"model": "either", "messages": image}), None, ""),
        (json!({"model": "other", "messages": image}), None, ""),
        (
            json!({"model": "small", "tools": tools}),
            unsupported,
            "tools",
        ),
        (json!({"model": "either", "tools": tools}), None, ""),
        (
            json!({"model": "small", "reasoning_effort": "low"}),
            unsupported,
            "reasoning_effort",
        ),
    ] {
        let layer = ValidateLayer::new(Dialect::openai()).models(catalog.clone());
        let response = send(layer, &ask(&fields), None).await;
        let error = response.extensions().get::<Error>();
        let shown: String = fields.to_string().chars().take(90).collect();
        assert_eq!(error.and_then(Error::code), code, "{shown}");
        assert_eq!(
            error.and_then(Error::param).unwrap_or_default(),
            param,
            "{shown}"
        );
        if code == long {
            assert_eq!(response.status(), 400);
            assert!(response.body().contains("about "), "the estimate is said");
        }
    }
    // What the operator has said is not overruled.
    let said = Capabilities::new()
        .context_window(8000)
        .parameter(Name::Tools, Support::Drop)
        .filled(&book.facts("small").expect("listed"));
    let layer = ValidateLayer::new(Dialect::openai()).models(Catalog::new().model("m", [], said));
    let body = ask(&json!({"messages": text(9000), "tools": tools, "parallel_tool_calls": true}));
    let response = send(layer, &body, None).await;
    assert_eq!(response.status(), 200);
    let dropped: Vec<&str> = response.headers()["x-params-dropped"]
        .to_str()
        .expect("text")
        .split(", ")
        .collect();
    assert!(
        dropped.contains(&"tools") && dropped.contains(&"parallel_tool_calls"),
        "{dropped:?}"
    );
}

#[tokio::test]
async fn an_operators_policy() {
    let mut policy = Policy::default();
    policy.max_n = 2;
    policy.max_output_tokens = Some(100);
    policy.unknown = UnknownMembers::Refuse;
    policy.report = Report::All;
    let layer = ValidateLayer::new(Dialect::openai()).policy(policy);
    for (fields, says) in [
        (json!({ "n": 3 }), "`n` must be at most 2 here, got 3"),
        (
            json!({ "max_tokens": 101 }),
            "`max_tokens` must be at most 100 here, got 101",
        ),
        (json!({ "top_k": 1 }), "`top_k` is not a known parameter"),
        (json!({ "temperature": 3, "top_p": 2 }), "; `top_p` must be"),
    ] {
        let response = send(layer.clone(), &ask(&fields), None).await;
        assert_eq!(response.status(), 400);
        assert!(response.body().contains(says), "{}", response.body());
        let mistakes = response.extensions().get::<Mistakes>().expect("kept");
        let one = mistakes.iter().next().expect("at least one");
        assert!(
            response
                .body()
                .contains(&one.message().replace('"', "\\\""))
        );
    }
}

/// A million keys, in places that are read and in places that are not.
#[tokio::test]
async fn a_million_keys_are_refused_by_their_number() {
    let keys = (0..1_000_000).map(|n| format!("\"k{n}\":0"));
    let keys = keys.collect::<Vec<_>>().join(",");
    for body in [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{keys}}}"#),
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi",{keys}}}]}}"#),
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"x":{{"y":{{{keys}}}}}}}"#
        ),
    ] {
        // The limit of a body would refuse it for its size alone.
        let limits = tower_completions::parse::ReadLimits::default().max_bytes(64 << 20);
        let service = tower_completions::parse::ParseLayer::new()
            .limits(limits)
            .layer(ValidateLayer::new(Dialect::openai()).layer(service_fn(echo)));
        let request = Request::new(Full::new(body));
        let response = service.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 400);
        let error = response.extensions().get::<Error>().expect("a refusal");
        assert!(error.message().len() < 400, "{}", error.message());
    }
}

#[tokio::test]
async fn a_content_type_that_is_not_json_or_is_given_twice_is_refused() {
    for kinds in [
        &["text/plain"][..],
        &["application/json", "application/json"],
        &["application/json", "text/plain"],
        &["application/x-www-form-urlencoded"],
        &["application/json; charset=utf-16"],
    ] {
        let mut request = Request::new(Full::new(ask(&json!({}))));
        for kind in kinds {
            let kind = kind.parse().expect("a value");
            request.headers_mut().append("content-type", kind);
        }
        let service = ValidateLayer::new(Dialect::openai()).layer(service_fn(echo));
        let response = service.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 415, "{kinds:?}");
        let error = response.extensions().get::<Error>().expect("a refusal");
        assert_eq!(error.code(), Some("unsupported_media_type"));
    }
}
