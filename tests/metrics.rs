//! What the example gateway counts and logs, and that nothing private is among it.

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use support::Gateway;
use tower_completions::mock::{Fault, Script, Server, Upstream};

const CONFIG: &str = r#"
[[providers]]
name = "mock"
kind = "mock"
api_keys = ["sk-wombat-upstream"]

[[keys]]
name = "demo"
secret = "sk-ocelot-client"
balance = "5.00"

[[models]]
id = "mock/echo"
targets = [{ provider = "mock", model = "mock/echo" }]
price = { input = "1", output = "2" }

[[models]]
id = "mock/error"
targets = [{ provider = "mock", model = "mock/error" }]
price = { input = "1", output = "2" }
"#;

const KEY: &str = "sk-ocelot-client";

fn ask(model: &str, stream: bool) -> String {
    json!({
        "model": model,
        "stream": stream,
        "user": "axolotl",
        "messages": [{ "role": "user", "content": "quokka one two" }],
    })
    .to_string()
}

async fn metrics(gateway: &Gateway) -> String {
    let answer = gateway.get("", "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain"));
    answer.body
}

/// The value of a series, 0 when there is none.
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().expect("a whole number"))
}

#[tokio::test]
async fn requests_tokens_and_cost_are_counted() {
    let gateway = Gateway::start(CONFIG);
    let mut spent = 0;
    for (count, stream) in [(1, false), (2, true)] {
        let answer = gateway.post(KEY, &ask("mock/echo", stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = metrics(&gateway).await;
        let series =
            r#"tower_completions_requests{provider="mock",model="mock/echo",outcome="ok"}"#;
        assert_eq!(value(&text, series), count, "{text}");
        let tokens = |class: &str| {
            let series =
                format!(r#"tower_completions_tokens{{model="mock/echo",class="{class}"}}"#);
            value(&text, &series)
        };
        // A dollar for a million tokens is a million picodollars for one.
        let cost = value(&text, "tower_completions_cost_picodollars ");
        assert!(cost > spent, "{text}");
        assert_eq!(cost, (tokens("input") + 2 * tokens("output")) * 1_000_000);
        assert_eq!(value(&text, "tower_completions_holds "), 0);
        spent = cost;
    }
    let text = metrics(&gateway).await;
    assert_eq!(value(&text, "tower_completions_streams "), 0, "{text}");
    assert!(text.contains("gen_ai_server_time_to_first_token_count 1"));
    // Times of several nodes can be added up.
    for series in [
        r#"gen_ai_server_time_to_first_token_bucket{le="10"}"#,
        r#"gen_ai_server_time_per_output_token_bucket{model="mock/echo",le="2.5"}"#,
    ] {
        assert_eq!(value(&text, series), 1, "{text}");
    }
    let series = r#"gen_ai_client_operation_duration_bucket{model="mock/echo",le="81.92"}"#;
    assert_eq!(value(&text, series), 2, "{text}");
    let attempts = r#"tower_completions_attempts{provider="mock",outcome="ok"}"#;
    assert_eq!(value(&text, attempts), 2, "{text}");
    // Only completions are.
    assert_eq!(gateway.get(KEY, "/v1/models").await.status, 200);
    assert!(!metrics(&gateway).await.contains(r#"provider="",model="""#));
    let refused = gateway.post("sk-unknown", &ask("mock/echo", false)).await;
    assert_eq!(refused.status, 401);
    let text = metrics(&gateway).await;
    let series = r#"tower_completions_errors{kind="authentication"}"#;
    assert_eq!(value(&text, series), 1, "{text}");
}

#[tokio::test]
async fn no_key_prompt_or_answer_is_logged_at_trace_or_exported() {
    let upstream = Gateway::start(&CONFIG.replace(KEY, "sk-wombat-upstream"));
    let config = format!(
        "{CONFIG}\n\
         [[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         api_keys = [\"sk-wombat-upstream\"]\n\n\
         [[models]]\nid = \"far/echo\"\n\
         targets = [{{ provider = \"far\", model = \"mock/echo\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n",
        upstream.addr
    );
    let mut gateway = Gateway::start_with(&config, &[("RUST_LOG", "trace")]);
    for stream in [false, true] {
        let answer = gateway.post(KEY, &ask("far/echo", stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        for model in ["mock/echo", "mock/error", "mock/quokka-unknown"] {
            gateway.post(KEY, &ask(model, stream)).await;
        }
    }
    gateway
        .post("sk-ocelot-wrong", &ask("mock/echo", false))
        .await;
    gateway.post(KEY, "{\"messages\": \"quokka\"").await;
    let text = metrics(&gateway).await;
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let log = gateway.log();
    assert!(
        log.contains("gen_ai.request.model=\"far/echo\""),
        "spans are logged: {log}"
    );
    for private in ["quokka", "ocelot", "wombat", "axolotl"] {
        for line in log.lines().chain(text.lines()) {
            assert!(!line.contains(private), "{private} in {line}");
        }
    }
}

#[tokio::test]
async fn every_metric_says_what_it_is() {
    let gateway = Gateway::start(CONFIG);
    for (key, model) in [
        (KEY, "mock/echo"),
        (KEY, "mock/error"),
        ("sk-none", "mock/echo"),
    ] {
        gateway.post(key, &ask(model, true)).await;
    }
    let text = metrics(&gateway).await;
    let shown = |what: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        let names = lines.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
        names.collect()
    };
    let (typed, explained) = (shown("# TYPE "), shown("# HELP "));
    assert!(typed.len() > 7, "{text}");
    assert_eq!(typed, explained, "{text}");
}

#[tokio::test]
async fn requests_in_anthropics_form_are_counted_and_traced() {
    let mut gateway = Gateway::start_with(CONFIG, &[("RUST_LOG", "tower_completions=info")]);
    for stream in [false, true] {
        let body = json!({
            "model": "mock/echo",
            "max_tokens": 50,
            "stream": stream,
            "messages": [{ "role": "user", "content": "quokka one two" }],
        });
        let mut client = gateway.connect().await.with_key(KEY);
        let request = client.request(Method::POST, "/v1/messages", &body.to_string());
        let answer = client.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let text = metrics(&gateway).await;
    let ok = r#"tower_completions_requests{provider="mock",model="mock/echo",outcome="ok"}"#;
    assert_eq!(value(&text, ok), 2, "{text}");
    assert_eq!(value(&text, "tower_completions_holds "), 0, "{text}");
    assert_eq!(value(&text, "tower_completions_streams "), 0, "{text}");
    assert!(
        text.contains("gen_ai_server_time_to_first_token_count 1"),
        "{text}"
    );
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let log = gateway.log();
    let spans = log.matches("gen_ai.response.model=").count();
    assert!(spans >= 2, "{log}");
}

/// Whatever an upstream says of a request may quote it; and a request has more that is private than texts.
#[tokio::test]
async fn nothing_of_a_request_is_logged_whatever_an_upstream_says_of_it() {
    let says =
        |status, kind| Script::error(status, kind, "quokka", "quokka, said sk-wombat-upstream");
    let scripts = || {
        [
            says(StatusCode::BAD_REQUEST, "invalid_request_error"),
            says(StatusCode::UNAUTHORIZED, "authentication_error"),
            says(StatusCode::FORBIDDEN, "permission_error"),
            says(StatusCode::NOT_FOUND, "invalid_request_error"),
            says(StatusCode::TOO_MANY_REQUESTS, "quokka"),
            says(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Script::bytes(StatusCode::OK, "quokka"),
            Script::bytes(StatusCode::BAD_GATEWAY, "<html>quokka</html>"),
            Script::text("quokka").with_reasoning("quokka"),
            Script::text("quokka one two").with_fault(2, Fault::Cut),
            Script::call("quokka", r#"{"quokka":"quokka"}"#),
        ]
    };
    let upstream = Upstream::new();
    let server = Server::start(upstream.clone()).await.expect("a port");
    let config = format!(
        "{CONFIG}\n[routing]\nattempts = 1\n\n\
         [[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
         api_keys = [\"sk-wombat-upstream\"]\n\n\
         [[models]]\nid = \"far/echo\"\n\
         targets = [{{ provider = \"far\", model = \"mock/echo\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n\n\
         [[models]]\nid = \"mock/panic\"\n\
         targets = [{{ provider = \"mock\", model = \"mock/panic\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n",
        server.base_url()
    );
    let mut gateway = Gateway::start_with(&config, &[("RUST_LOG", "trace")]);
    let ask = |model: &str, stream: bool| {
        json!({
            "model": model,
            "stream": stream,
            "user": "axolotl",
            "metadata": { "quokka": "quokka" },
            "tools": [{ "type": "function", "function": {
                "name": "quokka", "description": "quokka", "parameters": { "quokka": 1 } } }],
            "quokka": { "quokka": "quokka" },
            "messages": [
                { "role": "system", "content": "quokka" },
                { "role": "user", "content": [
                    { "type": "text", "text": "quokka" },
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,quokka" } },
                    { "type": "image_url", "image_url": { "url": "https://quokka/quokka.png" } },
                ] },
                { "role": "assistant", "tool_calls": [{ "id": "quokka", "type": "function",
                    "function": { "name": "quokka", "arguments": "{\"quokka\":1}" } }] },
                { "role": "tool", "tool_call_id": "quokka", "content": "quokka" },
            ],
        })
    };
    let mut statuses = Vec::new();
    for stream in [false, true] {
        for script in scripts() {
            upstream.queue(script);
            let answer = gateway
                .post(KEY, &ask("far/echo", stream).to_string())
                .await;
            statuses.push(answer.status.as_u16());
        }
        let answer = gateway
            .post(KEY, &ask("mock/panic", stream).to_string())
            .await;
        assert!(answer.status == 500 || stream, "{}", answer.body);
        // Refused by ourselves, each for something private.
        for (member, value) in [
            ("tool_choice", json!("quokka")),
            ("user", json!(["quokka"])),
            ("quokka\u{1b}", json!(null)),
            ("messages", json!("quokka")),
        ] {
            let mut wrong = ask("far/echo", stream);
            wrong[member] = value;
            gateway.post(KEY, &wrong.to_string()).await;
        }
    }
    let seen = upstream.log().requests().len();
    assert!(seen >= 2 * scripts().len(), "{seen}: {statuses:?}");
    for status in [200, 400, 429, 502] {
        assert!(statuses.contains(&status), "{status} of {statuses:?}");
    }
    let text = metrics(&gateway).await;
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let log = gateway.log();
    assert!(log.contains("TRACE"), "{log}");
    assert!(log.contains("panicked"), "a panic is told: {log}");
    for private in ["quokka", "ocelot", "wombat", "axolotl"] {
        for line in log.lines().chain(text.lines()) {
            assert!(!line.contains(private), "{private} in {line}");
        }
    }
}
