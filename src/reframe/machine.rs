//! The stream from end to end: upstream chunks in, canonical frames out.

use std::mem;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{config::Config, fault, read::Reader, sink::Sink, whole};
use crate::{
    error::{Class, Error, Kind, upstream},
    meter::{Outcome, Tally},
    sse::{AtEnd, Decoder, Found, MaxSizes, Place, is_done},
};

const DONE: &[u8] = b"data: [DONE]\n\n";
/// Events that wait for a name at most.
const MOST_EARLY: usize = 8;

/// Re-frames one stream. Each call gives at most one frame, never an empty one; what else the same
/// read has completed, which is seldom, waits to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    decoder: Decoder,
    reader: Reader,
    sink: Sink,
    /// The first events, as long as they say nothing of the answer and a name is open that a later
    /// one may have.
    early: Vec<String>,
    /// How often the upstream had been heard without a chunk.
    heard: u32,
    over: bool,
}

impl Machine {
    pub(super) fn new(config: Config, limits: MaxSizes, tally: Tally) -> Self {
        Self {
            decoder: Decoder::with_limits(limits).at_end(AtEnd::Flush),
            reader: Reader::new(config, tally),
            sink: Sink::default(),
            early: Vec::new(),
            heard: 0,
            over: false,
        }
    }

    /// Whether the last frame has been given.
    pub(super) fn is_over(&self) -> bool {
        self.over && self.sink.outgoing.is_empty()
    }

    /// Whether nothing more is wanted of the upstream.
    pub(super) fn has_ended(&self) -> bool {
        self.over
    }

    /// Why it has failed, where it has.
    pub(super) fn failure(&self) -> Option<Error> {
        match self.reader.tally.outcome() {
            Some(Outcome::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether the answer has begun, but nothing of it has gone out yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// What else goes out, of what has been read.
    #[inline(always)]
    pub(super) fn more(&mut self) -> Option<Bytes> {
        self.sink.outgoing.next()
    }

    /// How many chunks have been read.
    pub(super) fn events(&self) -> u64 {
        self.sink.events
    }

    /// Whether the upstream has sent an event that is no chunk since this was last asked, here or where
    /// its stream is translated inside.
    pub(super) fn has_heard(&mut self) -> bool {
        let heard = self.reader.tally.heard();
        mem::replace(&mut self.heard, heard) != heard
    }

    /// Takes the next bytes of the upstream: what they complete, in one frame unless much of it
    /// passes beside what does not. When no [`more`](Self::more) is left.
    pub(super) fn push(&mut self, chunk: Bytes) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let run = self.sink.run(&mut self.decoder, &chunk);
        if run.events > 0 {
            self.sink.note(run, &self.reader.tally);
            if run.end == chunk.len() {
                self.decoder.pass_chunk(chunk.len());
                return Some(chunk);
            }
        }
        self.decoder.push(chunk);
        if run.events > 0 {
            self.decoder.pass(run.end);
            let chunk = self.decoder.chunk();
            self.sink.outgoing.pass(chunk, 0..run.end);
        }
        self.drain();
        self.frame()
    }

    /// The upstream has ended.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        if !self.over && self.decoder.close() {
            match self.decoder.advance() {
                Some(Ok(found)) => {
                    // An event without its blank line may be cut anywhere, but not within JSON that is whole.
                    let data = self.decoder.data(&found);
                    let is_whole = serde_json::from_slice::<IgnoredAny>(data).is_ok();
                    if let Err(error) = self.event(&found) {
                        self.fail_with(if is_whole {
                            error
                        } else {
                            fault::cut().with_source(error.message().to_owned())
                        });
                    }
                }
                Some(Err(error)) => self.fail_with(too_large(error)),
                None => {}
            }
        }
        if !self.over {
            self.relay_early();
        }
        if !self.over {
            if self.reader.choices.is_finished() {
                self.complete();
            } else {
                self.fail_with(fault::cut());
            }
        }
        self.frame()
    }

    /// The upstream has failed, or taken too long.
    pub(super) fn fail(&mut self, error: Error) -> Option<Bytes> {
        if !self.over {
            self.fail_with(error);
        }
        self.frame()
    }

    fn drain(&mut self) {
        while !self.over {
            self.sink.relay_run(&mut self.decoder, &self.reader);
            match self.decoder.advance() {
                None => return,
                Some(Ok(found)) => {
                    if let Err(error) = self.event(&found) {
                        self.fail_with(error);
                    }
                }
                Some(Err(error)) => self.fail_with(too_large(error)),
            }
        }
    }

    #[inline]
    fn event(&mut self, found: &Found) -> Result<(), Error> {
        let data = self.decoder.data(found);
        if is_done(data) {
            self.relay_early();
            if !self.reader.choices.has_begun() {
                return Err(fault::cut());
            }
            if !self.over {
                self.complete();
            }
            return Ok(());
        }
        if data.first().is_none_or(u8::is_ascii_whitespace) && data.trim_ascii().is_empty() {
            self.reader.tally.hear();
            return Ok(());
        }
        let whole = match &found.place {
            Place::Chunk(range) if found.plain => Some(range.clone()),
            _ => None,
        };
        let named = !found.name.is_empty();
        let chunk = self.decoder.chunk();
        let last = self.decoder.is_drained();
        // What is plain has been tried where it lies, unless it lies in two chunks.
        if !named && whole.is_none() && self.sink.relay_like(&self.reader, chunk, data, last) {
            return Ok(());
        }
        let text = std::str::from_utf8(data).map_err(|_| {
            Error::new(
                Kind::BadUpstream,
                "The provider sent an answer that is not UTF-8.",
            )
        })?;
        match self.decoder.name(found) {
            b"" | b"message" => {}
            b"error" => return Err(upstream::in_stream(text)),
            // Events of a kind of their own are no chunks, unless they look like one.
            _ if !text.contains("\"choices\"") => {
                self.reader.tally.hear();
                return Ok(());
            }
            _ => {}
        }
        if !self.reader.choices.has_begun() {
            if self.early.len() < MOST_EARLY && self.reader.may_wait(text) {
                // What it does name is the first of its kind.
                self.reader.pin(text);
                self.early.push(text.to_owned());
                self.sink.events += 1;
                return Ok(());
            }
            if !self.early.is_empty() {
                self.reader.pin(text);
                for early in mem::take(&mut self.early) {
                    let chunk = self.decoder.chunk();
                    self.sink
                        .relay(&mut self.reader, chunk, &early, None, false)?;
                }
            }
        }
        self.sink
            .relay(&mut self.reader, self.decoder.chunk(), text, whole, last)
    }

    /// What was held back for a name goes out under one of ours.
    fn relay_early(&mut self) {
        for early in mem::take(&mut self.early) {
            let chunk = self.decoder.chunk();
            let relayed = self
                .sink
                .relay(&mut self.reader, chunk, &early, None, false);
            if let Err(error) = relayed {
                return self.fail_with(error);
            }
        }
    }

    /// The answer is whole.
    fn complete(&mut self) {
        let Self { reader, sink, .. } = self;
        if reader.config.hold_finish {
            sink.finish(reader);
        }
        if !sink.usage_seen {
            let usage = whole::estimate(reader);
            if reader.config.include_usage {
                reader.usage_text = usage.spelled().into_bytes();
            }
        }
        if reader.config.include_usage && reader.garbled {
            reader.usage_text = whole::in_its_place(reader).spelled().into_bytes();
            sink.usage_event.clear();
        }
        if reader.config.include_usage && sink.usage_event.is_empty() {
            let head = reader.head("chat.completion.chunk");
            let event = &mut sink.usage_event;
            event.extend_from_slice(b"data: {");
            event.extend_from_slice(head.as_bytes());
            event.extend_from_slice(br#","choices":[],"usage":"#);
            event.extend_from_slice(&reader.usage_text);
            event.extend_from_slice(b"}\n\n");
        }
        let length = sink.tail.len() + sink.usage_event.len() + DONE.len();
        let out = sink.outgoing.room(self.decoder.chunk(), length, true);
        out.append(&mut sink.tail);
        if reader.config.include_usage {
            out.append(&mut sink.usage_event);
        }
        out.extend_from_slice(DONE);
        reader.tally.end(Outcome::Complete);
        self.over = true;
    }

    #[cold]
    fn fail_with(&mut self, error: Error) {
        let Self { reader, sink, .. } = self;
        let error = reader.tally.fail(error);
        let out = sink.outgoing.behind(self.decoder.chunk());
        out.append(&mut sink.tail);
        out.extend_from_slice(&error.event());
        if reader.config.done_after_error {
            out.extend_from_slice(DONE);
        }
        self.early = Vec::new();
        self.over = true;
    }

    /// All that is ready.
    #[inline]
    fn frame(&mut self) -> Option<Bytes> {
        let frame = self.sink.outgoing.first(&mut self.decoder);
        self.decoder.release();
        if self.over {
            self.sink.forget();
        }
        frame
    }
}

fn too_large(error: crate::sse::Error) -> Error {
    Error::new(
        Kind::BadUpstream,
        format!("The provider's stream cannot be read: {error}."),
    )
    .with_class(Class::Transient)
}

#[cfg(test)]
mod tests;
