//! One file for each table that is checked.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Stream, Streaming, error, request, request::Door, response};
use crate::{
    error::{Class, Error},
    ext::Target,
    parse::Chat,
    provider::{Asked, Notes, TranslateStream},
    sse::{self, Decode},
};

mod answers;
mod conversations;
mod errors;
mod members;
mod streams;

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let mut asked = Asked::new(&chat, &Target::new("gemini", "gemini-2.5-flash"));
    asked.created = 7;
    asked
}

fn translate(body: &Value, model: &str) -> (Result<Value, Error>, Notes) {
    let mut notes = Notes::default();
    let out = request::body(
        &Chat::parse(body.to_string().into()).expect("a request"),
        model,
        Door::Api,
        &mut notes,
    );
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
    let mut stream = Stream::new(&asked(), streaming);
    let mut out = BytesMut::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            let event = event.expect("whole");
            if let Err(error) = stream.event(event.name(), event.data(), &mut out) {
                return (Err(error), String::new(), stream);
            }
        }
    }
    let end = stream.finish(&mut out);
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    (end, text, stream)
}
