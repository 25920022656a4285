//! What goes out of a stream: chunks passed or rewritten, those like the last in one go, and what
//! waits from the finish on.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    outgoing::{Outgoing, on_one_line},
    pass::{Form, Seen},
    pattern::{Pattern, Run},
    read::Reader,
    usual::Chunk,
};
use crate::{
    error::{Error, upstream},
    meter::Tally,
    sse::{Ahead, Decoder},
};

/// What an event is longer than its data.
const FRAME: usize = b"data: \n\n".len();

/// What goes out next.
#[derive(Clone, Debug, Default)]
pub(super) struct Sink {
    pub(super) outgoing: Outgoing,
    /// Events from the finish on that wait for the usage.
    pub(super) tail: Vec<u8>,
    holding: bool,
    /// The last chunk, with nothing but the usage.
    pub(super) usage_event: Vec<u8>,
    pub(super) usage_seen: bool,
    pub(super) events: u64,
    /// What the last event looked like.
    pub(super) pattern: Option<Pattern>,
    /// Events in a row that did not fit.
    pub(super) misses: u32,
}

impl Sink {
    /// Passes one chunk on. `whole` is where it stands in the upstream's bytes, when it was framed
    /// as we would.
    #[inline]
    pub(super) fn relay(
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
    pub(super) fn relay_run(&mut self, decoder: &mut Decoder, reader: &Reader) {
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
    pub(super) fn run(&self, decoder: &mut Decoder, chunk: &[u8]) -> Run {
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
    pub(super) fn note(&mut self, run: Run, tally: &Tally) {
        tally.relayed_all(run.events, run.content);
        self.events += run.events;
        self.misses = 0;
    }

    /// Passes one chunk on that differs from the last in its text alone, where it was framed in
    /// another way or spans chunks. False: it does not.
    pub(super) fn relay_like(
        &mut self,
        reader: &Reader,
        chunk: &Bytes,
        data: &[u8],
        last: bool,
    ) -> bool {
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

    /// Gives back all that is kept but what is ready.
    pub(super) fn forget(&mut self) {
        *self = Self {
            outgoing: mem::take(&mut self.outgoing),
            ..Self::default()
        };
    }

    /// A finish for each choice that has none, where the cost is to be shown on the last one.
    pub(super) fn finish(&mut self, reader: &mut Reader) {
        if reader.choices.is_finished() {
            return;
        }
        let head = reader.head("chat.completion.chunk");
        for (index, reason) in reader.choices.unfinished() {
            let choice = format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"{reason}"}}"#);
            for part in ["data: {", &head, r#","choices":["#, &choice, "]}\n\n"] {
                self.tail.extend_from_slice(part.as_bytes());
            }
        }
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
