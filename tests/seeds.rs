//! The published APIs that the dialects present: what their clients send, and what they are promised.

mod support;

use http::Method;
use serde_json::Value;
use support::{Answer, Gateway};

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
