use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    error::by_type,
    response::{Call, Said, is_block, read_usage, stop_reason, usage},
};
use crate::{
    sse,
    wire::{Usage, chat::Text},
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

fn write(out: &mut BytesMut, name: &str, data: &Value) {
    sse::write_event(out, Some(name), data.to_string().as_bytes());
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
        if let Some(text) = said
            .reasoning_content
            .as_deref()
            .filter(|it| !it.is_empty())
        {
            let index = self.enter(Open::Thinking, out);
            let delta = json!({ "type": "thinking_delta", "thinking": text });
            self.delta(index, &delta, out);
        }
        for entry in said.reasoning_details.iter().flatten() {
            self.detail(entry, out);
        }
        for text in [&said.content, &said.refusal].into_iter().flatten() {
            if !text.is_empty() {
                let index = self.enter(Open::Text, out);
                let delta = json!({ "type": "text_delta", "text": text });
                self.delta(index, &delta, out);
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

    fn delta(&self, index: usize, delta: &Value, out: &mut BytesMut) {
        let event = json!({ "type": "content_block_delta", "index": index, "delta": delta });
        write(out, "content_block_delta", &event);
    }

    /// A block of reasoning that is signed, or not shown.
    fn detail(&mut self, entry: &Value, out: &mut BytesMut) {
        if !is_block(entry) {
            return;
        }
        if entry["type"] == "redacted_thinking" {
            self.leave(out);
            let index = self.start(entry, out);
            stop(index, out);
            return;
        }
        // Its text has come piece by piece before, or comes now.
        let begun = matches!(self.open, Some((Open::Thinking, _)));
        let index = self.enter(Open::Thinking, out);
        if !begun {
            let delta = json!({ "type": "thinking_delta", "thinking": entry["thinking"] });
            self.delta(index, &delta, out);
        }
        if entry["signature"].is_string() {
            let delta = json!({ "type": "signature_delta", "signature": entry["signature"] });
            self.delta(index, &delta, out);
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
        let text = function.and_then(|it| it.arguments.as_deref());
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let delta = json!({ "type": "input_json_delta", "partial_json": text });
            self.delta(index, &delta, out);
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

fn stop(index: usize, out: &mut BytesMut) {
    let event = json!({ "type": "content_block_stop", "index": index });
    write(out, "content_block_stop", &event);
}
