use std::fmt;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    error,
    response::{Block, Counts, Likelihood, ToolCall, finish_reason, logprobs},
};
use crate::{
    error::Error,
    provider::{
        Asked, Framing, TranslateStream,
        chunks::Chunks,
        future::cut,
        json::{compact, readable},
        nonsense,
    },
    wire::{Usage, chat::Text},
};

/// How many calls may be open at a time.
const MOST_OPEN: usize = 128;

/// The state of a stream of chat events.
pub struct Stream {
    asked: Asked,
    chunks: Option<Chunks>,
    /// How many tool calls have begun.
    calls: u64,
    /// How many entries of `citations` have been sent.
    citations: u64,
    /// Those that are open: some may be written side by side.
    open: SmallVec<[Open; 1]>,
    counts: Option<Counts>,
    over: bool,
}

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// A call that is being written.
#[derive(Clone, Copy, Debug)]
struct Open {
    index: Option<u64>,
    call: u64,
    /// Whether it has no arguments yet.
    bare: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    logprobs: Option<Likelihood>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "readable")]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default, deserialize_with = "one")]
    content: Option<Block<'a>>,
    #[serde(borrow, default, deserialize_with = "one")]
    tool_calls: Option<ToolCall<'a>>,
    #[serde(borrow, default)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow, default)]
    citations: Option<&'a RawValue>,
}

/// One object where whole answers have an array; the first event has an empty array there.
fn one<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw: &RawValue = Deserialize::deserialize(deserializer)?;
    if !raw.get().starts_with('{') {
        return Ok(None);
    }
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            chunks: None,
            calls: 0,
            citations: 0,
            open: SmallVec::new(),
            counts: None,
            over: false,
        }
    }

    /// The writer; what comes first says who speaks.
    fn chunks(&mut self, id: Option<&str>, out: &mut BytesMut) -> &Chunks {
        let asked = &self.asked;
        self.chunks.get_or_insert_with(|| {
            let id = id.filter(|id| !id.is_empty()).unwrap_or(asked.id());
            let chunks = Chunks::new(id, asked.created, &*asked.model);
            chunks.role(out, 0);
            chunks
        })
    }

    /// Where an open call stands: the one of this index, or the last where none is named.
    fn at(&self, index: Option<u64>) -> Option<usize> {
        let mut open = self.open.iter();
        open.rposition(|call| index.is_none() || call.index == index)
    }

    fn close_call(&mut self, at: usize, out: &mut BytesMut) {
        let Open { call, bare, .. } = self.open.remove(at);
        if bare {
            self.chunks(None, out).arguments(out, 0, call, "{}");
        }
    }

    fn arguments(&mut self, at: usize, text: &str, out: &mut BytesMut) {
        if !text.is_empty() {
            self.open[at].bare = false;
            let call = self.open[at].call;
            self.chunks(None, out).arguments(out, 0, call, text);
        }
    }

    fn say(&mut self, message: &Message<'_>, likely: Option<Likelihood>, out: &mut BytesMut) {
        let pieces = message.content.as_ref();
        if let Some(text) = pieces
            .and_then(|it| it.text.as_ref())
            .filter(|it| !it.is_empty())
        {
            let likely = likely.map(|one| logprobs(&[one]));
            let chunks = self.chunks(None, out);
            chunks.choice(out, 0, likely.as_deref(), None, |delta| {
                delta.string("content", text);
            });
        }
        let thought = pieces.and_then(|it| it.thinking.as_ref());
        for piece in [thought, message.tool_plan.as_ref()].into_iter().flatten() {
            if !piece.is_empty() {
                self.chunks(None, out).reasoning(out, 0, piece);
            }
        }
    }

    fn end(&mut self, delta: &Delta<'_>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let reason = delta.finish_reason.as_deref().unwrap_or("COMPLETE");
        self.counts = delta.usage.or(self.counts);
        let reason = finish_reason(reason).ok_or_else(|| error::failed(reason, data))?;
        while !self.open.is_empty() {
            self.close_call(0, out);
        }
        self.over = true;
        let usage = self.usage();
        let chunks = self.chunks(None, out);
        chunks.finish(out, 0, reason);
        if let Some(usage) = usage {
            chunks.usage(out, &usage, None);
        }
        Chunks::done(out);
        Ok(())
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let data = data.trim_ascii();
        // Some decoders hand on events that have only a name; `[DONE]` follows the end.
        if self.over || data.is_empty() || data.starts_with(b"[DONE]") {
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_slice(data)
            .map_err(|error| nonsense("an event of its stream is not JSON").with_source(error))?;
        let message = event
            .delta
            .as_ref()
            .and_then(|delta| delta.message.as_ref());
        match (&*event.kind, message) {
            ("message-start", _) => drop(self.chunks(event.id.as_deref(), out)),
            ("content-start" | "content-delta" | "tool-plan-delta", Some(message)) => {
                self.say(message, event.logprobs, out);
            }
            ("tool-call-start", Some(message)) => {
                while let Some(at) = self.at(event.index) {
                    self.close_call(at, out);
                }
                let Some(call) = &message.tool_calls else {
                    return Ok(());
                };
                if self.open.len() >= MOST_OPEN {
                    return Err(nonsense("too many of its calls are open"));
                }
                call.check()?;
                self.open.push(Open {
                    index: event.index,
                    call: self.calls,
                    bare: true,
                });
                self.calls += 1;
                let (at, ordinal) = (self.open.len() - 1, self.calls - 1);
                let chunks = self.chunks(None, out);
                chunks.call(out, 0, ordinal, &call.id, &call.function.name);
                self.arguments(at, &call.function.arguments, out);
            }
            ("tool-call-delta", Some(message)) => {
                let at = self.at(event.index);
                let at = at.or((self.open.len() == 1).then_some(0));
                if let (Some(call), Some(at)) = (&message.tool_calls, at) {
                    self.arguments(at, &call.function.arguments, out);
                }
            }
            ("tool-call-end", _) => {
                if let Some(at) = self.at(event.index) {
                    self.close_call(at, out);
                }
            }
            // What the answer rests on, of the documents or results that the client gave.
            ("citation-start", Some(message)) => {
                let citation = message.citations.map(RawValue::get);
                if let Some(json) = citation.filter(|json| json.starts_with('{')) {
                    let before = self.citations;
                    self.citations += 1;
                    self.chunks(None, out)
                        .entry(out, 0, "citations", before, |it| it.members(&compact(json)));
                }
            }
            ("message-end", _) => {
                let none = Delta {
                    message: None,
                    finish_reason: None,
                    usage: None,
                };
                self.end(event.delta.as_ref().unwrap_or(&none), data, out)?;
            }
            // A refusal in the middle has the shape of one at the start.
            ("", None) => return Err(error::failed("ERROR", data)),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        if self.over { Ok(()) } else { Err(cut()) }
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.as_ref().and_then(Counts::usage)
    }
}
