//! The example gateway as a process, driven over loopback as its contract says.

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use http::Method;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use support::Gateway;
use tower_completions::cost::Amount;

/// A mock behind every failure it can act out, and one key for every way to be refused.
fn config(dialect: &str) -> String {
    let mut text = format!(
        r#"
dialect = "{dialect}"

[[providers]]
name = "mock"
kind = "mock"

[[keys]]
name = "demo"
secret = "sk-demo"

[[keys]]
name = "rich"
secret = "sk-rich"
balance = "5.00"
requests_per_minute = 60
tokens_per_minute = 100000
max_concurrent = 2

[[keys]]
name = "poor"
secret = "sk-poor"
balance = "0.000001"

[[keys]]
name = "slow"
secret = "sk-slow"
requests_per_minute = 1

[[keys]]
name = "narrow"
secret = "sk-narrow"
models = ["other/*"]

[[keys]]
name = "frugal"
secret = "sk-frugal"

[[budgets]]
key = "frugal"
amount = "0.0001"
per = "day"
"#
    );
    for model in [
        "echo",
        "error",
        "overloaded",
        "rate-limited",
        "cut",
        "stall",
    ] {
        let alias = if model == "echo" {
            "aliases = [\"echo\"]"
        } else {
            ""
        };
        text.push_str(&format!(
            "[[models]]\nid = \"mock/{model}\"\n{alias}\ntargets = [{{ provider = \"mock\", model = \"mock/{model}\" }}]\n\
             price = {{ input = \"1\", output = \"2\" }}\n\n"
        ));
    }
    text.push_str(
        "[[models]]\nid = \"free/echo\"\ntargets = [{ provider = \"mock\", model = \"mock/echo\" }]\n\n\
         [[models]]\nid = \"safe/echo\"\ntargets = [{ provider = \"mock\", model = \"mock/error\" }]\n\
         fallbacks = [\"mock/echo\"]\nprice = { input = \"1\", output = \"2\" }\n",
    );
    text
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the cases")]
fn ask(fields: Value) -> String {
    let mut body = json!({
        "model": "mock/echo",
        "messages": [{ "role": "user", "content": "Merhaba dünya" }],
    });
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string()
}

#[tokio::test]
async fn a_unary_answer() {
    let gateway = Gateway::start(&config("openai"));
    for path in ["/v1/chat/completions", "/api/v1/chat/completions"] {
        let mut client = gateway.connect().await;
        let request = client.request(Method::POST, path, &ask(json!({})));
        let answer = client.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json = answer.json();
        assert_eq!(json["object"], "chat.completion");
        assert_eq!(json["model"], "mock/echo");
        assert_eq!(json["choices"][0]["message"]["role"], "assistant");
        assert_eq!(json["choices"][0]["finish_reason"], "stop");
        assert!(
            json["choices"][0]["message"]["content"]
                .as_str()
                .expect("text")
                .contains("Merhaba dünya")
        );
        assert!(json.get("cost").is_none());
        let cost: f64 = answer
            .header("x-completion-cost")
            .parse()
            .expect("a decimal");
        let usage = &json["usage"];
        let count = |name: &str| usage[name].as_f64().expect("a count");
        let expected = (count("prompt_tokens") + 2.0 * count("completion_tokens")) / 1e6;
        assert!((cost - expected).abs() < 1e-12, "{cost} {expected}");
        assert_eq!(answer.header("x-completion-cost-currency"), "USD");
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = gateway
        .post("sk-demo", &ask(json!({ "model": "echo" })))
        .await;
    assert_eq!(
        answer.json()["model"],
        "echo",
        "the model that the client asked for"
    );
    let answer = gateway
        .post("sk-demo", &ask(json!({ "model": "free/echo" })))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-completion-cost"), "", "no price, no cost");
}

#[tokio::test]
async fn a_stream() {
    let gateway = Gateway::start(&config("openai"));
    for include_usage in [false, true] {
        let mut fields = json!({ "stream": true });
        if include_usage {
            fields["stream_options"] = json!({ "include_usage": true });
        }
        let answer = gateway.post("sk-demo", &ask(fields)).await;
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("content-type")
                .starts_with("text/event-stream")
        );
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(answer.header("x-accel-buffering"), "no");
        assert!(!answer.headers.contains_key("content-length"));
        let events = answer.events();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        assert_eq!(answer.body.matches("[DONE]").count(), 1);
        let chunks: Vec<Value> = events[..events.len() - 1]
            .iter()
            .map(|event| serde_json::from_str(event).expect("JSON"))
            .collect();
        let (first, last) = (&chunks[0], chunks.last().expect("chunks"));
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        for chunk in &chunks {
            assert_eq!(chunk["object"], "chat.completion.chunk");
            for name in ["id", "created", "model"] {
                assert_eq!(chunk[name], first[name]);
            }
            assert!(chunk["choices"].is_array());
            assert_eq!(chunk.get("usage").is_some(), include_usage, "{chunk}");
        }
        assert_eq!(first["model"], "mock/echo");
        let text: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert!(text.contains("Merhaba dünya"));
        if include_usage {
            assert_eq!(last["choices"], json!([]));
            assert!(last["usage"]["total_tokens"].as_u64().expect("a count") > 0);
            assert!(
                chunks[..chunks.len() - 1]
                    .iter()
                    .all(|chunk| chunk["usage"].is_null())
            );
        } else {
            assert_eq!(last["choices"][0]["finish_reason"], "stop");
        }
    }
}

#[tokio::test]
async fn short_streams_do_not_stall() {
    let gateway = Gateway::start(&config("openai"));
    let mut client = gateway.connect().await;
    client.post(&ask(json!({ "stream": true }))).await;
    // A delayed acknowledgement costs 40 ms each: 800 ms in all, in each of several rounds. What else the machine
    // does need not cost that in all of them.
    let mut rounds = Vec::new();
    while rounds
        .iter()
        .all(|round: &Duration| round.as_millis() >= 600)
    {
        assert!(rounds.len() < 10, "{rounds:?} for 20 short streams");
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(client.post(&ask(json!({ "stream": true }))).await.whole);
        }
        rounds.push(begun.elapsed());
    }
}

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
async fn onysoft_names_and_prices_its_answers() {
    let gateway = Gateway::start(&config("onysoft"));
    let answer = gateway.post("sk-demo", &ask(json!({}))).await;
    let json = answer.json();
    let id = json["id"].as_str().expect("an id");
    let digits = id.strip_prefix("req_").expect("req_");
    assert!(
        digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!(json["cost"]["currency"], "USD");
    let amount = json["cost"]["amount"].as_f64().expect("a number");
    assert!(
        (amount
            - answer
                .header("x-completion-cost")
                .parse::<f64>()
                .expect("a decimal"))
        .abs()
            < 1e-15
    );
    assert!(
        answer.body.contains(&format!(
            "\"amount\":{}",
            answer.header("x-completion-cost")
        )),
        "exact"
    );

    for include_usage in [false, true] {
        let fields =
            json!({ "stream": true, "stream_options": { "include_usage": include_usage } });
        let events = gateway.post("sk-demo", &ask(fields)).await.events();
        let priced: Vec<Value> = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter(|chunk| chunk.get("cost").is_some())
            .collect();
        assert_eq!(priced.len(), 1, "{events:?}");
        if include_usage {
            assert_eq!(priced[0]["choices"], json!([]));
        } else {
            assert_eq!(priced[0]["choices"][0]["finish_reason"], "stop");
        }
        assert!((priced[0]["cost"]["amount"].as_f64().expect("a number") - amount).abs() < 1e-15);
    }
}

#[tokio::test]
async fn a_cut_stream_never_looks_finished() {
    let gateway = Gateway::start(&config("openai"));
    let answer = gateway
        .post(
            "sk-demo",
            &ask(json!({ "model": "mock/cut", "stream": true })),
        )
        .await;
    assert!(!answer.body.contains("[DONE]"));
    let last: Value =
        serde_json::from_str(answer.events().last().expect("an event")).expect("JSON");
    assert_eq!(last["error"]["type"], "upstream_error", "{}", answer.body);
}

#[tokio::test]
async fn a_fallback_answers_for_a_broken_target() {
    let gateway = Gateway::start(&config("openai"));
    for stream in [false, true] {
        let answer = gateway
            .post(
                "sk-demo",
                &ask(json!({ "model": "safe/echo", "stream": stream })),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("safe/echo"), "named as asked for");
        assert_eq!(answer.header("x-attempts"), "2");
    }
}

/// An upstream that has too many requests for one of its models, and none for the other.
fn upstream_with_a_busy_model() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("asked");
            let (mut said, mut piece) = (Vec::new(), [0; 4096]);
            while !said.ends_with(b"}") {
                match socket.read(&mut piece).expect("a request") {
                    0 => break,
                    read => said.extend_from_slice(&piece[..read]),
                }
            }
            let busy = String::from_utf8_lossy(&said).contains("\"busy\"");
            let (status, body) = if busy {
                (
                    "429 Too Many Requests",
                    json!({ "error": { "message": "later" } }),
                )
            } else {
                let message = json!({ "role": "assistant", "content": "Hi" });
                let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
                ("200 OK", json!({ "id": "a", "choices": [choice] }))
            };
            let body = body.to_string();
            let length = body.len();
            write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .expect("sent");
        }
    });
    port
}

/// However many requests need one, each has the attempts that the file says.
#[tokio::test]
async fn a_fallback_answers_for_a_busy_target_time_and_again() {
    let port = upstream_with_a_busy_model();
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
         [[models]]\nid = \"first\"\ntargets = [{{ provider = \"p\", model = \"busy\" }}]\nfallbacks = [\"second\"]\n\
         [[models]]\nid = \"second\"\ntargets = [{{ provider = \"p\", model = \"free\" }}]\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    ));
    for request in 0..40 {
        let answer = gateway
            .post("sk-demo", &ask(json!({ "model": "first" })))
            .await;
        assert_eq!(answer.status, 200, "{request}: {}", answer.body);
        assert_eq!(answer.header("x-attempts"), "2");
    }
}

#[tokio::test]
async fn models_and_key() {
    let gateway = Gateway::start(&config("openai"));
    let list = gateway.get("sk-demo", "/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|m| m["id"].as_str().expect("id"))
        .collect();
    assert!(
        ids.contains(&"mock/echo") && !ids.contains(&"echo"),
        "{ids:?}"
    );
    assert_eq!(
        gateway.get("sk-narrow", "/v1/models").await.json()["data"],
        json!([])
    );
    for path in [
        "/v1/models/mock/echo",
        "/v1/models/mock%2Fecho",
        "/v1/models/echo",
    ] {
        let model = gateway.get("sk-demo", path).await.json();
        assert_eq!(model["object"], "model", "{path}: {model}");
    }
    assert_eq!(gateway.get("", "/v1/models").await.status, 401);

    let before = gateway.get("sk-rich", "/v1/key").await.json()["data"].clone();
    assert_eq!(before["name"], "rich");
    assert_eq!(before["currency"], "USD");
    assert_eq!(
        before["balance"].as_str().expect("a string").parse(),
        Ok(5.0)
    );
    assert_eq!(before["requests"]["limit"], 60);
    assert_eq!(before["tokens"]["limit"], 100_000);
    assert_eq!(before["concurrent"], json!({ "limit": 2, "in_use": 0 }));
    let unlimited = &gateway.get("sk-demo", "/v1/key").await.json()["data"]["concurrent"];
    assert_eq!(unlimited, &json!({ "limit": null, "in_use": null }));
    let answer = gateway.post("sk-rich", &ask(json!({}))).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), "60");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "59");
    let cost = answer.header("x-completion-cost").parse();
    assert_eq!(Ok(gateway.settled("sk-rich", "5").await), cost);
    assert_eq!(
        gateway.get("sk-demo", "/v1/key").await.json()["data"]["balance"],
        Value::Null
    );
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
async fn a_client_that_leaves_frees_its_slot_and_hold() {
    let gateway = Gateway::start(&config("openai"));
    let body = ask(json!({ "model": "mock/stall", "stream": true }));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await.with_key("sk-rich");
        let request = client.request(Method::POST, "/v1/chat/completions", &body);
        let mut response = client.open(request).await;
        assert_eq!(response.status(), 200);
        response
            .body_mut()
            .frame()
            .await
            .expect("an event")
            .expect("a frame");
        held.push((client, response));
    }
    let refused = gateway.post("sk-rich", &ask(json!({}))).await;
    assert_eq!(refused.status, 429, "both slots are taken");
    let key = gateway.get("sk-rich", "/v1/key").await.json()["data"].clone();
    assert_eq!(key["concurrent"]["in_use"], 2);
    assert_ne!(key["held"].as_str().expect("a string").parse(), Ok(0.0));
    drop(held);
    let begun = Instant::now();
    loop {
        let key = gateway.get("sk-rich", "/v1/key").await.json()["data"].clone();
        if key["concurrent"]["in_use"] == 0
            && key["held"].as_str().expect("a string").parse() == Ok(0.0)
        {
            break;
        }
        assert!(begun.elapsed().as_secs() < 5, "still held: {key}");
        tokio::task::yield_now().await;
    }
    assert!(
        gateway.settled("sk-rich", "5").await > Amount::ZERO,
        "never free"
    );
}

/// An upstream of one stream, whose end it sends when it is told to.
fn upstream_that_waits() -> (u16, std::sync::mpsc::Sender<()>) {
    const EVENTS: [&str; 2] = [
        r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}"#,
        r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":"stop"}]}"#,
    ];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (go, may_go) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("asked");
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while !said.ends_with(b"}") {
            let read = socket.read(&mut piece).expect("a request");
            said.extend_from_slice(&piece[..read]);
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        write!(socket, "{head}{}\n\n", EVENTS[0]).expect("sent");
        if may_go.recv().is_ok() {
            write!(socket, "{}\n\ndata: [DONE]\n\n", EVENTS[1]).expect("sent");
        }
    });
    (port, go)
}

#[tokio::test]
async fn a_signal_lets_open_requests_end_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let (port, go) = upstream_that_waits();
        let mut gateway = Gateway::start(&format!(
            "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
             [[models]]\nid = \"m\"\ntargets = [{{ provider = \"p\", model = \"m\" }}]\n\
             [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
        ));
        let mut client = gateway.connect().await;
        let body = ask(json!({ "model": "m", "stream": true }));
        let request = client.request(Method::POST, "/v1/chat/completions", &body);
        let mut response = client.open(request).await;
        assert_eq!(response.status(), 200);
        let begun = response.body_mut().frame().await.expect("an event");
        let begun = begun.expect("sound").into_data().expect("data");
        assert!(begun.ends_with(b"\n\n"));
        gateway.signal(signal);
        while TcpStream::connect(&*gateway.addr).is_ok() {
            tokio::task::yield_now().await;
        }
        go.send(()).expect("it waits");
        let rest = response.into_body().collect().await.expect("whole");
        let rest = String::from_utf8(rest.to_bytes().to_vec()).expect("UTF-8");
        assert!(rest.contains(" there"), "{rest}");
        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        assert_eq!(gateway.wait(), Some(0), "{signal}");
    }
}

#[test]
fn a_connection_that_says_nothing_keeps_nothing_open() {
    let mut gateway = Gateway::start(&config("openai"));
    let silent = TcpStream::connect(&*gateway.addr).expect("connected");
    let mut begun = TcpStream::connect(&*gateway.addr).expect("connected");
    begun.write_all(b"PRI * HT").expect("sent");
    // Both have been accepted, for what comes later is served.
    let mut later = TcpStream::connect(&*gateway.addr).expect("connected");
    later
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    later.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    drop((silent, begun));
}

#[test]
fn http2_is_spoken_with_who_begins_with_it_whatever_the_pieces() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    socket.set_nodelay(true).expect("set");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().chain(&settings) {
        socket.write_all(&[*byte]).expect("sent");
        std::thread::yield_now();
    }
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "the server's settings come first: {frame:?}");
}

/// Whoever reads no answer before all of a body is sent, as Python's `http.client` does.
#[test]
fn a_refusal_reaches_who_sends_all_of_a_large_body_first() {
    let gateway = Gateway::start(&config("openai"));
    let body = vec![b' '; 24 << 20];
    for (path, key, status, chunked, expect) in [
        ("/v1/chat/completions", "sk-demo", "413", false, ""),
        ("/v1/chat/completions", "sk-demo", "413", true, ""),
        // Told to go on, for how much it is nobody knows before it is read.
        (
            "/v1/chat/completions",
            "sk-demo",
            "413",
            true,
            "expect: 100-continue\r\n",
        ),
        ("/v1/chat/completions", "sk-nobody", "401", false, ""),
        ("/nowhere", "sk-demo", "404", false, ""),
    ] {
        let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
        let framing = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\n{expect}{framing}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        if chunked {
            write!(socket, "{:x}\r\n", body.len()).expect("sent");
        }
        socket.write_all(&body).expect("all of it is taken");
        if chunked {
            socket.write_all(b"\r\n0\r\n\r\n").expect("sent");
        }
        // And the connection goes on.
        let last = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        socket.write_all(last.as_bytes()).expect("sent");
        let mut answers = String::new();
        socket.read_to_string(&mut answers).expect("two answers");
        let first = answers.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(first.is_some(), !expect.is_empty(), "{answers}");
        assert!(
            first
                .unwrap_or(&answers)
                .starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {key}: {answers}"
        );
        assert!(answers.ends_with("ok"), "{path} {key}: {answers}");
    }
}

/// A client that waits before it sends is answered without a word to go on.
#[test]
fn who_asks_first_is_not_told_to_send_what_is_refused() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-demo\r\n\
                expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

/// Some clients take a stream that is reset behind its answer for one that has failed.
#[test]
fn a_refusal_over_http2_is_no_reset() {
    let gateway = Gateway::start(&config("openai"));
    let mut socket = TcpStream::connect(&*gateway.addr).expect("connected");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // `:method: POST`, `:scheme: http`, `:path: /nowhere`, `:authority: x`; a body is to come.
    let ask = b"\x00\x00\x0f\x01\x04\x00\x00\x00\x01\x83\x86\x44\x08/nowhere\x41\x01x";
    let rest = b"\x00\x00\x02\x00\x01\x00\x00\x00\x01{}";
    let ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00whatever";
    socket
        .write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, ask].concat())
        .expect("sent");
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).expect("a frame");
        kinds.push(head[3]);
        match (head[3], head[4] & 1) {
            // The answer is whole: now comes the rest of the request, and what is answered behind it.
            (0, 1) => {
                socket.write_all(ping).expect("sent");
                socket.write_all(rest).expect("sent");
                socket.write_all(ping).expect("sent");
            }
            (6, 1) if kinds.iter().filter(|kind| **kind == 6).count() == 2 => break,
            _ => {}
        }
    }
    assert!(kinds.contains(&1), "{kinds:?}");
    assert!(!kinds.contains(&3), "no RST_STREAM: {kinds:?}");
}

#[tokio::test]
async fn a_head_over_http2_is_answered_without_a_body() {
    let gateway = Gateway::start(&config("openai"));
    let socket = tokio::net::TcpStream::connect(&*gateway.addr).await;
    let socket = TokioIo::new(socket.expect("connected"));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), socket)
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/v1/key", 200),
        ("/v1/models", 200),
        ("/v1/models/mock/echo", 200),
        ("/nowhere", 404),
        ("/v1/chat/completions", 405),
    ] {
        let mut answers = Vec::new();
        for method in [Method::GET, Method::HEAD] {
            let request = http::Request::builder()
                .method(method)
                .uri(format!("http://{}{path}", gateway.addr))
                .header("authorization", "Bearer sk-rich")
                .body(String::new())
                .expect("a request");
            let answer = client.send_request(request).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("a body that ends well");
            assert_eq!(head.status, status, "{path}");
            answers.push((head.headers, body.to_bytes()));
        }
        let [(told, body), (head, nothing)] = &answers[..] else {
            panic!("two answers");
        };
        assert!(!body.is_empty() && nothing.is_empty(), "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.get(name), told.get(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn the_page_and_the_health() {
    let gateway = Gateway::start(&config("openai"));
    let page = gateway.get("", "/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(!page.header("x-request-id").is_empty());
    let health = gateway.get("", "/healthz").await;
    assert_eq!((health.status.as_u16(), health.body.trim()), (200, "ok"));
}

#[tokio::test]
async fn a_model_without_a_price_has_that_of_the_tables() {
    use tower_completions::mock::{Script, Server, Upstream};
    let script = Script::text("hi").with_usage(1_000_000, 1_000_000, 0);
    let upstream = Upstream::new().with_default(script);
    let server = Server::start(upstream).await.expect("a port");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text =
        "[[price]]\nprovider = \"openai\"\nmodels = [\"ours\"]\ninput = \"1\"\noutput = \"2\"\n";
    std::fs::write(file.path(), text).expect("written");
    let config = format!(
        r#"
[prices]
file = "{}"

[[providers]]
name = "primary"
kind = "openai"
base_url = "{}"
api_keys = ["sk-x"]

[[models]]
id = "openai/gpt-4o-mini"
aliases = ["mini"]
targets = [{{ provider = "primary", model = "gpt-4o-mini" }}]

[[models]]
id = "ours"
targets = [{{ provider = "primary", model = "ours" }}]

[[models]]
id = "nowhere"
targets = [{{ provider = "primary", model = "nowhere" }}]

[[keys]]
name = "demo"
secret = "sk-demo"
balance = "100"

[[keys]]
name = "reseller"
secret = "sk-reseller"
markup = "1.5"
"#,
        file.path().display(),
        server.base_url(),
    );
    let gateway = Gateway::start(&config);
    for (key, model, status, cost) in [
        // USD 0.15 and 0.60 in the table that is built in.
        ("sk-demo", "openai/gpt-4o-mini", 200, "0.75"),
        ("sk-demo", "mini", 200, "0.75"),
        ("sk-demo", "ours", 200, "3"),
        ("sk-reseller", "ours", 200, "4.5"),
        ("sk-reseller", "nowhere", 200, ""),
        ("sk-demo", "nowhere", 403, ""),
    ] {
        let answer = gateway.post(key, &ask(json!({ "model": model }))).await;
        assert_eq!(answer.status, status, "{model}");
        assert_eq!(answer.header("x-completion-cost"), cost, "{model}");
    }
    server.stop().await;
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
