use bytes::BytesMut;
use serde::Deserialize;

use super::{
    error,
    response::{Counts, Served, finish_reason, redacted, signed},
};
use crate::{
    error::Error,
    provider::{
        Asked, Framing, TranslateStream, chunks::Chunks, future::cut, json::readable, nonsense,
        structured::ANSWER,
    },
    wire::{ServiceTier, Usage, chat::Text},
};

/// The state of a stream of Converse's events.
#[derive(Debug)]
pub struct Stream {
    chunks: Chunks,
    begun: bool,
    /// How many tool calls have begun: their ordinals are not the blocks' indexes.
    calls: u64,
    block: Block,
    /// Whether a tool's arguments were the answer.
    answered: bool,
    counts: Option<Counts>,
    tier: Option<ServiceTier>,
    end: End,
}

/// Text and reasoning have no start: a block is what its first delta makes of it.
#[derive(Debug)]
enum Block {
    None,
    /// One that the provider's own tools wrote.
    Foreign,
    Tool {
        empty: bool,
    },
    /// A tool whose arguments are the answer.
    Answer {
        empty: bool,
    },
    Thinking {
        text: String,
        signature: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The reason is said; the usage is still to come.
    Reason,
    Over,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    start: Starts<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Starts<'a> {
    #[serde(borrow, default)]
    tool_use: Option<ToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow, default)]
    tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    delta: Deltas<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deltas<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<Input<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Reasoning<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    input: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop<'a> {
    #[serde(borrow)]
    stop_reason: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(default, deserialize_with = "readable")]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    service_tier: Option<Served<'a>>,
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            chunks: Chunks::asked(asked),
            begun: false,
            calls: 0,
            block: Block::None,
            answered: false,
            counts: None,
            tier: None,
            end: End::Open,
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            self.chunks.role(out, 0);
        }
    }

    fn start(&mut self, start: &Starts<'_>, out: &mut BytesMut) {
        self.close(out);
        self.block = match &start.tool_use {
            Some(call) if &*call.name == ANSWER => {
                self.answered = true;
                Block::Answer { empty: true }
            }
            Some(call) if call.kind.as_deref() != Some("server_tool_use") => {
                self.chunks
                    .call(out, 0, self.calls, &*call.tool_use_id, &*call.name);
                self.calls += 1;
                Block::Tool { empty: true }
            }
            _ => Block::Foreign,
        };
    }

    fn go_on(&mut self, delta: Deltas<'_>, out: &mut BytesMut) {
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            self.chunks.content(out, 0, &text);
        }
        if let (Some(piece), Block::Tool { empty }) = (&delta.tool_use, &mut self.block) {
            if !piece.input.is_empty() {
                *empty = false;
                let index = self.calls.saturating_sub(1);
                self.chunks.arguments(out, 0, index, &*piece.input);
            }
        }
        if let (Some(piece), Block::Answer { empty }) = (&delta.tool_use, &mut self.block) {
            if !piece.input.is_empty() {
                *empty = false;
                self.chunks.content(out, 0, &piece.input);
            }
        }
        let Some(reasoning) = delta.reasoning_content else {
            return;
        };
        if let Some(data) = &reasoning.redacted_content {
            self.chunks.delta(out, 0, |delta| {
                delta.one("reasoning_details", |entry| redacted(entry, data));
            });
        }
        if !matches!(self.block, Block::Thinking { .. }) {
            self.block = Block::Thinking {
                text: String::new(),
                signature: String::new(),
            };
        }
        let Block::Thinking { text, signature } = &mut self.block else {
            return;
        };
        if let Some(piece) = reasoning.text.filter(|piece| !piece.is_empty()) {
            self.chunks.reasoning(out, 0, &piece);
            text.push_str(&piece);
        }
        if let Some(piece) = reasoning.signature {
            signature.push_str(&piece);
        }
    }

    fn close(&mut self, out: &mut BytesMut) {
        match std::mem::replace(&mut self.block, Block::None) {
            Block::Tool { empty: true } => {
                self.chunks
                    .arguments(out, 0, self.calls.saturating_sub(1), "{}");
            }
            Block::Answer { empty: true } => self.chunks.content(out, 0, "{}"),
            Block::Thinking { text, signature } if !signature.is_empty() => {
                self.chunks.delta(out, 0, |delta| {
                    delta.one("reasoning_details", |entry| {
                        signed(entry, &text, &signature);
                    });
                });
            }
            _ => {}
        }
    }

    fn over(&mut self, out: &mut BytesMut) {
        if self.end != End::Over {
            self.end = End::Over;
            if let Some(usage) = self.usage() {
                self.chunks.usage(out, &usage, self.tier);
            }
            Chunks::done(out);
        }
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(data)
        .map_err(|error| nonsense("an event of its stream cannot be read").with_source(error))
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        Framing::AwsEventStream
    }

    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if self.end == End::Over {
            return Ok(());
        }
        match name.unwrap_or_default() {
            "messageStart" => self.begin(out),
            "contentBlockStart" => {
                self.begin(out);
                let start: Start<'_> = read(data)?;
                self.start(&start.start, out);
            }
            "contentBlockDelta" => {
                self.begin(out);
                let delta: Delta<'_> = read(data)?;
                self.go_on(delta.delta, out);
            }
            "contentBlockStop" => self.close(out),
            "messageStop" if self.end == End::Open => {
                let stop: Stop<'_> = read(data)?;
                self.begin(out);
                self.close(out);
                self.end = End::Reason;
                let reason = match finish_reason(&stop.stop_reason) {
                    "tool_calls" if self.answered && self.calls == 0 => "stop",
                    reason => reason,
                };
                self.chunks.finish(out, 0, reason);
            }
            "metadata" => {
                let metadata: Metadata<'_> = read(data)?;
                let tier = metadata.service_tier.and_then(|served| served.tier());
                self.tier = tier.or(self.tier);
                self.counts = metadata.usage.or(self.counts);
                if self.end == End::Reason {
                    self.over(out);
                }
            }
            // Exceptions are named so; an error outside of the model has no JSON in it.
            name if name.ends_with("xception") || !data.trim_ascii_start().starts_with(b"{") => {
                return Err(error::in_stream(name, data));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        match self.end {
            End::Open => Err(cut()),
            // The reason was said: only the counts are missing.
            End::Reason | End::Over => {
                self.over(out);
                Ok(())
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.as_ref().and_then(Counts::usage)
    }
}
