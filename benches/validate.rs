#![allow(missing_docs)]

mod support;
#[path = "support/texts.rs"]
mod texts;

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_completions::{parse::Chat, wire::request::Request};

/// A plain typed struct, as an application would write it that checks nothing but types.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Typed {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    tools: Option<Vec<Tool>>,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Lean {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Message {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "what is measured is the reading")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(dead_code, reason = "what is measured is the reading")]
enum Part {
    Text { text: String },
    ImageUrl { image_url: Image },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Image {
    url: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Tool {
    r#type: String,
    function: Function,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

fn requests() -> Vec<(&'static str, Bytes)> {
    let small = json!({
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France? Answer in one word."},
        ],
        "temperature": 0.7, "max_tokens": 64, "stream": true,
    });
    let turn =
        "Tell me more about that.\nIn \"plain\" words, please, and with an example. ".repeat(14);
    let turns: Vec<Value> = (0..100)
        .map(|at| json!({"role": if at % 2 == 0 {"user"} else {"assistant"}, "content": turn}))
        .collect();
    let image = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgoAAAANSUhEUg".repeat(5_000_000 / 22)
    );
    let tool = |at: usize| {
        json!({"type": "function", "function": {
            "name": format!("tool_{at}"), "description": "Looks something up and says what it found.",
            "parameters": {"type": "object", "required": ["query"], "properties": {
                "query": {"type": "string", "description": "What to look for"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "order": {"type": "string", "enum": ["newest", "oldest", "best"]},
            }},
        }})
    };
    let tools: Vec<Value> = (0..50).map(tool).collect();
    let bytes = |value: &Value| Bytes::from(value.to_string());
    vec![
        ("small", bytes(&small)),
        (
            "conversation_100k",
            bytes(&json!({"model": "m", "messages": turns})),
        ),
        (
            "image_5m",
            bytes(
                &json!({"model": "m", "messages": [{"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": image}},
                ]}]}),
            ),
        ),
        (
            "tools_50",
            bytes(
                &json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}),
            ),
        ),
    ]
}

fn main() {
    support::main(|bench| {
        for (name, body) in requests() {
            bench.bytes = Some(body.len() as u64);
            bench.case(&format!("{name}/wire"), || Request::read(&body).is_ok());
            bench.case(&format!("{name}/chat"), || {
                Chat::parse(body.clone()).is_ok()
            });
            bench.case(&format!("{name}/typed"), || {
                serde_json::from_slice::<Lean>(&body).is_ok()
            });
            bench.case(&format!("{name}/typed_rest"), || {
                serde_json::from_slice::<Typed>(&body).is_ok()
            });
            bench.case(&format!("{name}/value"), || {
                serde_json::from_slice::<Value>(&body).is_ok()
            });
        }
        let honest = [
            ("dense_100k", texts::dense()),
            ("turns_100k", texts::turns()),
            ("agent_100k", texts::agent()),
        ];
        let honest = honest.map(|(name, body)| (name.to_owned(), body));
        let named = |texts: Vec<(&str, Bytes)>, kind: &str| {
            let texts = texts.into_iter();
            let named = texts.map(|(name, body)| (format!("{kind}_{name}"), body));
            named.collect::<Vec<_>>()
        };
        let kinds = [
            named(texts::honest(), "honest"),
            named(texts::hostile(), "hostile"),
        ];
        for (name, body) in honest.into_iter().chain(kinds.into_iter().flatten()) {
            bench.bytes = Some(body.len() as u64);
            bench.case(&format!("{name}/wire"), || Request::read(&body).is_ok());
        }
    });
}
