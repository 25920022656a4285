//! The stream from end to end: upstream chunks in, canonical frames out.

use std::{mem, ops::Range};

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{
    config::Config,
    fault,
    outgoing::{Outgoing, on_one_line},
    pass::{Form, Seen},
    pattern::{Pattern, Run},
    read::Reader,
    usual::Chunk,
    whole,
};
use crate::{
    error::{Class, Error, Kind, upstream},
    meter::{Outcome, Tally},
    sse::{Ahead, AtEnd, Decoder, Found, Limits, Place},
};

const DONE: &[u8] = b"data: [DONE]\n\n";
/// What an event is longer than its data.
const FRAME: usize = b"data: \n\n".len();
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

/// What goes out next.
#[derive(Clone, Debug, Default)]
struct Sink {
    outgoing: Outgoing,
    /// Events from the finish on that wait for the usage.
    tail: Vec<u8>,
    holding: bool,
    /// The last chunk, with nothing but the usage.
    usage_event: Vec<u8>,
    usage_seen: bool,
    events: u64,
    /// What the last event looked like.
    pattern: Option<Pattern>,
    /// Events in a row that did not fit.
    misses: u32,
}

impl Machine {
    pub(super) fn new(config: Config, limits: Limits, tally: Tally) -> Self {
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
        if data.starts_with(b"[DONE]") {
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
        if !sink.usage_seen {
            let usage = whole::estimate(reader);
            if reader.config.include_usage {
                reader.usage_text = whole::spell(&usage).into_bytes();
            }
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
            self.sink = Sink {
                outgoing: mem::take(&mut self.sink.outgoing),
                ..Sink::default()
            };
        }
        frame
    }
}

impl Sink {
    /// Passes one chunk on. `whole` is where it stands in the upstream's bytes, when it was framed
    /// as we would.
    #[inline]
    fn relay(
        &mut self,
        reader: &mut Reader,
        chunk: &Bytes,
        text: &str,
        whole: Option<Range<usize>>,
        last: bool,
    ) -> Result<(), Error> {
        self.events += 1;
        let read = match Chunk::read(text, reader) {
            Some(chunk) => Ok(chunk.tell(reader, text)),
            None => reader.read(text, Form::Chunk),
        };
        let seen = match read {
            // Some put their error into an array.
            Err(_) if text.trim_start().starts_with('[') && text.contains("\"error\"") => {
                return Err(upstream::in_stream(text));
            }
            seen => seen?,
        };
        if seen.failed {
            return Err(upstream::in_stream(text));
        }
        reader.tally.relayed(seen.content);
        self.learn(reader, text, &seen);
        if seen.usage || seen.finish {
            reader.date_counts(&seen);
        }
        if seen.usage {
            self.usage_seen = true;
            self.usage_event.clear();
            if seen.is_usage_alone() {
                if reader.config.include_usage {
                    write(&mut self.usage_event, reader, text);
                }
                self.release(chunk);
                return Ok(());
            }
        }
        if seen.is_empty() && reader.choices.is_finished() {
            // It was asked for the usage, and has none to state there.
            return Ok(());
        }
        if reader.config.hold_finish && !self.usage_seen && (seen.finish || self.holding) {
            self.holding = true;
            write(&mut self.tail, reader, text);
            return Ok(());
        }
        self.release(chunk);
        match whole {
            Some(range) if reader.edits.is_empty() => self.outgoing.pass(chunk, range),
            _ => {
                let length = reader.edits.length(text.as_bytes(), &reader.pinned);
                let out = self.outgoing.room(chunk, length + FRAME, last);
                write(out, reader, text);
            }
        }
        Ok(())
    }

    /// Passes on all that comes next in the chunk and differs from the last event in its text alone.
    #[inline]
    fn relay_run(&mut self, decoder: &mut Decoder, reader: &Reader) {
        let (Some(pattern), Some(ahead)) = (&self.pattern, decoder.ahead()) else {
            return;
        };
        let Ahead { chunk, at, longest } = ahead;
        let run = if pattern.is_same() {
            let run = pattern.run(chunk, at, longest);
            if run.events > 0 {
                self.outgoing.pass(chunk, at..run.end);
            }
            run
        } else {
            let mut run = Run::at(at);
            while let Some(fit) = pattern.fit(&chunk[run.end..]) {
                if fit.read() > longest {
                    break;
                }
                run.add(&fit);
                let (length, last) = (pattern.length(&fit), run.end == chunk.len());
                let out = self.outgoing.room(chunk, length, last);
                pattern.write(&fit, &reader.pinned, out);
            }
            run
        };
        if run.events > 0 {
            decoder.pass(run.end);
            self.note(run, &reader.tally);
        }
    }

    /// The events that a chunk begins with and that go out as they came, found before the decoder
    /// has it.
    #[inline]
    fn run(&self, decoder: &mut Decoder, chunk: &[u8]) -> Run {
        match &self.pattern {
            Some(pattern) if pattern.is_same() && self.outgoing.is_empty() => {
                let longest = decoder.before(chunk.len());
                longest.map_or(Run::at(0), |longest| pattern.run(chunk, 0, longest))
            }
            _ => Run::at(0),
        }
    }

    /// Counts events that were passed on.
    #[inline]
    fn note(&mut self, run: Run, tally: &Tally) {
        tally.relayed_all(run.events, run.content);
        self.events += run.events;
        self.misses = 0;
    }

    /// Passes one chunk on that differs from the last in its text alone, where it was framed in
    /// another way or spans chunks. False: it does not.
    fn relay_like(&mut self, reader: &Reader, chunk: &Bytes, data: &[u8], last: bool) -> bool {
        let Some(pattern) = &self.pattern else {
            return false;
        };
        let Some(fit) = pattern.fit_data(data) else {
            return false;
        };
        let mut run = Run::at(0);
        run.add(&fit);
        let out = self.outgoing.room(chunk, pattern.length(&fit), last);
        pattern.write(&fit, &reader.pinned, out);
        self.note(run, &reader.tally);
        true
    }

    /// Keeps what an event looked like, unless the next ones will look different.
    fn learn(&mut self, reader: &mut Reader, text: &str, seen: &Seen) {
        if let (Some(pattern), Some(word), true) = (&self.pattern, &seen.word, seen.is_steady()) {
            // Only the text itself was not as plain as it must be: the next one may be.
            if pattern.surrounds(text, word, seen.filler.as_ref()) {
                return;
            }
        }
        self.pattern = None;
        self.misses = self.misses.saturating_add(1);
        // Where nothing has fitted for long, as with log probabilities, it is seldom tried.
        if self.holding || !seen.is_steady() || (self.misses > 8 && self.misses % 64 != 0) {
            return;
        }
        let Some(word) = seen.word.clone() else {
            return;
        };
        reader.edits.sort();
        let filler = seen.filler.clone();
        self.pattern = Pattern::new(text, word, filler, &reader.edits, &reader.pinned);
    }

    /// What waited goes out.
    #[inline]
    fn release(&mut self, chunk: &Bytes) {
        if self.holding {
            self.holding = false;
            self.outgoing.behind(chunk).append(&mut self.tail);
        }
    }
}

fn write(out: &mut Vec<u8>, reader: &mut Reader, text: &str) {
    out.extend_from_slice(b"data: ");
    let from = out.len();
    let Reader { edits, pinned, .. } = reader;
    edits.apply(text.as_bytes(), pinned, out);
    // JSON over several data lines came joined by line feeds.
    on_one_line(&mut out[from..]);
    out.extend_from_slice(b"\n\n");
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
