//! The binary event stream of AWS: `application/vnd.amazon.eventstream`.

use std::mem;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Error, Event, Input, MaxSizes, event::Span};

/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The longest headers that a frame may have: 128 KiB.
const HEADERS: usize = 128 << 10;

/// What a message is, as its `:message-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One of the stream's events, named by `:event-type`.
    Event,
    /// An exception of the service's model, named by `:exception-type`, with a JSON payload.
    Exception,
    /// Any other error, named by `:error-code`; the payload is its `:error-message`.
    Error,
}

/// One message: what kind, and its name and payload as an [`Event`].
#[derive(Clone, Debug)]
pub struct Message {
    kind: Kind,
    event: Event,
}

impl Message {
    /// Whether it is an event, or an exception or an error in place of one.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The type of the event or the exception, or the code of the error.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.event.name()
    }

    /// The payload: for an event nearly always JSON.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.event.data()
    }
}

/// Reads messages, both checksums checked.
///
/// [`next`](Self::next) gives them as events; exceptions differ there by their names alone.
#[derive(Clone)]
pub struct Decoder {
    limits: MaxSizes,
    input: Input,
    carry: Vec<u8>,
    over: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with the default [`MaxSizes`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(MaxSizes::new())
    }

    /// A decoder with other limits; of lines there are none here.
    #[must_use]
    pub fn with_limits(limits: MaxSizes) -> Self {
        Self {
            limits,
            input: Input::new(limits),
            carry: Vec::new(),
            over: false,
        }
    }

    /// Gives it the next bytes of the input.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.over {
            self.input.push(chunk);
        }
    }

    /// The next message that is whole, as an event; `None` when more input is needed.
    ///
    /// # Errors
    /// As [`next_message`](Self::next_message).
    #[expect(
        clippy::should_implement_trait,
        reason = "more may follow a `None`, after the next push"
    )]
    pub fn next(&mut self) -> Option<Result<Event, Error>> {
        self.next_message()
            .map(|message| message.map(|message| message.event))
    }

    /// The next message that is whole; `None` when more input is needed.
    ///
    /// # Errors
    /// A limit was passed, a checksum or a length is wrong. Nothing follows an error.
    pub fn next_message(&mut self) -> Option<Result<Message, Error>> {
        if self.over {
            return None;
        }
        match self.frame() {
            Ok(Some(frame)) => match message(&frame) {
                Ok(message) => Some(Ok(message)),
                Err(error) => self.fail(error),
            },
            Ok(None) if self.input.exceeded => self.fail(Error::StreamTooLong(self.limits.stream)),
            Ok(None) => None,
            Err(error) => self.fail(error),
        }
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`Error::Cut`] when a message is not whole.
    pub fn finish(&mut self) -> Option<Result<Event, Error>> {
        if let Some(event) = self.next() {
            return Some(event);
        }
        if mem::replace(&mut self.over, true) || self.carry.is_empty() {
            return None;
        }
        self.carry = Vec::new();
        Some(Err(Error::Cut("a message")))
    }

    /// The next frame, its lengths and checksums checked.
    fn frame(&mut self) -> Result<Option<Bytes>, Error> {
        self.fill(PRELUDE);
        let prelude = if self.carry.is_empty() {
            self.input.chunk.get(..PRELUDE)
        } else {
            self.carry.get(..PRELUDE)
        };
        let Some(prelude) = prelude else {
            self.keep();
            return Ok(None);
        };
        let total = word(prelude) as usize;
        let headers = word(&prelude[4..]) as usize;
        if crc32fast::hash(&prelude[..8]) != word(&prelude[8..]) {
            return Err(Error::Format("an intact message: its prelude is damaged"));
        }
        if headers > HEADERS || headers + PRELUDE + 4 > total {
            return Err(Error::Format("a message of possible lengths"));
        }
        if total > self.limits.event as usize {
            return Err(Error::EventTooLarge(self.limits.event));
        }
        self.fill(total);
        let frame = if self.carry.is_empty() && self.input.chunk.len() >= total {
            self.input.chunk.split_to(total)
        } else if self.carry.len() == total {
            mem::take(&mut self.carry).into()
        } else {
            self.keep();
            return Ok(None);
        };
        let (body, sum) = frame.split_at(total - 4);
        if crc32fast::hash(body) != word(sum) {
            return Err(Error::Format("an intact message: its checksum is wrong"));
        }
        Ok(Some(frame))
    }

    /// Moves bytes to what was begun earlier, until that holds `wanted`.
    fn fill(&mut self, wanted: usize) {
        if !self.carry.is_empty() {
            let missing = wanted.saturating_sub(self.carry.len());
            let part = missing.min(self.input.chunk.len());
            self.carry.extend_from_slice(&self.input.chunk[..part]);
            self.input.chunk.advance(part);
        }
    }

    fn keep(&mut self) {
        self.carry.extend_from_slice(&self.input.chunk);
        self.input.chunk = Bytes::new();
    }

    fn fail(&mut self, error: Error) -> Option<Result<Message, Error>> {
        self.over = true;
        self.input.chunk = Bytes::new();
        self.carry = Vec::new();
        Some(Err(error))
    }
}

/// Writes one message, as a service does: for fakes and tests.
///
/// ```
/// use bytes::BytesMut;
/// use tower_completions::sse::aws::{Decoder, Kind, write_message};
///
/// let mut out = BytesMut::new();
/// write_message(&mut out, Kind::Event, "messageStart", br#"{"role":"assistant"}"#);
/// let mut decoder = Decoder::new();
/// decoder.push(out.freeze());
/// let event = decoder.next().expect("whole")?;
/// assert_eq!(event.name(), Some("messageStart"));
/// # Ok::<(), tower_completions::sse::Error>(())
/// ```
///
/// # Panics
/// A name or a message of more than 64 KiB, a payload of more than 4 GiB.
pub fn write_message(out: &mut BytesMut, kind: Kind, name: &str, payload: &[u8]) {
    const SHORT: &str = "names and messages are short";
    let mut headers = BytesMut::new();
    let mut header = |name: &str, value: &[u8]| {
        headers.put_u8(u8::try_from(name.len()).expect(SHORT));
        headers.put_slice(name.as_bytes());
        headers.put_u8(7);
        headers.put_u16(u16::try_from(value.len()).expect(SHORT));
        headers.put_slice(value);
    };
    let mut body = payload;
    match kind {
        Kind::Event => {
            header(":event-type", name.as_bytes());
            header(":content-type", b"application/json");
            header(":message-type", b"event");
        }
        Kind::Exception => {
            header(":exception-type", name.as_bytes());
            header(":content-type", b"application/json");
            header(":message-type", b"exception");
        }
        Kind::Error => {
            header(":error-code", name.as_bytes());
            header(":error-message", payload);
            header(":message-type", b"error");
            body = b"";
        }
    }
    let mut frame = BytesMut::with_capacity(PRELUDE + headers.len() + body.len() + 4);
    let total = PRELUDE + headers.len() + body.len() + 4;
    frame.put_u32(u32::try_from(total).expect("less than 4 GiB"));
    frame.put_u32(u32::try_from(headers.len()).expect(SHORT));
    frame.put_u32(crc32fast::hash(&frame));
    frame.put_slice(&headers);
    frame.put_slice(body);
    frame.put_u32(crc32fast::hash(&frame));
    out.put_slice(&frame);
}

/// The first four bytes, of which there are at least so many.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn message(frame: &Bytes) -> Result<Message, Error> {
    let headers = PRELUDE + word(&frame[4..]) as usize;
    let mut kind = None;
    let mut named = [Span::default(); 3];
    let mut message = Span::default();
    let mut seen = 0_u8;
    let mut at = PRELUDE;
    while at < headers {
        let (name, value, next) = header(&frame[..headers], at)
            .ok_or(Error::Format("a message with readable headers"))?;
        at = next;
        const NAMES: [&[u8]; 5] = [
            b":message-type",
            b":event-type",
            b":exception-type",
            b":error-code",
            b":error-message",
        ];
        if let Some(nth) = NAMES.iter().position(|known| *known == name) {
            // The second of a name would decide what the first one said.
            if seen & 1 << nth != 0 {
                return Err(Error::Format("a message whose headers have a name each"));
            }
            seen |= 1 << nth;
        }
        let Some(value) = value else { continue };
        match name {
            b":message-type" => {
                kind = Some(match &frame[value.range()] {
                    b"exception" => Kind::Exception,
                    b"error" => Kind::Error,
                    _ => Kind::Event,
                });
            }
            b":event-type" => named[0] = value,
            b":exception-type" => named[1] = value,
            b":error-code" => named[2] = value,
            b":error-message" => message = value,
            _ => {}
        }
    }
    let kind = kind.unwrap_or(Kind::Event);
    let (name, data) = match kind {
        Kind::Event => (named[0], span(headers, frame.len() - 4)),
        Kind::Exception => (named[1], span(headers, frame.len() - 4)),
        Kind::Error => (named[2], message),
    };
    let mut event = Event::of(frame.clone());
    event.name = name;
    event.data = data;
    Ok(Message { kind, event })
}

/// The header at a place: its name, its value where that is a string, and where the next begins.
fn header(bytes: &[u8], at: usize) -> Option<(&[u8], Option<Span>, usize)> {
    let start = at + 1;
    let end = start + usize::from(*bytes.get(at)?);
    let name = bytes.get(start..end)?;
    let value = end + 1;
    let (length, text) = match bytes.get(end)? {
        0 | 1 => (0, None),
        2 => (1, None),
        3 => (2, None),
        4 => (4, None),
        5 | 8 => (8, None),
        9 => (16, None),
        kind @ (6 | 7) => {
            let length = bytes.get(value..value + 2)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let text = (*kind == 7).then(|| span(value + 2, value + 2 + length));
            (length + 2, text)
        }
        _ => return None,
    };
    let next = value + length;
    (next <= bytes.len()).then_some((name, text, next))
}

/// Both lie within a frame, whose length is 32 bits.
fn span(start: usize, end: usize) -> Span {
    Span {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        end: u32::try_from(end).unwrap_or(u32::MAX),
    }
}
