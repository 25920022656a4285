use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;

use crate::{
    error::Error,
    meter::{Outcome, Tally},
    provider::{
        customs::Customs,
        cut::Spellings,
        functions,
        future::nonsense,
        translate::{Asked, Framing, TranslateStream},
    },
    sse::{self, AtEnd, Decode},
};

/// The last event of a finished answer.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// How calls are told.
pub(in crate::provider) enum Told {
    AsTheyAre,
    /// As those of functions of the deprecated kind.
    Functions,
    /// Some as those of custom tools.
    Customs(Customs),
}

impl Told {
    pub(in crate::provider) fn of(asked: &Asked) -> Self {
        match &asked.customs {
            _ if asked.functions => Self::Functions,
            Some(names) => Self::Customs(Customs::new(Arc::clone(names))),
            None => Self::AsTheyAre,
        }
    }
}

/// The upstream's bytes in, canonical events out.
pub(super) struct Machine<S> {
    key: Spellings,
    decoder: Box<dyn Decode + Send>,
    /// `None` where the events are canonical as they come.
    state: Option<S>,
    told: Told,
    tally: Tally,
    /// How many have been read.
    events: u64,
    pub(super) out: BytesMut,
    pub(super) ended: bool,
}

impl<S: TranslateStream> Machine<S> {
    pub(super) fn new(state: Option<S>, tally: &Tally, key: Spellings, told: Told) -> Self {
        let framing = state.as_ref().map_or(Framing::Sse, S::framing);
        Self {
            key,
            decoder: decoder(framing),
            state,
            told,
            tally: tally.clone(),
            events: 0,
            out: BytesMut::new(),
            ended: false,
        }
    }

    /// Translates what has come; the stream's end or an error ends the machine.
    pub(super) fn take(&mut self, chunk: Option<Bytes>) {
        let before = self.events;
        let ended = match chunk {
            Some(chunk) => {
                self.decoder.push(chunk);
                self.drain(|decoder| decoder.next())
            }
            None => match self.drain(|decoder| decoder.finish().filter(is_whole)) {
                Ok(false) => self.finish().map(|()| true),
                ended => ended,
            },
        };
        if let Some(usage) = self.state.as_ref().and_then(S::usage) {
            self.tally.record_usage(usage);
        }
        if self.out.is_empty() && self.events != before {
            self.tally.hear();
        }
        match ended {
            Ok(ended) => self.ended = ended,
            Err(error) => self.fail(&error),
        }
    }

    /// Translates what is there; whether the answer is finished. What comes behind its end is not
    /// looked at, so that nothing can follow it, an error least of all.
    fn drain(
        &mut self,
        next: impl Fn(&mut (dyn Decode + Send)) -> Option<Result<sse::Event, sse::Error>>,
    ) -> Result<bool, Error> {
        while let Some(event) = next(&mut *self.decoder) {
            let event =
                event.map_err(|error| nonsense("its stream is broken").with_source(error))?;
            self.events += 1;
            let (name, data) = (event.name(), event.data());
            if self.key.is_in(data) {
                let data = self.key.cut(Bytes::copy_from_slice(data));
                self.event(name, &data)?;
            } else {
                self.event(name, data)?;
            }
            if self.out.ends_with(DONE) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn event(&mut self, name: Option<&str>, data: &[u8]) -> Result<(), Error> {
        let from = self.out.len();
        let read = match &mut self.state {
            Some(state) => state.event(name, data, &mut self.out),
            None => {
                sse::write_event(&mut self.out, name, data);
                Ok(())
            }
        };
        self.tell(from);
        read
    }

    fn finish(&mut self) -> Result<(), Error> {
        let from = self.out.len();
        let whole = match &mut self.state {
            Some(state) => state.finish(&mut self.out),
            // Whether that was all is for those to say who read it outside.
            None => Ok(()),
        };
        self.tell(from);
        whole
    }

    /// What has been written from here on, calls told as the client knows them.
    fn tell(&mut self, from: usize) {
        match &mut self.told {
            Told::AsTheyAre => {}
            Told::Functions => {
                let written = self.out.split_off(from);
                functions::events(&written, &mut self.out);
            }
            Told::Customs(customs) => {
                let written = self.out.split_off(from);
                customs.events(&written, &mut self.out);
            }
        }
    }

    /// Tells the client in the stream; the tally keeps the error for the layers outside.
    pub(super) fn fail(&mut self, error: &Error) {
        self.out.extend_from_slice(&error.event());
        self.tally.end(Outcome::Failed(error.clone()));
        self.ended = true;
    }
}

/// Whether the event with which a stream ends is all there: some end without the blank line behind it.
/// One that was cut is not read; that the answer is cut is told at its end.
fn is_whole(last: &Result<sse::Event, sse::Error>) -> bool {
    let Ok(event) = last else { return true };
    let data = event.data();
    data == b"[DONE]" || serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

/// The decoder for what comes, from its first byte on.
#[derive(Default)]
struct Either(Option<Box<dyn Decode + Send>>);

impl Decode for Either {
    fn push(&mut self, chunk: Bytes) {
        if self.0.is_none() {
            self.0 = chunk.trim_ascii_start().first().map(|byte| match byte {
                b'[' | b'{' => decoder(Framing::JsonArray),
                _ => decoder(Framing::Sse),
            });
        }
        if let Some(decoder) = &mut self.0 {
            decoder.push(chunk);
        }
    }

    fn next(&mut self) -> Option<Result<sse::Event, sse::Error>> {
        self.0.as_mut()?.next()
    }

    fn finish(&mut self) -> Option<Result<sse::Event, sse::Error>> {
        self.0.as_mut()?.finish()
    }
}

fn decoder(framing: Framing) -> Box<dyn Decode + Send> {
    match framing {
        Framing::Sse => Box::new(sse::Decoder::new().at_end(AtEnd::Flush)),
        Framing::JsonLines => Box::new(sse::ndjson::Decoder::new()),
        Framing::JsonArray => Box::new(sse::json_array::Decoder::new()),
        Framing::SseOrJsonArray => Box::new(Either::default()),
        #[cfg(feature = "bedrock")]
        Framing::AwsEventStream => Box::new(sse::aws::Decoder::new()),
    }
}
