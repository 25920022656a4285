//! What the example gateway refuses, and how it says so.

#[path = "support/mocked.rs"]
mod mocked;
mod support;

use http::Method;
use mocked::{ask, config};
use serde_json::json;
use support::Gateway;

#[tokio::test]
async fn refusals() {
    let gateway = Gateway::start(&config("openai"));
    let cases = [
        (
            "sk-wrong",
            ask(json!({})),
            401,
            "authentication_error",
            "invalid_api_key",
            None,
        ),
        (
            "",
            ask(json!({})),
            401,
            "authentication_error",
            "invalid_api_key",
            None,
        ),
        (
            "sk-demo",
            "{".to_owned(),
            400,
            "invalid_request_error",
            "invalid_json",
            None,
        ),
        (
            "sk-demo",
            "[]".to_owned(),
            400,
            "invalid_request_error",
            "invalid_type",
            None,
        ),
        (
            "sk-demo",
            r#"{"model":"a","model":"b"}"#.to_owned(),
            400,
            "invalid_request_error",
            "duplicate_key",
            Some("model"),
        ),
        (
            "sk-demo",
            r#"{"model":"mock/echo"}"#.to_owned(),
            400,
            "invalid_request_error",
            "missing_required_parameter",
            Some("messages"),
        ),
        (
            "sk-demo",
            ask(json!({ "messages": [] })),
            400,
            "invalid_request_error",
            "invalid_value",
            Some("messages"),
        ),
        (
            "sk-demo",
            ask(json!({ "messages": [{ "role": "user", "content": 7 }] })),
            400,
            "invalid_request_error",
            "invalid_type",
            Some("messages[0].content"),
        ),
        (
            "sk-demo",
            ask(json!({ "messages": [{ "role": "wizard", "content": "x" }] })),
            400,
            "invalid_request_error",
            "invalid_value",
            Some("messages[0].role"),
        ),
        (
            "sk-demo",
            ask(json!({ "temperature": 2.1 })),
            400,
            "invalid_request_error",
            "invalid_value",
            Some("temperature"),
        ),
        (
            "sk-demo",
            ask(json!({ "top_p": -0.1 })),
            400,
            "invalid_request_error",
            "invalid_value",
            Some("top_p"),
        ),
        (
            "sk-demo",
            ask(json!({ "logprobs": true, "top_logprobs": 21 })),
            400,
            "invalid_request_error",
            "invalid_value",
            Some("top_logprobs"),
        ),
        (
            "sk-demo",
            ask(json!({ "temperature": "hot" })),
            400,
            "invalid_request_error",
            "invalid_type",
            Some("temperature"),
        ),
        (
            "sk-poor",
            ask(json!({})),
            402,
            "insufficient_quota",
            "insufficient_balance",
            None,
        ),
        (
            "sk-frugal",
            ask(json!({})),
            402,
            "insufficient_quota",
            "budget_exceeded",
            None,
        ),
        (
            "sk-narrow",
            ask(json!({})),
            403,
            "permission_error",
            "model_not_allowed",
            Some("model"),
        ),
        (
            "sk-rich",
            ask(json!({ "model": "free/echo" })),
            403,
            "permission_error",
            "model_not_priced",
            None,
        ),
        (
            "sk-demo",
            ask(json!({ "model": "nobody/knows" })),
            404,
            "invalid_request_error",
            "model_not_found",
            Some("model"),
        ),
        (
            "sk-demo",
            ask(json!({ "model": "mock/rate-limited" })),
            429,
            "rate_limit_error",
            "upstream_rate_limited",
            None,
        ),
        (
            "sk-demo",
            ask(json!({ "model": "mock/error" })),
            502,
            "upstream_error",
            "bad_upstream_response",
            None,
        ),
        (
            "sk-demo",
            ask(json!({ "model": "mock/overloaded" })),
            503,
            "overloaded_error",
            "upstream_overloaded",
            None,
        ),
    ];
    for (key, body, status, kind, code, param) in cases {
        let answer = gateway.post(key, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], kind, "{body}: {error}");
        assert_eq!(error["code"], code, "{body}: {error}");
        if let Some(param) = param {
            assert_eq!(error["param"], param, "{body}: {error}");
        }
        assert_eq!(error.as_object().expect("an object").len(), 4);
        assert!(!answer.header("x-request-id").is_empty(), "{body}");
        if status == 402 {
            assert_eq!(answer.header("x-should-retry"), "false");
        }
    }
    let paths = [
        (
            Method::GET,
            "/v1/chat/completions",
            405,
            "method_not_allowed",
        ),
        (Method::POST, "/v1/models", 405, "method_not_allowed"),
        (
            Method::DELETE,
            "/api/v1/models/mock/echo",
            405,
            "method_not_allowed",
        ),
        (Method::POST, "/v1/key", 405, "method_not_allowed"),
        (Method::DELETE, "/healthz", 405, "method_not_allowed"),
        (Method::GET, "/v1/nowhere", 404, "not_found"),
        (
            Method::GET,
            "/v1/models/nobody/knows",
            404,
            "model_not_found",
        ),
    ];
    for (method, path, status, code) in paths {
        let mut client = gateway.connect().await;
        let request = client.request(method.clone(), path, "");
        let answer = client.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        assert_eq!(
            status == 405,
            answer.headers.contains_key("allow"),
            "{method} {path}"
        );
        // A wrong method is one whoever asks, as a path is that nobody has.
        if status == 405 || code == "not_found" {
            let mut request = client.request(method.clone(), path, "");
            request.headers_mut().remove("authorization");
            let unknown = client.send(request).await;
            assert_eq!(unknown.status, answer.status, "{method} {path}");
            assert_eq!(unknown.json(), answer.json(), "{method} {path}");
            let [here, there] = [&unknown, &answer].map(|it| it.headers.get("allow"));
            assert_eq!(here, there, "{method} {path}");
        }
    }
    let mut client = gateway.connect().await;
    let mut request = client.request(Method::POST, "/v1/chat/completions", &ask(json!({})));
    request
        .headers_mut()
        .insert("content-type", "text/plain".parse().expect("a value"));
    assert_eq!(client.send(request).await.status, 415);
}

#[tokio::test]
async fn strict_tells_values_from_format() {
    let gateway = Gateway::start(&config("strict"));
    for (fields, status) in [
        (json!({ "temperature": 3 }), 422),
        (json!({ "temperature": "3" }), 400),
        (json!({ "top_logprobs": 3 }), 422),
        (json!({ "messages": null }), 400),
        (json!({ "messages": [] }), 422),
        (json!({ "n": 0 }), 422),
        // So many mistakes that they are not read to their end.
        (json!({ "messages": vec![json!({ "role": 5 }); 300] }), 400),
        (
            json!({ "messages": vec![json!({ "role": "x", "content": "y" }); 300] }),
            422,
        ),
    ] {
        let answer = gateway.post("sk-demo", &ask(fields.clone())).await;
        assert_eq!(answer.status, status, "{fields}: {}", answer.body);
    }
}

/// Nothing listens there: what a provider has no way to say is refused before it is called.
#[tokio::test]
async fn strict_tells_values_that_only_a_provider_refuses() {
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "no JSON" } });
    let said = json!({ "role": "user", "content": "hi" });
    let called = json!({ "role": "assistant", "tool_calls": [call] });
    let result = json!({ "role": "tool", "tool_call_id": "a", "content": "r" });
    for (dialect, status) in [("openai", 400), ("strict", 422)] {
        let gateway = Gateway::start(&format!(
            "dialect = {dialect:?}\n[[providers]]\nname = \"p\"\nkind = \"anthropic\"\n\
             base_url = \"http://127.0.0.1:9\"\napi_keys = [\"k\"]\n[[models]]\nid = \"m\"\n\
             targets = [{{ provider = \"p\", model = \"claude\" }}]\n\
             [[keys]]\nname = \"k\"\nsecret = \"sk\"\n"
        ));
        for messages in [
            json!([{ "role": "user", "content": " " }]),
            json!([said, called, result]),
        ] {
            for stream in [false, true] {
                let asked = json!({ "model": "m", "stream": stream, "messages": messages });
                let answer = gateway.post("sk", &asked.to_string()).await;
                assert_eq!(answer.status, status, "{}", answer.body);
                assert_eq!(answer.json()["error"]["code"], "invalid_value");
            }
        }
        let asked = json!({ "model": "m", "logit_bias": { "1": 1 }, "messages": [said] });
        let answer = gateway.post("sk", &asked.to_string()).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert_eq!(answer.json()["error"]["code"], "unsupported_parameter");
    }
}

#[tokio::test]
async fn limits_hold_and_tell() {
    let gateway = Gateway::start(&config("openai"));
    assert_eq!(gateway.post("sk-slow", &ask(json!({}))).await.status, 200);
    let refused = gateway
        .post("sk-slow", &ask(json!({ "stream": true })))
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    let seconds: u64 = refused
        .header("retry-after")
        .parse()
        .expect("whole seconds");
    assert!((1..=60).contains(&seconds));
    assert!(!refused.header("retry-after-ms").is_empty());
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
}

#[tokio::test]
async fn what_is_nested_128_levels_is_answered_and_no_more() {
    let gateway = Gateway::start(&config("openai"));
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let ask = |unknown: usize, of_message: usize| {
        let (unknown, of_message) = (nested(unknown), nested(of_message));
        format!(
            r#"{{"model":"mock/echo","x":{unknown},
            "messages":[{{"role":"user","content":"hi","x":{of_message}}}]}}"#
        )
    };
    for (unknown, of_message) in [(127, 1), (1, 125)] {
        let answer = gateway.post("sk-demo", &ask(unknown, of_message)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let deep = ask(unknown + 1, of_message + 1);
        let answer = gateway.post("sk-demo", &deep).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.code()),
            (400, "json_too_deep")
        );
    }
}
