//! What the tests of all translators begin with.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::{Asked, TranslateStream};
use crate::{error::Error, ext::Target, parse::Chat, sse::Decode};

/// What is asked of a model at a provider, dated 7 seconds after 1970.
pub(super) fn asked(provider: &str, model: &str) -> Asked {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let now = UNIX_EPOCH + Duration::from_secs(7);
    Asked::new(&chat, &Target::new(provider, model), now)
}

pub(super) fn chat(body: &Value) -> Chat {
    Chat::parse(body.to_string().into()).expect("a request")
}

/// A request with the defaults of a dialect, a temperature and a `top_p`, where it has none.
pub(super) fn filled(body: &Value, defaults: [f64; 2]) -> Chat {
    let mut chat = chat(body);
    for (name, default) in ["temperature", "top_p"].into_iter().zip(defaults) {
        if chat.member(name).is_none() {
            chat.set_default(name, default.to_string());
        }
    }
    chat
}

/// Loops of calls of a model that is to think: what else they have, and whether it may think.
pub(super) fn loops() -> Vec<(Value, bool)> {
    let user = json!({"role": "user", "content": "Hi"});
    let tool = json!({"role": "tool", "tool_call_id": "a", "content": "1"});
    let said = json!({"role": "assistant", "content": "Yes."});
    let call = json!({"role": "assistant", "content": null,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let with = |entry: Value| {
        let mut thought = call.clone();
        thought["reasoning_details"] = json!([entry]);
        thought
    };
    let thought = with(json!({"type": "thinking", "thinking": "t", "signature": "s"}));
    let hidden = with(json!({"type": "redacted_thinking", "data": "d"}));
    let other = with(json!({"type": "reasoning.text", "text": "t"}));
    [
        (json!([user, call, tool]), false),
        (json!([user, call, tool, user]), false),
        (json!([user, other, tool]), false),
        (json!([user, call, tool, thought, tool]), false),
        (json!([user, thought, tool, user, call, tool]), false),
        (json!([user, thought, tool]), true),
        (json!([user, hidden, tool]), true),
        // It thinks once a loop.
        (json!([user, thought, tool, call, tool]), true),
        // A loop that is over.
        (json!([user, call, tool, said, user]), true),
        (json!([user]), true),
    ]
    .into_iter()
    .map(|(messages, thinks)| {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let members = json!({"messages": messages, "tools": tools, "reasoning_effort": "low"});
        (members, thinks)
    })
    .collect()
}

/// A request of one message, with these members.
pub(super) fn with(members: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(members) = members else {
        panic!("members are an object");
    };
    body.as_object_mut().expect("an object").extend(members);
    body
}

/// What a stream becomes, its pieces cut so, and how it ends.
pub(super) fn run(
    decoder: &mut dyn Decode,
    stream: &mut impl TranslateStream,
    pieces: impl IntoIterator<Item: AsRef<[u8]>>,
) -> (String, Result<(), Error>) {
    let mut out = BytesMut::new();
    let feed = || -> Result<(), Error> {
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece.as_ref()));
            while let Some(event) = decoder.next() {
                let event = event.expect("readable");
                stream.event(event.name(), event.data(), &mut out)?;
            }
        }
        while let Some(event) = decoder.finish() {
            let event = event.expect("readable");
            stream.event(event.name(), event.data(), &mut out)?;
        }
        stream.finish(&mut out)
    };
    let ended = feed();
    (String::from_utf8(out.to_vec()).expect("UTF-8"), ended)
}

/// The chunks of a stream that was written as `data: …` events and nothing else.
pub(super) fn chunks(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter(|event| !event.is_empty());
    data.map(|event| event.strip_prefix("data: ").expect("data"))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

/// The first delta of each chunk, null where it has none.
pub(super) fn deltas(chunks: &[Value]) -> Vec<Value> {
    let delta = |chunk: &Value| chunk.pointer("/choices/0/delta").cloned();
    let deltas = chunks.iter().map(delta);
    deltas.map(Option::unwrap_or_default).collect()
}

/// The lists of all deltas, put together as OpenAI's client for Python does it: by the `index` of each
/// entry, without which it raises.
pub(super) fn lists(deltas: &[Value], name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in deltas
        .iter()
        .filter_map(|delta| delta[name].as_array())
        .flatten()
    {
        let mut entry = entry.clone();
        let index = entry.as_object_mut().and_then(|it| it.remove("index"));
        assert_eq!(index, Some(json!(all.len())), "{entry} of {name}");
        all.push(entry);
    }
    all
}

/// The delta that a call begins with.
pub(super) fn call(index: u8, id: &str, name: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]})
}

/// A delta with a piece of a call's arguments.
pub(super) fn piece(index: u8, text: &str) -> Value {
    json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
}
