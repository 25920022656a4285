//! A JSON array that arrives bit by bit, as Gemini streams when it is not asked for events.

use std::mem;

use bytes::Bytes;
use memchr::memchr2;

use super::{Error, Event, Input, MaxSizes};

/// Reads the elements of one array, each as an event without a name.
///
/// Only what separates the elements is looked at: whether an element is JSON is not checked. A
/// lone object instead of an array is given out as if it were the only element, for so come errors.
///
/// ```
/// use bytes::Bytes;
/// use tower_completions::sse::json_array::Decoder;
///
/// let mut decoder = Decoder::new();
/// decoder.push(Bytes::from_static(b"[{\"a\":\"]}\"},\r\n{\"b\""));
/// assert_eq!(decoder.next().expect("an element")?.data(), b"{\"a\":\"]}\"}");
/// assert!(decoder.next().is_none());
/// decoder.push(Bytes::from_static(b":2}]"));
/// assert_eq!(decoder.next().expect("an element")?.data(), b"{\"b\":2}");
/// assert!(decoder.next().is_none() && decoder.finish().is_none());
/// # Ok::<(), tower_completions::sse::Error>(())
/// ```
#[derive(Clone)]
pub struct Decoder {
    limits: MaxSizes,
    input: Input,
    /// How far the chunk has been scanned.
    at: usize,
    carry: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the array.
    #[default]
    Start,
    /// After `[`: an element or the end.
    First,
    /// After an element: a comma or the end.
    Between,
    /// After a comma: an element.
    Next,
    /// Inside an object or array, this deep.
    Nested { depth: u32, lone: bool },
    /// Inside a string, this deep.
    Text { depth: u32, lone: bool },
    /// After a backslash in a string.
    Escape { depth: u32, lone: bool },
    /// Inside a number or a word.
    Bare,
    /// After the array: only white space.
    End,
    /// After an error or the end of input.
    Over,
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
            at: 0,
            carry: Vec::new(),
            place: Place::Start,
        }
    }

    /// Gives it the next bytes of the input.
    pub fn push(&mut self, chunk: Bytes) {
        if self.place != Place::Over {
            self.input.push(chunk);
        }
    }

    /// The next element that is whole; `None` when more input is needed.
    ///
    /// # Errors
    /// A limit was passed, or the input is not an array. Nothing follows an error.
    #[expect(
        clippy::should_implement_trait,
        reason = "more may follow a `None`, after the next push"
    )]
    pub fn next(&mut self) -> Option<Result<Event, Error>> {
        use Place::{Bare, Between, End, Escape, First, Nested, Next, Over, Start, Text};
        while let Some(&byte) = self.input.chunk.get(self.at) {
            let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            match (self.place, byte) {
                (Over, _) => return None,
                (Start | First | Between | Next | End, _) if blank => self.skip(),
                (Start, b'[') => {
                    self.place = First;
                    self.skip();
                }
                (Start, b'{') => {
                    self.at += 1;
                    self.place = Nested {
                        depth: 1,
                        lone: true,
                    };
                }
                (First | Between, b']') => {
                    self.place = End;
                    self.skip();
                }
                (Between, b',') => {
                    self.place = Next;
                    self.skip();
                }
                (First | Next, b'{' | b'[') => {
                    self.at += 1;
                    self.place = Nested {
                        depth: 1,
                        lone: false,
                    };
                }
                (First | Next, b'"') => {
                    self.at += 1;
                    self.place = Text {
                        depth: 0,
                        lone: false,
                    };
                }
                (First | Next, b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                    self.at += 1;
                    self.place = Bare;
                }
                (Start | First | Between | Next | End, _) => {
                    return self.fail(Error::Format("a JSON array"));
                }
                (Bare, b',' | b']') => return self.give(Between),
                (Bare, _) if blank => return self.give(Between),
                (Nested { depth, lone }, b'}' | b']') => {
                    self.at += 1;
                    if depth == 1 {
                        return self.give(if lone { End } else { Between });
                    }
                    self.place = Nested {
                        depth: depth - 1,
                        lone,
                    };
                }
                (Nested { depth, lone }, b'{' | b'[') => {
                    self.at += 1;
                    let depth = depth.saturating_add(1);
                    self.place = Nested { depth, lone };
                }
                (Nested { depth, lone }, b'"') => {
                    self.at += 1;
                    self.place = Text { depth, lone };
                }
                (Nested { .. } | Bare, _) => self.at += 1,
                (Text { depth, lone }, _) => {
                    let rest = &self.input.chunk[self.at..];
                    let Some(end) = memchr2(b'"', b'\\', rest) else {
                        self.at = self.input.chunk.len();
                        break;
                    };
                    self.at += end + 1;
                    if rest[end] == b'\\' {
                        self.place = Escape { depth, lone };
                    } else if depth == 0 {
                        return self.give(Between);
                    } else {
                        self.place = Nested { depth, lone };
                    }
                }
                (Escape { depth, lone }, _) => {
                    self.at += 1;
                    self.place = Text { depth, lone };
                }
            }
        }
        self.carry.extend_from_slice(&self.input.chunk);
        self.input.chunk = Bytes::new();
        self.at = 0;
        if self.carry.len() > self.limits.event as usize {
            return self.fail(Error::EventTooLarge(self.limits.event));
        }
        if self.input.exceeded {
            return self.fail(Error::StreamTooLong(self.limits.stream));
        }
        None
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`Error::Cut`] when the array has no end.
    pub fn finish(&mut self) -> Option<Result<Event, Error>> {
        if let Some(event) = self.next() {
            return Some(event);
        }
        match mem::replace(&mut self.place, Place::Over) {
            Place::Start | Place::End | Place::Over => None,
            _ => self.fail(Error::Cut("an array")),
        }
    }

    /// A byte that belongs to no element.
    fn skip(&mut self) {
        bytes::Buf::advance(&mut self.input.chunk, 1);
    }

    fn give(&mut self, place: Place) -> Option<Result<Event, Error>> {
        if self.carry.len() + self.at > self.limits.event as usize {
            return self.fail(Error::EventTooLarge(self.limits.event));
        }
        self.place = place;
        let mut element = self.input.chunk.split_to(self.at);
        self.at = 0;
        if !self.carry.is_empty() {
            self.carry.extend_from_slice(&element);
            element = mem::take(&mut self.carry).into();
        }
        Some(Ok(Event::of(element)))
    }

    fn fail(&mut self, error: Error) -> Option<Result<Event, Error>> {
        self.place = Place::Over;
        self.input.chunk = Bytes::new();
        self.input.exceeded = false;
        self.carry = Vec::new();
        Some(Err(error))
    }
}
