use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    error::by_type,
    response::{Call, Said, Thought, read_usage, stop_reason, usage},
};
use crate::wire::{
    Usage,
    chat::{Raw, Text},
};

/// From the chunks of a completion to the named events of a message.
#[derive(Debug, Default)]
pub(super) struct Stream {
    begun: bool,
    over: bool,
    /// The block that is being written, if it is text or thinking.
    open: Option<(Open, usize)>,
    /// Each call's ordinal and its block. They stay open to the end: deltas name their block.
    calls: Vec<(u64, usize)>,
    blocks: usize,
    reason: Option<&'static str>,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    delta: Said<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

/// A piece of a block.
#[derive(Serialize)]
struct Delta<T> {
    #[serde(rename = "type")]
    event: &'static str,
    index: usize,
    delta: T,
}

#[derive(Default, Serialize)]
struct Piece<'r, 'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'r Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'r Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_json: Option<&'r Text<'a>>,
}

/// A piece of a block that comes whole.
#[derive(Serialize)]
struct Signed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Raw<'a>>,
}

/// Writes an event where it is to stand. JSON that is written here has no line ends: those within
/// strings are escaped.
fn write(out: &mut BytesMut, name: &str, data: &impl Serialize) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    serde_json::to_writer(out.writer(), data).expect("strings serialise into memory");
    out.put_slice(b"\n\n");
}

impl Stream {
    /// Takes the data of an event.
    pub(super) fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.over {
            return;
        }
        if data.starts_with(b"[DONE]") {
            self.finish(out);
            return;
        }
        // With what stands around it, so that a long text is not moved again for that.
        out.reserve(data.len() + 1024);
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
            self.broken(out);
            return;
        };
        if let Some(error) = chunk.error {
            let kind = by_type(error["type"].as_str().unwrap_or_default());
            self.fail(kind, error["message"].as_str().unwrap_or_default(), out);
            return;
        }
        self.begin(&chunk.id, &chunk.model, out);
        if let Some(counts) = chunk.usage.and_then(read_usage) {
            self.usage = counts;
        }
        for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
            self.say(&choice.delta, out);
            if let Some(reason) = &choice.finish_reason {
                self.reason = Some(stop_reason(reason));
            }
        }
    }

    /// The stream cannot be read on: an error, unless its end has been told.
    pub(super) fn broken(&mut self, out: &mut BytesMut) {
        if !self.over {
            self.fail("api_error", "The answer was cut short.", out);
        }
    }

    /// A sign of life.
    pub(super) fn ping(&self, out: &mut BytesMut) {
        if self.begun && !self.over {
            write(out, "ping", &json!({ "type": "ping" }));
        }
    }

    fn fail(&mut self, kind: &str, message: &str, out: &mut BytesMut) {
        self.over = true;
        let error = json!({ "type": kind, "message": message });
        write(out, "error", &json!({ "type": "error", "error": error }));
    }

    fn begin(&mut self, id: &str, model: &str, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        // What the prompt was is known at the end; the last event tells all of it.
        let message = json!({
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(&Usage::default()),
        });
        let event = json!({ "type": "message_start", "message": message });
        write(out, "message_start", &event);
    }

    fn say(&mut self, said: &Said<'_>, out: &mut BytesMut) {
        let reasoning = said.reasoning_content.as_ref();
        if let Some(text) = reasoning.filter(|text| !text.is_empty()) {
            let index = self.enter(Open::Thinking, out);
            let piece = Piece {
                kind: "thinking_delta",
                thinking: Some(text),
                ..Piece::default()
            };
            delta(index, piece, out);
        }
        for entry in said.reasoning_details.iter().flatten() {
            if let Some(thought) = Thought::of(*entry) {
                self.thought(*entry, &thought, out);
            }
        }
        for text in [&said.content, &said.refusal].into_iter().flatten() {
            if !text.is_empty() {
                let index = self.enter(Open::Text, out);
                let piece = Piece {
                    kind: "text_delta",
                    text: Some(text),
                    ..Piece::default()
                };
                delta(index, piece, out);
            }
        }
        for call in said.tool_calls.iter().flatten() {
            self.call(call, out);
        }
    }

    /// The block of a kind: the open one, or the next.
    fn enter(&mut self, kind: Open, out: &mut BytesMut) -> usize {
        match self.open {
            Some((open, index)) if open == kind => index,
            _ => {
                self.leave(out);
                let block = match kind {
                    Open::Text => json!({ "type": "text", "text": "" }),
                    Open::Thinking => {
                        json!({ "type": "thinking", "thinking": "", "signature": "" })
                    }
                };
                let index = self.start(&block, out);
                self.open = Some((kind, index));
                index
            }
        }
    }

    fn leave(&mut self, out: &mut BytesMut) {
        if let Some((_, index)) = self.open.take() {
            stop(index, out);
        }
    }

    fn start(&mut self, block: &Value, out: &mut BytesMut) -> usize {
        let index = self.blocks;
        self.blocks += 1;
        let event =
            json!({ "type": "content_block_start", "index": index, "content_block": block });
        write(out, "content_block_start", &event);
        index
    }

    /// A block of reasoning that is signed, or not shown.
    fn thought(&mut self, entry: Raw<'_>, thought: &Thought<'_>, out: &mut BytesMut) {
        if thought.is_redacted() {
            self.leave(out);
            let block: Value = serde_json::from_str(entry.get()).unwrap_or_default();
            let index = self.start(&block, out);
            stop(index, out);
            return;
        }
        // Its text has come piece by piece before, or comes now.
        let begun = matches!(self.open, Some((Open::Thinking, _)));
        let index = self.enter(Open::Thinking, out);
        let is_text = |raw: &Raw<'_>| raw.get().starts_with('"');
        if let Some(thinking) = thought.thinking.filter(is_text).filter(|_| !begun) {
            let piece = Signed {
                kind: "thinking_delta",
                thinking: Some(thinking),
                signature: None,
            };
            delta(index, piece, out);
        }
        if let Some(signature) = thought.signature.filter(is_text) {
            let piece = Signed {
                kind: "signature_delta",
                thinking: None,
                signature: Some(signature),
            };
            delta(index, piece, out);
        }
        self.leave(out);
    }

    fn call(&mut self, call: &Call<'_>, out: &mut BytesMut) {
        let ordinal = call.index.unwrap_or(0);
        let function = call.function.as_ref();
        let custom = call.custom.as_ref();
        let known = self.calls.iter().find(|(of, _)| *of == ordinal);
        let index = match known {
            Some((_, index)) => *index,
            None => {
                self.leave(out);
                let name = function
                    .and_then(|it| it.name.as_deref())
                    .or(custom.and_then(|it| it.name.as_deref()));
                let index = self.start(
                    &json!({
                        "type": "tool_use",
                        "id": call.id.as_deref().unwrap_or_default(),
                        "name": name.unwrap_or_default(),
                        "input": {},
                    }),
                    out,
                );
                self.calls.push((ordinal, index));
                index
            }
        };
        let text = function.and_then(|it| it.arguments.as_ref());
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let piece = Piece {
                kind: "input_json_delta",
                partial_json: Some(text),
                ..Piece::default()
            };
            delta(index, piece, out);
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        self.over = true;
        self.begin("", "", out);
        self.leave(out);
        for (_, index) in &self.calls {
            stop(*index, out);
        }
        let reason = self.reason.unwrap_or("end_turn");
        let event = json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason, "stop_sequence": null },
            "usage": usage(&self.usage),
        });
        write(out, "message_delta", &event);
        write(out, "message_stop", &json!({ "type": "message_stop" }));
    }
}

fn delta(index: usize, delta: impl Serialize, out: &mut BytesMut) {
    let event = "content_block_delta";
    let data = Delta {
        event,
        index,
        delta,
    };
    write(out, event, &data);
}

fn stop(index: usize, out: &mut BytesMut) {
    let event = json!({ "type": "content_block_stop", "index": index });
    write(out, "content_block_stop", &event);
}
