//! The published APIs that the dialects present: what their clients send, and what they are promised.

mod support;

use http::Method;
use serde_json::{Value, json};
use support::{Answer, Gateway};
use tower_completions::{
    cost::Amount,
    mock::{Server, Upstream},
};

const CONFIG: &str = include_str!("fixtures/gateway.toml");
const SEEDS: &str = include_str!("fixtures/seeds.json");

/// Asserts that `found` has all that `expected` names.
fn has(found: &Value, expected: &Value, at: &str) {
    match expected {
        Value::Object(members) => {
            for (name, value) in members {
                let member = found.get(name);
                let member = member.unwrap_or_else(|| panic!("{at}.{name} is missing in {found}"));
                has(member, value, &format!("{at}.{name}"));
            }
        }
        Value::Array(elements) => {
            assert_eq!(found.as_array().map(Vec::len), Some(elements.len()), "{at}");
            for (index, element) in elements.iter().enumerate() {
                has(&found[index], element, &format!("{at}[{index}]"));
            }
        }
        Value::String(name) if name == "<count>" => {
            assert!(found.as_f64().is_some_and(|n| n > 0.0), "{at}: {found}");
        }
        Value::String(name) if name == "<text>" => {
            assert!(found.as_str().is_some_and(|text| !text.is_empty()), "{at}");
        }
        Value::String(name) if name == "<id>" => {
            let digits = found.as_str().and_then(|id| id.strip_prefix("req_"));
            let digits = digits.unwrap_or_else(|| panic!("{at}: {found}"));
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            assert!(digits.len() == 24 && hex, "{at}: {found}");
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}

/// Asserts that a stream begins, goes on and ends as promised.
fn streamed(answer: &Answer, expected: &Value, name: &str) {
    let mut events = answer.events();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{name}");
    let parsed = events.iter().map(|event| serde_json::from_str(event));
    let chunks: Vec<Value> = parsed.collect::<Result<_, _>>().expect("JSON");
    let (first, last) = (&chunks[0], chunks.last().expect("chunks"));
    has(first, &expected["first"], name);
    has(last, &expected["last"], name);
    let contents = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(contents.collect::<String>(), expected["text"], "{name}");
    for chunk in &chunks[..chunks.len() - 1] {
        assert_eq!(chunk["id"], first["id"], "{name}: one id");
        assert!(chunk["choices"][0]["finish_reason"].is_null(), "{name}");
    }
}

async fn keeps_its_promises(dialect: &str) {
    let seeds: Value = serde_json::from_str(SEEDS).expect("JSON");
    let own = format!("dialect = \"{dialect}\"");
    let gateway = Gateway::start(&CONFIG.replace("dialect = \"openai\"", &own));
    for seed in seeds[dialect].as_array().expect("cases") {
        let text = |name: &str| seed[name].as_str();
        let name = text("name").expect("a name");
        let mut client = gateway.connect().await;
        client = client.with_key(text("key").unwrap_or("sk-demo"));
        let body = seed["request"].to_string();
        let request = client.request(Method::POST, text("path").expect("a path"), &body);
        let answer = client.send(request).await;
        let status = u64::from(answer.status.as_u16());
        assert_eq!(seed["status"], status, "{name}: {}", answer.body);
        assert!(!answer.header("x-request-id").is_empty(), "{name}");
        match seed.get("stream") {
            Some(expected) => streamed(&answer, expected, name),
            None => has(&answer.json(), &seed["answer"], name),
        }
    }
    // Whoever cannot pay is charged nothing, and nothing stays held.
    let spent = gateway.settled("sk-poor", "0.000001").await;
    assert_eq!(spent, Amount::ZERO);
}

#[tokio::test]
async fn onysoft_answers_in_turkish_with_its_ids_and_the_cost() {
    keeps_its_promises("onysoft").await;
}

#[tokio::test]
async fn strict_takes_the_long_list_and_tells_shape_from_value() {
    keeps_its_promises("strict").await;
}

#[tokio::test]
async fn osiris_streams_to_done() {
    keeps_its_promises("osiris").await;
}

/// What the upstream is asked for, in each dialect, when the client leaves its sampling open.
#[tokio::test]
async fn defaults_travel_upstream_only_where_the_dialect_has_them() {
    for (dialect, temperature, top_p) in [
        ("onysoft", json!(0.7), json!(1)),
        ("osiris", json!(1), json!(1)),
        ("openai", Value::Null, Value::Null),
        ("strict", Value::Null, Value::Null),
    ] {
        let upstream = Upstream::new();
        let server = Server::start(upstream.clone()).await.expect("a port");
        let gateway = Gateway::start(&format!(
            "dialect = \"{dialect}\"\n\
             [[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
             [[models]]\nid = \"a\"\ntargets = [{{ provider = \"far\", model = \"mock/echo\" }}]\n\
             [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n",
            server.base_url(),
        ));
        for body in [
            r#"{"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"temperature":null,"top_p":null}"#,
        ] {
            assert_eq!(gateway.post("sk-demo", body).await.status, 200);
            let seen = upstream.log().requests().pop().expect("asked");
            let seen: Value = serde_json::from_slice(seen.body()).expect("JSON");
            let member = |name: &str| seen.get(name).cloned().unwrap_or_default();
            assert_eq!(member("temperature"), temperature, "{dialect} {body}");
            assert_eq!(member("top_p"), top_p, "{dialect} {body}");
        }
    }
}
