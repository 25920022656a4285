//! Anthropic's clients in front of the example gateway: `POST /v1/messages`.

mod support;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use support::{Answer, Gateway};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_completions::{
    Principal,
    auth::Keys,
    cost::{Amount, MemoryLedger, Price, Prices},
    messages::{MessagesLayer, RequestBody},
    mock::Upstream,
    provider::{Provider, openai::OpenAi},
    stack,
};

const CONFIG: &str = r#"
[[providers]]
name = "mock"
kind = "mock"

[[models]]
id = "mock/echo"
targets = [{ provider = "mock", model = "mock/echo" }]
price = { input = "1", output = "2" }

[[models]]
id = "mock/cut"
targets = [{ provider = "mock", model = "mock/cut" }]
price = { input = "1", output = "2" }

[[models]]
id = "mock/overloaded"
targets = [{ provider = "mock", model = "mock/overloaded" }]
price = { input = "1", output = "2" }

[[keys]]
name = "demo"
secret = "sk-demo"
balance = "5.00"
"#;

async fn ask(gateway: &Gateway, key: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/messages")
        .header("host", "gateway")
        .header("x-api-key", key)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(Full::new(body.to_owned().into()));
    let mut client = gateway.connect().await;
    client.send(request.expect("a request")).await
}

fn question(model: &str, stream: bool) -> String {
    json!({"model": model, "max_tokens": 50, "stream": stream, "system": "Be brief.", "container": "c",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Merhaba"}]}]})
    .to_string()
}

/// The events of a stream, each under its name.
fn events(answer: &Answer) -> Vec<Value> {
    let events = answer.body.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').expect("two lines");
            let data: Value =
                serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

#[tokio::test]
async fn whole_and_streamed_with_the_same_counts() {
    let gateway = Gateway::start(CONFIG);
    let answer = ask(&gateway, "sk-demo", &question("mock/echo", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let message = answer.json();
    assert_eq!(
        (&message["type"], &message["role"]),
        (&json!("message"), &json!("assistant"))
    );
    let text = message["content"][0]["text"].as_str().expect("a text");
    assert!(text.contains("Merhaba"), "{text}");
    assert_eq!(
        (&message["model"], &message["stop_reason"]),
        (&json!("mock/echo"), &json!("end_turn"))
    );
    let counts = message["usage"].clone();
    assert!(counts["output_tokens"].as_u64().is_some_and(|n| n > 0));
    assert_eq!(answer.header("x-params-dropped"), "container");
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    assert!(!answer.header("x-completion-cost").is_empty());

    let answer = ask(&gateway, "sk-demo", &question("mock/echo", true)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = events(&answer);
    let said: String = events
        .iter()
        .filter_map(|event| event["delta"]["text"].as_str())
        .collect();
    assert_eq!(said, text);
    let end = &events[events.len() - 2];
    assert_eq!(end["type"], "message_delta");
    assert_eq!(end["usage"], counts);
    assert_eq!(
        events.last().map(|it| &it["type"]),
        Some(&json!("message_stop"))
    );

    // Both were charged, by the tokens that were told.
    let key = gateway.get("sk-demo", "/v1/key").await.json();
    let tokens = |name: &str| counts[name].as_u64().expect("a count");
    let each = tokens("input_tokens") + 2 * tokens("output_tokens");
    let spent: f64 = key["data"]["spent"]
        .as_str()
        .and_then(|it| it.parse().ok())
        .expect("an amount");
    assert_eq!((spent * 1e6).round(), (2 * each) as f64);
}

#[tokio::test]
async fn refusals_have_anthropics_shape() {
    let gateway = Gateway::start(CONFIG);
    let large = json!({"model": "mock/echo", "max_tokens": 1, "messages": [{"role": "user", "content": "x".repeat(9 << 20)}]});
    for (key, body, status, kind) in [
        (
            "sk-wrong",
            question("mock/echo", false),
            401,
            "authentication_error",
        ),
        ("sk-demo", question("nobody", true), 404, "not_found_error"),
        ("sk-demo", "{}".to_owned(), 400, "invalid_request_error"),
        ("sk-demo", "[".to_owned(), 400, "invalid_request_error"),
        (
            "sk-demo",
            question("mock/overloaded", true),
            529,
            "overloaded_error",
        ),
        ("sk-demo", large.to_string(), 413, "request_too_large"),
    ] {
        let answer = ask(&gateway, key, &body).await;
        let said = answer.json();
        assert_eq!(
            (answer.status.as_u16(), said["error"]["type"].as_str()),
            (status, Some(kind)),
            "{said}"
        );
        assert_eq!(said["type"], "error");
        assert_eq!(
            said["request_id"].as_str(),
            Some(answer.header("request-id"))
        );
    }
    let key = gateway.get("sk-demo", "/v1/key").await.json();
    assert_eq!(
        key["data"]["held"]
            .as_str()
            .map(|it| it.trim_matches(['0', '.'])),
        Some("")
    );
    for (path, status, kind) in [
        ("/v1/messages", 405, "invalid_request_error"),
        ("/v1/messages/batches", 404, "not_found_error"),
        ("/api/v1/messages/", 404, "not_found_error"),
    ] {
        let other = gateway.get("sk-demo", path).await;
        let said = other.json();
        assert_eq!(other.status.as_u16(), status, "{path}");
        assert_eq!(
            (said["type"].as_str(), said["error"]["type"].as_str()),
            (Some("error"), Some(kind)),
            "{path}"
        );
        assert_eq!(
            said["request_id"].as_str(),
            Some(other.header("request-id"))
        );
        if status == 405 {
            assert_eq!(other.header("allow"), "POST");
        }
    }
}

#[tokio::test]
async fn refusals_name_the_clients_own_members() {
    let gateway = Gateway::start(CONFIG);
    for (members, name) in [
        (
            json!({"stop_sequences": ["a", "b", "c", "d", "e"]}),
            "`stop_sequences`",
        ),
        (json!({"temperature": 3}), "`temperature`"),
        (json!({"max_tokens": 0}), "`max_tokens`"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]}]}),
            "`messages[0].content[0].tool_use_id`",
        ),
    ] {
        let mut body: Value =
            serde_json::from_str(&question("mock/echo", false)).expect("a question");
        let members = members.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        let answer = ask(&gateway, "sk-demo", &body.to_string()).await;
        let said = answer.json();
        assert_eq!(answer.status.as_u16(), 400, "{said}");
        let message = said["error"]["message"].as_str().expect("a message");
        assert!(message.contains(name), "{message}");
    }
}

#[tokio::test]
async fn a_cut_stream_is_no_finished_one() {
    let gateway = Gateway::start(CONFIG);
    let answer = ask(&gateway, "sk-demo", &question("mock/cut", true)).await;
    assert_eq!(answer.status, 200);
    let events = events(&answer);
    assert_eq!(events.last().map(|it| &it["type"]), Some(&json!("error")));
    assert!(events.iter().all(|event| event["type"] != "message_stop"));
}

#[tokio::test]
async fn a_dry_run_is_told_what_it_may_cost() {
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let price = Price::new("1", "2").expect("decimals");
    let (upstream, ledger) = (Upstream::new(), MemoryLedger::new());
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let gateway = stack::Gateway::builder(keys)
        .cost(Prices::new().with("mock/echo", price), ledger.clone())
        .build(Provider::new("mock", upstream.clone(), translate));
    for stream in [false, true] {
        let request = Request::post("/v1/messages")
            .header("x-api-key", "sk-demo")
            .header("x-dry-run", "1")
            .body(tower_completions::body::Full::new(question(
                "mock/echo",
                stream,
            )))
            .expect("a request");
        let answer = gateway.clone().oneshot(request).await.expect("infallible");
        let (head, body) = answer.into_parts();
        let text = body.collect().await.expect("whole").to_bytes();
        assert_eq!(head.status, 200, "{text:?}");
        assert_eq!(head.headers["request-id"], head.headers["x-request-id"]);
        let said: Value = serde_json::from_slice(&text).expect("JSON");
        let input = said["input_tokens"].as_u64().expect("a count");
        assert_eq!(
            (&said["model"], &said["output_tokens"]),
            (&json!("mock/echo"), &json!(50))
        );
        let cost = said["cost"]["amount"].to_string();
        let most = Amount::from_pico(i128::from(input) * 1_000_000 + 50 * 2_000_000);
        assert_eq!(cost.parse(), Ok(most), "{said}");
    }
    assert_eq!(upstream.log().counts().calls, 0);
    assert_eq!(ledger.statement("demo").spent, Amount::ZERO);
}

#[tokio::test]
async fn a_whole_answer_is_read_up_to_a_limit() {
    let long = |megabytes: usize| {
        let head = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":""#;
        let text = Bytes::from(vec![b'a'; 1 << 20]);
        let pieces = std::iter::repeat_n(text, megabytes);
        let pieces = std::iter::once(head.into()).chain(pieces);
        let pieces = pieces.chain([Bytes::from(r#""}}]}"#)]);
        StreamBody::new(futures_util::stream::iter(
            pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))),
        ))
    };
    for (megabytes, status) in [(1, 200), (64, 502)] {
        let inside = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| async move {
            let answer = Response::builder().header("content-type", "application/json");
            let answer = answer.header("x-request-id", "req_1");
            Ok::<_, Infallible>(answer.body(long(megabytes)).expect("a response"))
        });
        let request = Request::post("/v1/messages").body(Full::new(Bytes::new()));
        let service = MessagesLayer::new().layer(inside);
        let response = service.oneshot(request.expect("a request")).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), status, "{megabytes}");
        assert_eq!(response.headers()["request-id"], "req_1");
        let body = response.into_body().collect().await;
        let body = body.map_err(drop).expect("whole").to_bytes();
        assert_eq!(body.len() > 1 << 20, status == 200);
    }
}
