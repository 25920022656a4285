use std::{borrow::Cow, fmt, sync::Arc};

use bytes::BytesMut;
use smallvec::SmallVec;

use super::{
    error,
    read::{Block as Read, Stop, finish_reason},
    usage::Counts,
};
use crate::{
    error::Error,
    provider::{
        Asked, Framing, TranslateStream,
        chunks::Chunks,
        future::cut,
        json::{Object, Reader, Spelled, Words, compact},
        nonsense,
        structured::ANSWER,
    },
    wire::{Usage, json::Fault, placed::Place},
};

/// The longest reasoning that is kept to be sent back with its signature, in bytes.
const LONGEST: usize = 4 << 20;

/// How many blocks may be open at a time.
const MOST_OPEN: usize = 128;

/// The state of a stream of messages' events.
pub struct Stream {
    created: u64,
    model: Arc<str>,
    /// From the first event on.
    chunks: Option<Chunks>,
    /// How many tool calls have begun: their ordinals are not the blocks' indexes.
    calls: u64,
    /// How many characters of text have been sent.
    written: u64,
    /// How many entries of `reasoning_details` and of `annotations` have been sent.
    details: u64,
    annotations: u64,
    /// Those that are open, by their indexes: some are written side by side.
    blocks: SmallVec<[(u64, Block); 1]>,
    counts: Option<Counts>,
    end: End,
}

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Block {
    Other,
    /// Where its text begins in the answer.
    Text(u64),
    /// A call, by its ordinal.
    Tool(u64, Input),
    /// A tool whose arguments are the answer.
    Answer(Input),
    /// Both as they are spelled in JSON.
    Thinking {
        place: Place,
        text: String,
        signature: String,
    },
}

/// The arguments of a call.
#[derive(Debug)]
enum Input {
    /// What the block began with, JSON that is said at its end; mostly `{}`.
    Whole(Cow<'static, str>),
    /// They come in pieces.
    Pieces,
}

impl Input {
    fn of(block: &Read<'_>) -> Self {
        let text = block.input.map_or(Cow::Borrowed("{}"), compact);
        Self::Whole(match &*text {
            "{}" => Cow::Borrowed("{}"),
            _ => text.into_owned().into(),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Reason,
    Stopped,
}

/// An event, borrowed from its JSON.
#[derive(Default)]
struct Event<'a> {
    kind: &'a str,
    index: Option<u64>,
    message: Option<Head<'a>>,
    /// Whether it tells of an error.
    fails: bool,
    /// The block that begins, as it stands.
    begins: Option<&'a str>,
    delta: Read<'a>,
    usage: Option<Counts>,
}

#[derive(Default)]
struct Head<'a> {
    id: Spelled<'a>,
    model: Option<Spelled<'a>>,
    usage: Option<Counts>,
}

impl<'a> Event<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut event = Self::default();
        reader.object(|reader, key| {
            match key {
                "type" => event.kind = reader.string()?.unwrap_or_default().0,
                "index" => event.index = reader.count()?,
                "error" => event.fails = reader.raw()?.is_some(),
                "message" => event.message = Some(Head::read(reader)?),
                "content_block" => event.begins = reader.raw()?,
                "delta" => event.delta = Read::read(reader)?,
                "usage" if !reader.is_null()? => event.usage = Some(Counts::read(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(event)
    }
}

impl<'a> Head<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut head = Self::default();
        reader.object(|reader, key| {
            match key {
                "id" => head.id = reader.string()?.unwrap_or_default(),
                "model" => head.model = reader.string()?,
                "usage" if !reader.is_null()? => head.usage = Some(Counts::read(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(head)
    }
}

impl Stream {
    pub(in crate::provider) fn new(asked: &Asked) -> Self {
        Self {
            created: asked.created,
            model: Arc::clone(&asked.model),
            chunks: None,
            calls: 0,
            written: 0,
            details: 0,
            annotations: 0,
            blocks: SmallVec::new(),
            counts: None,
            end: End::Open,
        }
    }

    fn chunks(&mut self) -> &Chunks {
        self.chunks
            .get_or_insert_with(|| Chunks::new("", self.created, &*self.model))
    }

    fn start(&mut self, head: Option<Head<'_>>, out: &mut BytesMut) {
        // Resellers were seen to send it twice: blocks begin anew, the answer does not.
        self.blocks.clear();
        let head = head.unwrap_or_default();
        if let Some(counts) = head.usage {
            self.counts.get_or_insert_default().update(counts);
        }
        if self.chunks.is_none() {
            let asked = Words::Plain(&self.model);
            let model = head.model.map_or(asked, Words::from);
            let chunks = Chunks::new(head.id, self.created, model);
            chunks.role(out, 0);
            self.chunks = Some(chunks);
        }
    }

    fn text(&mut self, text: Spelled<'_>, out: &mut BytesMut) {
        if !text.is_empty() {
            self.written += text.length();
            self.chunks()
                .delta(out, 0, |delta| delta.string("content", text));
        }
    }

    /// Where an open block stands: by its index, or the only one.
    fn at(&self, index: Option<u64>) -> Option<usize> {
        let mut blocks = self.blocks.iter();
        let found = blocks.position(|(open, _)| Some(*open) == index);
        found.or((self.blocks.len() == 1).then_some(0))
    }

    fn begin(
        &mut self,
        index: Option<u64>,
        raw: &str,
        out: &mut BytesMut,
    ) -> Result<Result<(), Error>, Fault> {
        let block = Read::read(&mut Reader::over(raw))?;
        let index = index.unwrap_or(0);
        if let Some(at) = self.blocks.iter().position(|(open, _)| *open == index) {
            self.close(at, out);
        }
        if self.blocks.len() >= MOST_OPEN {
            return Ok(Err(nonsense("too many of its blocks are open")));
        }
        let block = match block.kind {
            "tool_use" if block.name.0 == ANSWER => Block::Answer(Input::of(&block)),
            "tool_use" if block.name.is_empty() => {
                return Ok(Err(nonsense("a call has no name")));
            }
            "tool_use" => {
                let call = self.calls;
                self.calls += 1;
                self.chunks().call(out, 0, call, block.id, block.name);
                Block::Tool(call, Input::of(&block))
            }
            "thinking" => Block::Thinking {
                place: self.place(),
                text: block.thinking.0.to_owned(),
                signature: block.signature.0.to_owned(),
            },
            "redacted_thinking" => {
                let entry = self.place().put(&compact(raw)).into_owned();
                self.detail(out, |it| it.members(&entry));
                Block::Other
            }
            "text" => {
                let from = self.written;
                self.text(block.text, out);
                Block::Text(from)
            }
            // What the provider's own tools do is not the client's to answer.
            _ => Block::Other,
        };
        self.blocks.push((index, block));
        Ok(Ok(()))
    }

    fn go_on(
        &mut self,
        index: Option<u64>,
        delta: &Read<'_>,
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        let at = self.at(index);
        let mut none = Block::Other;
        let block = at.map_or(&mut none, |at| &mut self.blocks[at].1);
        match (delta.kind, block) {
            ("text_delta", _) => self.text(delta.text, out),
            ("thinking_delta", Block::Thinking { text, .. }) if !delta.thinking.is_empty() => {
                if text.len() + delta.thinking.0.len() > LONGEST {
                    return Err(nonsense("its reasoning is too long"));
                }
                text.push_str(delta.thinking.0);
                self.chunks().delta(out, 0, |it| {
                    it.string("reasoning_content", delta.thinking);
                });
            }
            ("signature_delta", Block::Thinking { signature, .. }) => {
                if signature.len() + delta.signature.0.len() > LONGEST {
                    return Err(nonsense("its reasoning is too long"));
                }
                signature.push_str(delta.signature.0);
            }
            ("input_json_delta", Block::Tool(call, input)) if !delta.partial_json.is_empty() => {
                *input = Input::Pieces;
                let call = *call;
                self.chunks().arguments(out, 0, call, delta.partial_json);
            }
            ("input_json_delta", Block::Answer(input)) if !delta.partial_json.is_empty() => {
                *input = Input::Pieces;
                self.text(delta.partial_json, out);
            }
            ("citations_delta", Block::Text(from)) => {
                let (from, to) = (*from, self.written);
                for citation in delta.citations.iter().filter(|it| it.is_web()) {
                    let before = self.annotations;
                    self.annotations += 1;
                    self.chunks().entry(out, 0, "annotations", before, |it| {
                        citation.write(it, from, to);
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Where what begins now stands.
    fn place(&self) -> Place {
        Place {
            characters: self.written,
            calls: self.calls,
        }
    }

    fn detail(&mut self, out: &mut BytesMut, write: impl FnOnce(&mut Object<'_>)) {
        let before = self.details;
        self.details += 1;
        self.chunks()
            .entry(out, 0, "reasoning_details", before, write);
    }

    fn close(&mut self, at: usize, out: &mut BytesMut) {
        match self.blocks.remove(at).1 {
            Block::Tool(call, Input::Whole(input)) => {
                self.chunks().arguments(out, 0, call, &*input);
            }
            Block::Answer(Input::Whole(input)) => {
                let text = serde_json::Value::from(&*input).to_string();
                self.text(Spelled(&text[1..text.len() - 1]), out);
            }
            Block::Thinking {
                place,
                text,
                signature,
            } if !signature.is_empty() => {
                self.detail(out, |it| {
                    it.string("type", "thinking");
                    it.string("thinking", Words::Spelled(&text));
                    it.string("signature", Words::Spelled(&signature));
                    if let Some((name, place)) = place.member() {
                        it.raw(name, &place);
                    }
                });
            }
            _ => {}
        }
    }

    fn reason(&mut self, stop: Stop<'_>, out: &mut BytesMut) {
        let Some(reason) = stop.reason.filter(|_| self.end == End::Open) else {
            return;
        };
        self.end = End::Reason;
        while !self.blocks.is_empty() {
            self.close(0, out);
        }
        let reason = match finish_reason(reason) {
            "tool_calls" if self.calls == 0 => "stop",
            reason => reason,
        };
        self.chunks().choice(out, 0, None, Some(reason), |delta| {
            if !stop.explanation.is_empty() {
                delta.string("refusal", stop.explanation);
            }
        });
    }

    fn stop(&mut self, out: &mut BytesMut) {
        let stop = Stop {
            reason: Some("end_turn"),
            ..Stop::default()
        };
        self.reason(stop, out);
        self.end = End::Stopped;
        if let Some(usage) = self.usage() {
            let tier = self.counts.and_then(|counts| counts.tier);
            self.chunks().usage(out, &usage, tier);
        }
        Chunks::done(out);
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        // Some clients' decoders, and so some proxies, hand on events that have only a name.
        if data.trim_ascii().is_empty() || self.end == End::Stopped {
            return Ok(());
        }
        let bad = |why: Fault| nonsense("an event of its stream is not JSON").with_source(why);
        let mut reader = Reader::new(data).ok_or_else(|| nonsense("its stream is not UTF-8"))?;
        let event = Event::read(&mut reader).map_err(bad)?;
        let kind = match event.kind {
            "" if event.fails => "error",
            "" => name.unwrap_or_default(),
            kind => kind,
        };
        match kind {
            "content_block_delta" => self.go_on(event.index, &event.delta, out)?,
            "message_start" => self.start(event.message, out),
            "content_block_start" => {
                if let Some(raw) = event.begins {
                    self.begin(event.index, raw, out).map_err(bad)??;
                }
            }
            "content_block_stop" => {
                if let Some(at) = self.at(event.index) {
                    self.close(at, out);
                }
            }
            "message_delta" => {
                if let Some(counts) = event.usage {
                    self.counts.get_or_insert_default().update(counts);
                }
                self.reason(event.delta.stop, out);
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
        self.counts.and_then(|counts| counts.usage())
    }
}
