//! One file for each table that is checked.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Bedrock, Stream, error, request, response};
use crate::{
    error::{Class, Error},
    ext::Target,
    parse::Chat,
    provider::{
        Asked, Contract, Notes, Translate, TranslateStream, Unsupported,
        testing::{self, chat, chunks, with},
    },
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
    testing::asked("aws", NOVA)
}

fn noted(body: &Value, model: &str) -> Result<(Value, Notes), Error> {
    let mut notes = Notes::default();
    let out = request::body(&chat(body), model, &mut notes)?;
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
    let (text, ended) = testing::run(&mut Decoder::new(), &mut stream, pieces);
    (text, ended, stream.usage())
}
