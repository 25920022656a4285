//! The example gateway as a process, driven over loopback as its contract says.

#[path = "support/mocked.rs"]
mod mocked;
mod support;

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use http::Method;
use mocked::{ask, config};
use serde_json::{Value, json};
use support::Gateway;

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

/// An upstream that has too many requests for one of its models, and none for the other. Its refusals have
/// these lines too.
fn upstream_with_a_busy_model(lines: &'static str) -> u16 {
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
            let (status, lines, body) = if busy {
                (
                    "429 Too Many Requests",
                    lines,
                    json!({ "error": { "message": "later" } }),
                )
            } else {
                let message = json!({ "role": "assistant", "content": "Hi" });
                let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
                ("200 OK", "", json!({ "id": "a", "choices": [choice] }))
            };
            let body = body.to_string();
            let length = body.len();
            write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n{lines}connection: close\r\n\r\n{body}"
            )
            .expect("sent");
        }
    });
    port
}

fn gateway_before_a_busy_model(lines: &'static str) -> Gateway {
    let port = upstream_with_a_busy_model(lines);
    Gateway::start(&format!(
        "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
         [[models]]\nid = \"first\"\ntargets = [{{ provider = \"p\", model = \"busy\" }}]\nfallbacks = [\"second\"]\n\
         [[models]]\nid = \"second\"\ntargets = [{{ provider = \"p\", model = \"free\" }}]\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    ))
}

/// However many requests need one, each has the attempts that the file says.
#[tokio::test]
async fn a_fallback_answers_for_a_busy_target_time_and_again() {
    let gateway = gateway_before_a_busy_model("retry-after: 0\r\n");
    for request in 0..40 {
        let answer = gateway
            .post("sk-demo", &ask(json!({ "model": "first" })))
            .await;
        assert_eq!(answer.status, 200, "{request}: {}", answer.body);
        assert_eq!(answer.header("x-attempts"), "2");
    }
}

/// One that does not say when it may be asked again is left alone for a while.
#[tokio::test]
async fn a_busy_target_rests_while_its_fallback_answers() {
    let gateway = gateway_before_a_busy_model("");
    let mut attempts = 0;
    for request in 0..40 {
        let answer = gateway
            .post("sk-demo", &ask(json!({ "model": "first" })))
            .await;
        assert_eq!(answer.status, 200, "{request}: {}", answer.body);
        attempts += answer
            .header("x-attempts")
            .parse::<u32>()
            .expect("a number");
    }
    // Asked once more for each rest that ends meanwhile, which on a slow machine may be some.
    assert!((41..=48).contains(&attempts), "{attempts}");
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
