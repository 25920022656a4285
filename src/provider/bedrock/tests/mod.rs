//! One file for each table that is checked.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Bedrock, Stream, error, request, response};
use crate::{
    error::{Class, Error},
    ext::Target,
    parse::Chat,
    provider::{Asked, Contract, Notes, Translate, TranslateStream, Unsupported},
    sse::aws::{Decoder, Kind, write_message},
};

mod answers;
mod contract;
mod conversations;
mod errors;
mod members;
mod streams;

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";

fn asked() -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let mut asked = Asked::new(&chat, &Target::new("aws", NOVA));
    asked.created = 7;
    asked
}

/// A request of one message, with these members.
fn with(members: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(members) = members else {
        panic!("members are an object");
    };
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn noted(body: &Value, model: &str) -> Result<(Value, Notes), Error> {
    let mut notes = Notes::default();
    let out = request::body(
        &Chat::parse(body.to_string().into()).expect("a request"),
        model,
        &mut notes,
    )?;
    Ok((serde_json::from_slice(&out).expect("JSON"), notes))
}

fn sent(body: &Value, model: &str) -> Value {
    noted(body, model).expect("translates").0
}

fn refused(body: &Value, model: &str) -> (String, String) {
    let error = noted(body, model).map(|(out, _)| out).expect_err("refused");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.param()), text(error.code()))
}

fn answer(body: &Value) -> (Value, Option<crate::wire::Usage>) {
    let answer = response::answer(&asked(), body.to_string().as_bytes()).expect("an answer");
    let json = serde_json::from_slice(&answer.body).expect("JSON");
    (json, answer.usage)
}

/// A stream as the service sends it, padding and all.
fn frames(events: &[(&str, Value)]) -> Bytes {
    let mut out = BytesMut::new();
    for (name, payload) in events {
        let mut payload = payload.clone();
        payload["p"] = "abcdefgh".into();
        let kind = if name.ends_with("Exception") {
            Kind::Exception
        } else {
            Kind::Event
        };
        write_message(&mut out, kind, name, payload.to_string().as_bytes());
    }
    out.freeze()
}

/// What a stream becomes, its pieces cut so.
fn run(pieces: &[Bytes]) -> (String, Result<(), Error>, Option<crate::wire::Usage>) {
    let mut stream = Stream::new(&asked());
    let mut decoder = Decoder::new();
    let mut out = BytesMut::new();
    let mut feed = || -> Result<(), Error> {
        for piece in pieces {
            decoder.push(piece.clone());
            while let Some(event) = decoder.next() {
                let event = event.expect("intact");
                stream.event(event.name(), event.data(), &mut out)?;
            }
        }
        assert!(decoder.finish().is_none());
        stream.finish(&mut out)
    };
    let ended = feed();
    let text = String::from_utf8(out.to_vec()).expect("UTF-8");
    (text, ended, stream.usage())
}

fn chunks(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter(|event| !event.is_empty());
    data.map(|event| event.strip_prefix("data: ").expect("data"))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}
