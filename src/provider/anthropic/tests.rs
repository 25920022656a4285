mod answers;
mod conversations;
mod members;
mod schemas;
mod streams;
mod thinking;
mod turns;

use serde_json::{Value, json};

use super::{Stream, error, request, response};
use crate::{
    error::Class,
    parse::Chat,
    provider::{
        Asked, Contract, Notes, TranslateStream,
        testing::{self, chat, chunks},
    },
    sse,
};

fn asked() -> Asked {
    testing::asked("anthropic", "m")
}

fn translated(body: &Value, model: &str) -> Value {
    let body = request::body(
        &chat(body),
        model,
        request::Door::Own,
        &mut Notes::default(),
    )
    .expect("translates");
    serde_json::from_slice(&body).expect("JSON")
}

fn run(pieces: &[&[u8]]) -> (Result<(), crate::error::Error>, String, Stream) {
    let mut stream = Stream::new(&asked());
    let (text, ended) = testing::run(&mut sse::Decoder::new(), &mut stream, pieces);
    (ended, text, stream)
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}

fn refused(body: &Value, model: &str) -> (Option<String>, Option<String>) {
    let error = request::body(
        &chat(body),
        model,
        request::Door::Own,
        &mut Notes::default(),
    )
    .expect_err("refused");
    let text = |text: Option<&str>| text.map(str::to_owned);
    (text(error.param()), text(error.code()))
}

const SCHEMA: &str = r#"{"type":"object","properties":{"z":{"type":"null"},"a":{"type":"null"}}}"#;

fn by_schema() -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    with(
        "response_format",
        json!({"type": "json_schema", "json_schema": {"name": "s", "description": "a thing", "schema": schema}}),
    )
}
