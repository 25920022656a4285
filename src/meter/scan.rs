//! Reading an answer as it passes, for a layer that nobody inside tells what was used.

mod event;
#[cfg(test)]
mod tests;

use std::{fmt, mem};

use bytes::Bytes;
use http::{header, response::Parts};

pub(crate) use self::event::{Answer, speech};
use super::{Outcome, Tally};
use crate::{
    body::Pieces,
    error::{Class, Error, Kind},
    media,
    sse::{AtEnd, Decoder, is_done},
    wire::Counting,
};

/// The largest whole answer that is read, in bytes; of a larger one nothing is known.
const LARGEST: usize = 8 << 20;

/// Notes in a [`Tally`] what the bytes of an answer say: usage, model, generated text, ending.
///
/// It changes nothing and holds nothing back. It takes the bytes in any pieces, as they go by: the
/// events of a stream are read one by one, a whole answer of at most 8 MiB at its end. What it
/// cannot read it leaves out of the account; [`Usage`](crate::wire::Usage) that never came is for
/// the layer to estimate.
///
/// ```
/// use tower_completions::{meter::{Outcome, Scanner, Tally}, wire::{Counting, Usage}};
///
/// let tally = Tally::new();
/// let mut scanner = Scanner::stream(tally.clone(), Counting::Plain);
/// scanner.push("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_".into());
/// scanner.push("reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n".into());
/// scanner.end();
/// assert_eq!(tally.usage(), Some(Usage::new(3, 1)));
/// assert_eq!(tally.content_bytes(), 2);
/// assert!(matches!(tally.outcome(), Some(Outcome::Complete)));
/// ```
pub struct Scanner {
    tally: Tally,
    answer: Answer,
    input: Input,
}

enum Input {
    Stream(Box<Decoder>),
    Whole(Pieces),
    Over,
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

impl Scanner {
    /// Reads a stream of events.
    #[must_use]
    pub fn stream(tally: Tally, counting: Counting) -> Self {
        let decoder = Decoder::new().at_end(AtEnd::Flush);
        Self::new(tally, counting, Input::Stream(Box::new(decoder)))
    }

    /// Reads one JSON answer.
    #[must_use]
    pub fn whole(tally: Tally, counting: Counting) -> Self {
        Self::new(tally, counting, Input::Whole(Pieces::default()))
    }

    fn new(tally: Tally, counting: Counting, input: Input) -> Self {
        Self {
            tally,
            answer: Answer::new(counting),
            input,
        }
    }

    /// For an answer with this head: `None` when a layer inside already fills its tally, or when it
    /// is a refusal, compressed, or neither events nor JSON. The tally that it will fill is put
    /// into the extensions, so that a layer further out finds it there.
    #[must_use]
    pub fn of(head: &mut Parts) -> Option<Self> {
        // Nearly always somebody inside reads the answer.
        if head.extensions.get::<Tally>().is_some_and(Tally::is_read) {
            return None;
        }
        if !head.status.is_success() || media::has(&head.headers, &header::CONTENT_ENCODING) {
            return None;
        }
        let essence = media::essence(&head.headers)?;
        let counting = head.extensions.get().copied().unwrap_or_default();
        let make = if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::stream
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::whole
        } else {
            return None;
        };
        let tally = match head.extensions.get::<Tally>() {
            Some(tally) if tally.claim() => tally.clone(),
            Some(_) => return None,
            None => head.extensions.get_or_insert_default::<Tally>().clone(),
        };
        Some(make(tally, counting))
    }

    /// The tally that it fills.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The next bytes of the answer, wherever they are cut.
    pub fn push(&mut self, bytes: Bytes) {
        match &mut self.input {
            Input::Stream(decoder) => {
                decoder.push(bytes);
                self.drain();
            }
            Input::Whole(pieces) if pieces.len() + bytes.len() > LARGEST => {
                self.input = Input::Over;
            }
            Input::Whole(pieces) => pieces.push(bytes),
            Input::Over => {}
        }
    }

    /// The answer has ended by itself. One that broke off is [dropped](Self) instead.
    pub fn end(&mut self) {
        if let Input::Stream(decoder) = &mut self.input {
            // What follows a last event without its blank line is made up, and read like any other.
            decoder.close();
            self.drain();
        }
        match mem::replace(&mut self.input, Input::Over) {
            Input::Over => {}
            Input::Stream(_) => self.ended(self.answer.is_finished()),
            Input::Whole(mut pieces) => self.read_whole(&pieces.take()),
        }
    }

    fn drain(&mut self) {
        while let Input::Stream(decoder) = &mut self.input {
            let found = match decoder.advance() {
                None => return decoder.release(),
                Some(Err(_)) => {
                    self.input = Input::Over;
                    return;
                }
                Some(Ok(found)) => found,
            };
            let data = decoder.data(&found);
            if is_done(data) {
                self.ended(self.answer.has_begun());
                self.input = Input::Over;
                return;
            }
            let name = decoder.name(&found);
            let text = std::str::from_utf8(data).unwrap_or_default();
            if let Err(error) = self.answer.event(name, text, &self.tally) {
                self.tally.end(Outcome::Failed(error));
                self.input = Input::Over;
            }
        }
    }

    fn ended(&self, whole: bool) {
        if whole {
            self.tally.end(Outcome::Complete);
        } else if self.answer.has_begun() || self.tally.events() == 0 {
            self.tally.end(Outcome::Failed(cut()));
        }
        // Events that are no chunks may be whole or not: that is not known here.
    }

    fn read_whole(&mut self, answer: &[u8]) {
        let text = std::str::from_utf8(answer).unwrap_or_default();
        let read = self.answer.whole(text, &self.tally);
        match read {
            Ok(()) if self.answer.has_begun() => self.tally.end(Outcome::Complete),
            // Whatever it is, it is nothing that can be told whole from cut.
            Ok(()) => {}
            Err(error) => self.tally.end(Outcome::Failed(error)),
        }
    }
}

fn cut() -> Error {
    let message = "The stream ended before the answer was finished.";
    Error::new(Kind::BadUpstream, message).with_class(Class::Transient)
}
