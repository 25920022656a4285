use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    blocks::{Blocks, Kind, Place, write},
    error::by_type,
    response::{Call, Said, Thought, read_usage, stop_reason, usage},
};
use crate::{
    sse::is_done,
    wire::{
        Usage,
        chat::{Raw, Text},
        placed,
    },
};

/// From the chunks of a completion to the named events of a message.
#[derive(Debug, Default)]
pub(super) struct Stream {
    begun: bool,
    over: bool,
    blocks: Blocks,
    reason: Option<&'static str>,
    usage: Usage,
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

impl Stream {
    /// Takes the data of an event.
    pub(super) fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.over {
            return;
        }
        if is_done(data) {
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
        if self.blocks.are_too_long() {
            self.fail(
                "api_error",
                "The answer's blocks come too much out of order.",
                out,
            );
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
            let at = self.enter(Kind::Thinking, out);
            let piece = Piece {
                kind: "thinking_delta",
                thinking: Some(text),
                ..Piece::default()
            };
            self.blocks.delta(at, piece, out);
        }
        for entry in said.reasoning_details.iter().flatten() {
            if let Some(thought) = Thought::of(*entry) {
                self.thought(*entry, &thought, out);
            }
        }
        for text in [&said.content, &said.refusal].into_iter().flatten() {
            if !text.is_empty() {
                let at = self.enter(Kind::Text, out);
                let piece = Piece {
                    kind: "text_delta",
                    text: Some(text),
                    ..Piece::default()
                };
                self.blocks.delta(at, piece, out);
            }
        }
        for call in said.tool_calls.iter().flatten() {
            self.call(call, out);
        }
    }

    /// The block of text or thinking that is being written, or the next.
    fn enter(&mut self, kind: Kind, out: &mut BytesMut) -> usize {
        if let Some(at) = self.blocks.last(kind) {
            return at;
        }
        let block = match kind {
            Kind::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            _ => json!({ "type": "text", "text": "" }),
        };
        self.blocks.begin(kind, &block, out)
    }

    /// A block of reasoning that is signed, or not shown.
    fn thought(&mut self, entry: Raw<'_>, thought: &Thought<'_>, out: &mut BytesMut) {
        if thought.is_redacted() {
            let (_, entry) = placed::Place::take(entry.0);
            let block: Value = serde_json::from_str(entry.get()).unwrap_or_default();
            let at = self.blocks.begin(Kind::Redacted, &block, out);
            self.blocks.close(at, out);
            return;
        }
        // Its text has come piece by piece before, or comes now.
        let begun = self.blocks.last(Kind::Thinking).is_some();
        let at = self.enter(Kind::Thinking, out);
        let is_text = |raw: &Raw<'_>| raw.get().starts_with('"');
        if let Some(thinking) = thought.thinking.filter(is_text).filter(|_| !begun) {
            let piece = Signed {
                kind: "thinking_delta",
                thinking: Some(thinking),
                signature: None,
            };
            self.blocks.delta(at, piece, out);
        }
        if let Some(signature) = thought.signature.filter(is_text) {
            let piece = Signed {
                kind: "signature_delta",
                thinking: None,
                signature: Some(signature),
            };
            self.blocks.delta(at, piece, out);
        }
        self.blocks.close(at, out);
    }

    fn call(&mut self, call: &Call<'_>, out: &mut BytesMut) {
        let ordinal = call.index.unwrap_or(0);
        let function = call.function.as_ref();
        let custom = call.custom.as_ref();
        let at = match self.blocks.of_call(ordinal) {
            Place::At(at) => at,
            // Its arguments were whole.
            Place::Closed => return,
            Place::Nowhere => {
                let name = function
                    .and_then(|it| it.name.as_deref())
                    .or(custom.and_then(|it| it.name.as_deref()));
                let block = json!({
                    "type": "tool_use",
                    "id": call.id.as_deref().unwrap_or_default(),
                    "name": name.unwrap_or_default(),
                    "input": {},
                });
                self.blocks.begin(Kind::Call(ordinal), &block, out)
            }
        };
        let text = function.and_then(|it| it.arguments.as_ref());
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let piece = Piece {
                kind: "input_json_delta",
                partial_json: Some(text),
                ..Piece::default()
            };
            self.blocks.delta(at, piece, out);
            self.blocks.argued(at, text, out);
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        self.over = true;
        self.begin("", "", out);
        self.blocks.finish(out);
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

#[cfg(test)]
mod tests;
