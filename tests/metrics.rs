//! What the example gateway counts and logs, and that nothing private is among it.

mod support;

use serde_json::json;
use support::Gateway;

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
