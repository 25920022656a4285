use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error,
    response::{Counts, finish_reason, usage_json},
};
use crate::{
    error::Error,
    provider::{Asked, Framing, TranslateStream, future::cut, nonsense},
    wire::Usage,
};

/// The state of a stream of messages' events.
#[derive(Debug)]
pub struct Stream {
    id: String,
    created: u64,
    model: Arc<str>,
    /// How many tool calls have begun: their ordinals are not the blocks' indexes.
    calls: usize,
    block: Block,
    counts: Option<Counts>,
    end: End,
}

#[derive(Debug)]
enum Block {
    Other,
    Tool { empty: bool },
    Thinking { text: String, signature: String },
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Reason,
    Stopped,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: Option<Head>,
    #[serde(default)]
    content_block: Value,
    #[serde(default)]
    delta: Value,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            id: String::new(),
            created: asked.created,
            model: Arc::clone(&asked.model),
            calls: 0,
            block: Block::Other,
            counts: None,
            end: End::Open,
        }
    }

    fn write(&self, out: &mut BytesMut, choices: &Value, usage: Option<&Usage>) {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": &*self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage_json(usage);
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(chunk.to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
    }

    fn delta(&self, out: &mut BytesMut, delta: &Value) {
        let choice = json!([{ "index": 0, "delta": delta, "finish_reason": null }]);
        self.write(out, &choice, None);
    }

    fn arguments(&self, out: &mut BytesMut, text: &str) {
        // A block of a tool is only ever entered together with its ordinal.
        let index = self.calls.saturating_sub(1);
        let call = json!({ "index": index, "function": { "arguments": text } });
        self.delta(out, &json!({ "tool_calls": [call] }));
    }

    fn begin(&mut self, block: &Value, out: &mut BytesMut) {
        let member = |name: &str| block[name].as_str().unwrap_or_default();
        self.block = match member("type") {
            "tool_use" => {
                let call = json!({
                    "index": self.calls,
                    "id": member("id"),
                    "type": "function",
                    "function": { "name": member("name"), "arguments": "" },
                });
                self.calls += 1;
                self.delta(out, &json!({ "tool_calls": [call] }));
                Block::Tool { empty: true }
            }
            "thinking" => Block::Thinking {
                text: member("thinking").to_owned(),
                signature: member("signature").to_owned(),
            },
            "redacted_thinking" => {
                self.delta(out, &json!({ "reasoning_details": [block] }));
                Block::Other
            }
            "text" if !member("text").is_empty() => {
                self.delta(out, &json!({ "content": member("text") }));
                Block::Other
            }
            _ => Block::Other,
        };
    }

    fn go_on(&mut self, delta: &Value, out: &mut BytesMut) {
        let member = |name: &str| delta[name].as_str().unwrap_or_default();
        match (member("type"), &mut self.block) {
            ("text_delta", _) if !member("text").is_empty() => {
                self.delta(out, &json!({ "content": member("text") }));
            }
            ("thinking_delta", Block::Thinking { text, .. }) if !member("thinking").is_empty() => {
                text.push_str(member("thinking"));
                self.delta(out, &json!({ "reasoning_content": member("thinking") }));
            }
            ("signature_delta", Block::Thinking { signature, .. }) => {
                signature.push_str(member("signature"));
            }
            ("input_json_delta", Block::Tool { empty }) if !member("partial_json").is_empty() => {
                *empty = false;
                self.arguments(out, member("partial_json"));
            }
            _ => {}
        }
    }

    fn close(&mut self, out: &mut BytesMut) {
        match std::mem::replace(&mut self.block, Block::Other) {
            Block::Tool { empty: true } => self.arguments(out, "{}"),
            Block::Thinking { text, signature } if !signature.is_empty() => {
                let block = json!({ "type": "thinking", "thinking": text, "signature": signature });
                self.delta(out, &json!({ "reasoning_details": [block] }));
            }
            _ => {}
        }
    }
}

impl Stream {
    fn reason(&mut self, reason: &str, out: &mut BytesMut) {
        if self.end == End::Open {
            self.end = End::Reason;
            let choice =
                json!([{ "index": 0, "delta": {}, "finish_reason": finish_reason(reason) }]);
            self.write(out, &choice, None);
        }
    }

    fn stop(&mut self, out: &mut BytesMut) {
        self.reason("end_turn", out);
        self.end = End::Stopped;
        if let Some(usage) = self.usage() {
            self.write(out, &json!([]), Some(&usage));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        // Some clients' decoders, and so some proxies, hand on events that have only a name.
        if data.trim_ascii().is_empty() || self.end == End::Stopped {
            return Ok(());
        }
        let event: Event = serde_json::from_slice(data)
            .map_err(|error| nonsense("an event of its stream is not JSON").with_source(error))?;
        match &*event.kind {
            "message_start" => {
                // Resellers were seen to send it twice: blocks begin anew, the answer does not.
                let first = self.id.is_empty();
                self.block = Block::Other;
                if let Some(head) = event.message {
                    if let Some(counts) = head.usage {
                        self.counts.get_or_insert_default().update(counts);
                    }
                    if first {
                        self.id = head.id;
                        self.model = head.model.map_or_else(|| self.model.clone(), Into::into);
                    }
                }
                if first {
                    self.delta(out, &json!({ "role": "assistant", "content": "" }));
                }
            }
            "content_block_start" => self.begin(&event.content_block, out),
            "content_block_delta" => self.go_on(&event.delta, out),
            "content_block_stop" => self.close(out),
            "message_delta" => {
                if let Some(counts) = event.usage {
                    self.counts.get_or_insert_default().update(counts);
                }
                if let Some(reason) = event.delta["stop_reason"].as_str() {
                    self.reason(reason, out);
                }
            }
            // The answer is whole here, whether or not the upstream closes its connection soon.
            "message_stop" => self.stop(out),
            "error" => return Err(error::in_stream(data)),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        if self.end == End::Stopped {
            Ok(())
        } else {
            Err(cut())
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.map(|counts| counts.usage())
    }
}
