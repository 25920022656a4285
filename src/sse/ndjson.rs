//! JSON values, one a line: `application/x-ndjson`.

use bytes::Bytes;
use memchr::memchr;

use super::{Error, Event, Input, MaxSizes};

/// Reads lines that are not blank, each as an event without a name.
///
/// Lines end in LF or CRLF; the last one may have no end. Whether a line is JSON is not checked.
///
/// ```
/// use bytes::Bytes;
/// use tower_completions::sse::ndjson::Decoder;
///
/// let mut decoder = Decoder::new();
/// decoder.push(Bytes::from_static(b"{\"a\":1}\n\n{\"b\""));
/// assert_eq!(decoder.next().expect("a line")?.data(), b"{\"a\":1}");
/// assert!(decoder.next().is_none());
/// decoder.push(Bytes::from_static(b":2}"));
/// assert!(decoder.next().is_none());
/// assert_eq!(decoder.finish().expect("the last line")?.data(), b"{\"b\":2}");
/// # Ok::<(), tower_completions::sse::Error>(())
/// ```
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

    /// A decoder with other limits; a line is an event.
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

    /// The next line that is whole; `None` when more input is needed.
    ///
    /// # Errors
    /// A limit was passed. Nothing follows an error.
    #[expect(
        clippy::should_implement_trait,
        reason = "more may follow a `None`, after the next push"
    )]
    pub fn next(&mut self) -> Option<Result<Event, Error>> {
        if self.over {
            return None;
        }
        loop {
            let end = memchr(b'\n', &self.input.chunk);
            let part = end.unwrap_or(self.input.chunk.len());
            // A CR before the LF, or where one may follow, does not count.
            let last = self.input.chunk[..part].last().or(self.carry.last());
            let length = self.carry.len() + part - usize::from(last == Some(&b'\r'));
            if length > self.limits.line as usize {
                return self.fail(Error::LineTooLong(self.limits.line));
            }
            let Some(end) = end else {
                self.carry.extend_from_slice(&self.input.chunk);
                self.input.chunk = Bytes::new();
                if self.input.exceeded {
                    return self.fail(Error::StreamTooLong(self.limits.stream));
                }
                return None;
            };
            let mut line = self.input.chunk.split_to(end + 1);
            line.truncate(end);
            if !self.carry.is_empty() {
                self.carry.extend_from_slice(&line);
                line = std::mem::take(&mut self.carry).into();
            }
            if let Some(line) = trim(line) {
                return Some(Ok(Event::of(line)));
            }
        }
    }

    /// Says that the input has ended: the last line, when it had no end.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn finish(&mut self) -> Option<Result<Event, Error>> {
        if let Some(line) = self.next() {
            return Some(line);
        }
        self.over = true;
        let last = std::mem::take(&mut self.carry);
        trim(last.into()).map(|line| Ok(Event::of(line)))
    }

    fn fail(&mut self, error: Error) -> Option<Result<Event, Error>> {
        self.over = true;
        self.input.chunk = Bytes::new();
        self.carry = Vec::new();
        Some(Err(error))
    }
}

/// The line without its CR; `None` when it is blank.
fn trim(mut line: Bytes) -> Option<Bytes> {
    if line.ends_with(b"\r") {
        line.truncate(line.len() - 1);
    }
    let blank = line.iter().all(u8::is_ascii_whitespace);
    (!blank).then_some(line)
}
