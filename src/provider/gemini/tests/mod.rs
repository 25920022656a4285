//! One file for each table that is checked.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Stream, Streaming, error, request, request::Door, response};
use crate::{
    error::{Class, Error},
    provider::{
        Asked, Notes, TranslateStream,
        testing::{self, chat},
    },
    sse::{self, Decode},
};

mod answers;
mod conversations;
mod errors;
mod members;
mod streams;

fn asked() -> Asked {
    testing::asked("gemini", "gemini-2.5-flash")
}

fn translate(body: &Value, model: &str) -> (Result<Value, Error>, Notes) {
    let mut notes = Notes::default();
    let out = request::body(&chat(body), model, Door::Api, &mut notes);
    (
        out.map(|out| serde_json::from_slice(&out.body).expect("JSON")),
        notes,
    )
}

fn translated(body: &Value, model: &str) -> Value {
    translate(body, model).0.expect("translates")
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}

fn run(streaming: Streaming, pieces: &[&[u8]]) -> (Result<(), Error>, String, Stream) {
    let mut decoder: Box<dyn Decode> = match streaming {
        Streaming::Events => Box::new(sse::Decoder::new()),
        Streaming::Array => Box::new(sse::json_array::Decoder::new()),
    };
    let mut stream = Stream::new(&asked());
    let (text, ended) = testing::run(&mut *decoder, &mut stream, pieces);
    (ended, text, stream)
}
