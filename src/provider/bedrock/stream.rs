mod events;

use std::fmt;

use bytes::BytesMut;
use serde::Deserialize;
use smallvec::SmallVec;

use self::events::{BlockStop, Delta, Metadata, Reasoning, Start, Stop};
use super::{
    error,
    response::{Counts, Source, characters, finish_reason, media_type, redacted, signed},
};
use crate::{
    error::Error,
    provider::{
        Asked, Framing, TranslateStream, base64,
        chunks::Chunks,
        completion::{Media, Picture},
        future::cut,
        json::{Object, Spelled},
        nonsense,
        structured::ANSWER,
    },
    wire::{ServiceTier, Usage, placed::Place},
};

/// How many blocks may be open at a time.
const MOST_OPEN: usize = 128;

/// The longest reasoning that is kept to be sent back with its signature, in bytes.
const LONGEST: usize = 4 << 20;

/// Most of images that come in pieces and have not ended, in bytes.
const LARGEST: usize = 32 << 20;

/// The state of a stream of Converse's events.
pub struct Stream {
    chunks: Chunks,
    begun: bool,
    /// How many tool calls have begun: their ordinals are not the blocks' indexes.
    calls: u64,
    /// How many characters of text have been sent.
    written: u64,
    /// The index of the last block of text, and where it begins.
    text: (Option<u64>, u64),
    /// How many entries of `reasoning_details`, of `annotations` and of `images` have been sent.
    details: u64,
    annotations: u64,
    images: u64,
    /// Those that are open, by their indexes: some may be written side by side.
    blocks: SmallVec<[(Option<u64>, Block); 1]>,
    counts: Option<Counts>,
    tier: Option<ServiceTier>,
    end: End,
}

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// Text and reasoning have no start: a block is what its first delta makes of it.
#[derive(Debug)]
enum Block {
    /// One that the provider's own tools wrote.
    Foreign,
    /// A call, by its ordinal.
    Tool { call: u64, empty: bool },
    /// A tool whose arguments are the answer.
    Answer { empty: bool },
    Thinking {
        place: Place,
        text: String,
        signature: String,
    },
    /// An image: its type, and what has come of it.
    Image(&'static str, Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The reason is said; the usage is still to come.
    Reason,
    Over,
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            chunks: Chunks::asked(asked),
            begun: false,
            calls: 0,
            written: 0,
            text: (None, 0),
            details: 0,
            annotations: 0,
            images: 0,
            blocks: SmallVec::new(),
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

    /// Where an open block stands: the one of this index, or the last where none is named.
    fn at(&self, index: Option<u64>) -> Option<usize> {
        let mut blocks = self.blocks.iter();
        blocks.rposition(|(open, _)| index.is_none() || *open == index)
    }

    fn open(&mut self, index: Option<u64>, block: Block) -> Result<(), Error> {
        if self.blocks.len() >= MOST_OPEN {
            return Err(nonsense("too many of its blocks are open"));
        }
        self.blocks.push((index, block));
        Ok(())
    }

    fn start(&mut self, start: &Start<'_>, out: &mut BytesMut) -> Result<(), Error> {
        let index = start.content_block_index;
        while let Some(at) = self.at(index) {
            self.close(at, out);
        }
        let block = match &start.start.tool_use {
            Some(call) if call.kind.as_deref() == Some("server_tool_use") => Block::Foreign,
            Some(call) if &*call.name == ANSWER => Block::Answer { empty: true },
            Some(call) if call.name.is_empty() => return Err(nonsense("a call has no name")),
            Some(call) => {
                let ordinal = self.calls;
                self.chunks
                    .call(out, 0, ordinal, &*call.tool_use_id, &*call.name);
                self.calls += 1;
                Block::Tool {
                    call: ordinal,
                    empty: true,
                }
            }
            None => match &start.start.image {
                Some(image) => Block::Image(media_type(&image.format), Vec::new()),
                None => Block::Foreign,
            },
        };
        self.open(index, block)
    }

    fn go_on(&mut self, delta: Delta<'_>, out: &mut BytesMut) -> Result<(), Error> {
        let index = delta.content_block_index;
        let delta = delta.delta;
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            if self.text.0 != index {
                self.text = (index, self.written);
            }
            self.written += characters(&text);
            self.chunks.content(out, 0, &text);
        }
        if let Some(citation) = delta.citation {
            if let Some(url) = citation.url() {
                let (from, to) = (self.text.1, self.written);
                let before = self.annotations;
                self.annotations += 1;
                self.chunks.entry(out, 0, "annotations", before, |it| {
                    citation.write(url, it, from, to);
                });
            }
        }
        if let Some(image) = delta.image {
            self.draw(index, &image.source, out)?;
        }
        let piece = delta.tool_use.filter(|piece| !piece.input.is_empty());
        let at = self.at(index);
        let at = at.or((self.blocks.len() == 1).then_some(0));
        if let (Some(piece), Some(at)) = (piece, at) {
            match &mut self.blocks[at].1 {
                Block::Tool { call, empty } => {
                    *empty = false;
                    self.chunks.arguments(out, 0, *call, &*piece.input);
                }
                Block::Answer { empty } => {
                    *empty = false;
                    self.chunks.content(out, 0, &piece.input);
                }
                Block::Foreign | Block::Thinking { .. } | Block::Image(..) => {}
            }
        }
        match delta.reasoning_content {
            Some(reasoning) => self.think(index, reasoning, out),
            None => Ok(()),
        }
    }

    /// More of an image: each piece is in base64 of its own. What is known by its place alone is told so.
    fn draw(
        &mut self,
        index: Option<u64>,
        source: &Source<'_>,
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        if let Some(at) = &source.s3_location {
            self.picture(out, Picture::At((&at.uri).into()));
        }
        let (Some(data), Some(at)) = (source.data(), self.at(index)) else {
            return Ok(());
        };
        let drawn = self.blocks.iter().map(|(_, block)| match block {
            Block::Image(_, bytes) => bytes.len(),
            _ => 0,
        });
        let drawn: usize = drawn.sum();
        if let Block::Image(_, bytes) = &mut self.blocks[at].1 {
            let piece = base64::decode(&data.plain());
            let mut piece = piece.ok_or_else(|| nonsense("an image of it cannot be read"))?;
            if drawn + piece.len() > LARGEST {
                return Err(nonsense("an image of it is too large"));
            }
            bytes.append(&mut piece);
        }
        Ok(())
    }

    fn think(
        &mut self,
        index: Option<u64>,
        reasoning: Reasoning<'_>,
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        let place = Place {
            characters: self.written,
            calls: self.calls,
        };
        if let Some(data) = &reasoning.redacted_content {
            self.detail(out, |entry| redacted(entry, data, place));
        }
        let thinks = |at: &usize| matches!(self.blocks[*at].1, Block::Thinking { .. });
        let at = match self.at(index).filter(thinks) {
            Some(at) => at,
            None => {
                let block = Block::Thinking {
                    place,
                    text: String::new(),
                    signature: String::new(),
                };
                self.open(index, block)?;
                self.blocks.len() - 1
            }
        };
        let Block::Thinking {
            text, signature, ..
        } = &mut self.blocks[at].1
        else {
            return Ok(());
        };
        let pieces = [&reasoning.text, &reasoning.signature]
            .into_iter()
            .flatten();
        let more: usize = pieces.map(|piece| piece.len()).sum();
        if text.len() + signature.len() + more > LONGEST {
            return Err(nonsense("its reasoning is too long"));
        }
        if let Some(piece) = reasoning.text.filter(|piece| !piece.is_empty()) {
            self.chunks.reasoning(out, 0, &piece);
            text.push_str(&piece);
        }
        if let Some(piece) = reasoning.signature {
            signature.push_str(&piece);
        }
        Ok(())
    }

    fn detail(&mut self, out: &mut BytesMut, write: impl FnOnce(&mut Object<'_>)) {
        self.chunks
            .entry(out, 0, "reasoning_details", self.details, write);
        self.details += 1;
    }

    fn picture(&mut self, out: &mut BytesMut, picture: Picture<'_>) {
        self.chunks
            .entry(out, 0, "images", self.images, |it| picture.write(it));
        self.images += 1;
    }

    fn close(&mut self, at: usize, out: &mut BytesMut) {
        match self.blocks.remove(at).1 {
            Block::Tool { call, empty: true } => self.chunks.arguments(out, 0, call, "{}"),
            Block::Answer { empty: true } => self.chunks.content(out, 0, "{}"),
            Block::Thinking {
                place,
                text,
                signature,
            } if !signature.is_empty() => {
                self.detail(out, |entry| signed(entry, &text, &signature, place));
            }
            Block::Image(kind, bytes) if !bytes.is_empty() => {
                let data = base64::encode(&bytes);
                let media = Media {
                    kind: Spelled(kind),
                    data: Spelled(&data),
                };
                self.picture(out, Picture::There(media));
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
                self.start(&start, out)?;
            }
            "contentBlockDelta" => {
                self.begin(out);
                let delta: Delta<'_> = read(data)?;
                self.go_on(delta, out)?;
            }
            "contentBlockStop" => {
                let stop: BlockStop = read(data)?;
                // Text has no block of its own, but its end is told.
                if let Some(at) = self.at(stop.content_block_index) {
                    self.close(at, out);
                }
            }
            "messageStop" if self.end == End::Open => {
                let stop: Stop<'_> = read(data)?;
                let reason = finish_reason(&stop.stop_reason)?;
                self.begin(out);
                while !self.blocks.is_empty() {
                    self.close(0, out);
                }
                self.end = End::Reason;
                let reason = match reason {
                    // It was a tool of the provider's own, or the answer's.
                    "tool_calls" if self.calls == 0 => "stop",
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
