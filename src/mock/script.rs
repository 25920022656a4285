use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// What happens in the middle of an answer.
///
/// On a stream it happens after a number of events; an answer in one piece is treated as described
/// with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The connection breaks: the body ends with an error. In one piece: after half of it.
    Cut,
    /// The body ends in good order, with neither `finish_reason` nor `[DONE]`. In one piece: after
    /// half of it, with a length to match, so the JSON is broken.
    End,
    /// Nothing more comes and the connection stays open. In one piece: after half of it.
    Stall,
    /// An error in the API's shape as an event, then the end. In one piece: that error with 200.
    Error,
    /// An event that is no JSON; the stream goes on after it. In one piece: broken JSON.
    Malformed,
    /// The task that reads the body panics.
    Panic,
}

/// What the answer says.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// The last message of the user.
    Echo,
    Text(String),
    /// A call of the first function that the request offers; of the named one when there is none.
    Call {
        name: Option<String>,
        arguments: String,
    },
    /// These bytes, whatever was asked.
    Bytes(Bytes),
    /// `start`, then `unit` again and again.
    Endless {
        start: Bytes,
        unit: Bytes,
    },
}

/// What the mock answers to one request.
///
/// A script starts as one of the constructors and is refined by the `with_` methods. The default
/// echoes the last message of the user at once.
#[derive(Clone)]
#[must_use]
pub struct Script {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) delay: Duration,
    pub(super) say: Say,
    pub(super) reasoning: Option<String>,
    pub(super) model: Option<String>,
    pub(super) finish: Option<String>,
    pub(super) usage: Usage,
    pub(super) event_delay: Duration,
    pub(super) slices: Option<(usize, Duration)>,
    pub(super) done: bool,
    pub(super) fault: Option<(usize, Fault)>,
    pub(super) cut_after_bytes: Option<usize>,
    pub(super) excess: Bytes,
    pub(super) head: Head,
}

/// Whether the head of the answer comes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Comes,
    Never,
    Reset,
}

/// What is said about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Counted,
    Given {
        input: u64,
        output: u64,
        cached: u64,
    },
    None,
}

impl Script {
    fn new(say: Say) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            delay: Duration::ZERO,
            say,
            reasoning: None,
            model: None,
            finish: None,
            usage: Usage::Counted,
            event_delay: Duration::ZERO,
            slices: None,
            done: true,
            fault: None,
            cut_after_bytes: None,
            excess: Bytes::new(),
            head: Head::Comes,
        }
    }

    /// Says what the user said last.
    pub fn echo() -> Self {
        Self::new(Say::Echo)
    }

    /// Says this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Say::Text(text.into()))
    }

    /// Calls a function with these arguments (JSON text).
    pub fn call(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::new(Say::Call {
            name: Some(name.into()),
            arguments: arguments.into(),
        })
    }

    /// Calls the first function that the request offers, with the text of the user as its only
    /// argument `text`; echoes when there is none.
    pub fn call_offered() -> Self {
        Self::new(Say::Call {
            name: None,
            arguments: String::new(),
        })
    }

    /// Answers with these bytes, whatever was asked; the content type is JSON unless set.
    pub fn bytes(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut script = Self::new(Say::Bytes(body.into()));
        script.status = status;
        script
    }

    /// Refuses with a status and an error in the API's shape.
    pub fn error(status: StatusCode, kind: &str, code: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "error": {"message": message, "type": kind, "param": null, "code": code}
        });
        Self::bytes(status, body.to_string())
    }

    /// Refuses with 429 and this `retry-after`, sensible or not. Default of a hostile server: a
    /// value such as `-1`, `1e99`, `soon`, or a date a century away.
    ///
    /// # Panics
    /// When `retry_after` holds a control character, which no header may.
    pub fn rate_limited(retry_after: &str) -> Self {
        let value = HeaderValue::from_str(retry_after).expect("a header value has no controls");
        Self::error(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "rate_limit_exceeded",
            "Rate limit reached for requests",
        )
        .with_header(header::RETRY_AFTER, value)
    }

    /// Refuses with 503.
    pub fn overloaded() -> Self {
        Self::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "overloaded",
            "The engine is currently overloaded, please try again later",
        )
    }

    /// Refuses with 500.
    pub fn failed() -> Self {
        Self::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "internal_error",
            "The server had an error while processing your request",
        )
    }

    /// A page for people with status 200, as a captive proxy sends it.
    pub fn html() -> Self {
        let page = "<!doctype html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>";
        Self::bytes(StatusCode::OK, page).with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        )
    }

    /// Bytes that are neither JSON, nor an event stream, nor UTF-8, with status 200.
    pub fn garbage() -> Self {
        let body: Vec<u8> = (0..2048_u32).map(|i| (i * 167 + i / 7) as u8).collect();
        Self::bytes(StatusCode::OK, body)
    }

    /// A body shorter than the length that its head declares; then the connection ends.
    pub fn truncated() -> Self {
        Self::echo().with_fault(1, Fault::Cut)
    }

    /// A body that is longer than its answer: something follows the whole of it, in the same body.
    pub fn overlong() -> Self {
        Self::echo().with_excess("\n{\"id\":\"chatcmpl-another\",\"choices\":[]}")
    }

    /// An answer of one piece that never ends: 64 KiB of one JSON string at a time.
    pub fn endless() -> Self {
        Self::new(Say::Endless {
            start: Bytes::from_static(
                b"{\"id\":\"chatcmpl-mock\",\"choices\":[{\"message\":{\"content\":\"",
            ),
            unit: Bytes::from(vec![b'a'; 64 << 10]),
        })
    }

    /// A stream whose first line never ends, 64 KiB at a time.
    pub fn infinite_line() -> Self {
        Self::new(Say::Endless {
            start: Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\""),
            unit: Bytes::from(vec![b'a'; 64 << 10]),
        })
        .with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        )
    }

    /// A stream that sends comments for ever and never an event.
    pub fn only_comments() -> Self {
        Self::new(Say::Endless {
            start: Bytes::new(),
            unit: Bytes::from_static(b": still working\n\n"),
        })
        .with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        )
        .with_event_delay(Duration::from_secs(1))
    }

    /// A body in gzip that nobody asked for and that unpacks to 159 bytes for each byte sent, without end.
    pub fn gzip_bomb() -> Self {
        // A gzip head, then one deflate block of fixed codes: a zero byte, and copies of it 258 at
        // a time. A copy takes 13 bits, so eight of them come out even and repeat as 13 bytes.
        let mut bits = Bits(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], 0);
        bits.push(&[0, 1, 0]);
        bits.push(&[0, 0, 1, 1, 0, 0, 0, 0]);
        let copy = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
        bits.push(&copy);
        let mut unit = Bits(Vec::new(), 0);
        for _ in 0..8 {
            unit.push(&copy);
        }
        Self::new(Say::Endless {
            start: bits.0.into(),
            unit: unit.0.repeat(1024).into(),
        })
        .with_header(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
    }

    /// One byte a second.
    pub fn drip() -> Self {
        Self::echo().with_slices(1, Duration::from_secs(1))
    }

    /// The connection breaks before the head of the answer.
    pub fn reset() -> Self {
        let mut script = Self::echo();
        script.head = Head::Reset;
        script
    }

    /// The head of the answer never comes.
    pub fn silent() -> Self {
        let mut script = Self::echo();
        script.head = Head::Never;
        script
    }

    /// The status. Default: 200.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets a header of the answer.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The wait before the head of the answer. Default: none.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The wait before each event but the first. Default: none.
    pub fn with_event_delay(mut self, delay: Duration) -> Self {
        self.event_delay = delay;
        self
    }

    /// Sends the body in frames of `size` bytes, wherever events begin or end, with a wait between
    /// them. Default: one frame an event. Zero counts as one.
    pub fn with_slices(mut self, size: usize, delay: Duration) -> Self {
        self.slices = Some((size.max(1), delay));
        self
    }

    /// The model that the answer names. Default: the one asked for.
    pub fn with_answering_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Thinks this first, as `reasoning_content`.
    pub fn with_reasoning(mut self, text: impl Into<String>) -> Self {
        self.reasoning = Some(text.into());
        self
    }

    /// The `finish_reason`. Default: `stop`, `length` when the answer was cut to the tokens allowed,
    /// `tool_calls` after a call.
    pub fn with_finish(mut self, reason: impl Into<String>) -> Self {
        self.finish = Some(reason.into());
        self
    }

    /// The usage to report, whatever was said: tokens of the prompt, of the answer, and how many of
    /// the prompt came from a cache. Default: one token a word, and four a message.
    pub fn with_usage(mut self, input: u64, output: u64, cached: u64) -> Self {
        self.usage = Usage::Given {
            input,
            output,
            cached,
        };
        self
    }

    /// Never reports usage, not even when asked.
    pub fn without_usage(mut self) -> Self {
        self.usage = Usage::None;
        self
    }

    /// Ends streams without `[DONE]`.
    pub fn without_done(mut self) -> Self {
        self.done = false;
        self
    }

    /// What goes wrong, and after how many events of a stream; at its end, behind `[DONE]`, where there are
    /// fewer. The role is the first event, each word one more.
    pub fn with_fault(mut self, events: usize, fault: Fault) -> Self {
        self.fault = Some((events, fault));
        self
    }

    /// Sends these bytes behind the answer: after the JSON, or after the end of a stream. Default:
    /// none.
    pub fn with_excess(mut self, bytes: impl Into<Bytes>) -> Self {
        self.excess = bytes.into();
        self
    }

    /// The connection breaks after so many bytes of the body, if it has so many. Not one without an end.
    pub fn with_cut_after_bytes(mut self, bytes: usize) -> Self {
        self.cut_after_bytes = Some(bytes);
        self
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::echo()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("status", &self.status)
            .field("head", &self.head)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// Bits in the order of deflate: the first is the lowest of its byte.
struct Bits(Vec<u8>, u32);

impl Bits {
    fn push(&mut self, bits: &[u8]) {
        for bit in bits {
            if self.1 % 8 == 0 {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                *last |= bit << (self.1 % 8);
            }
            self.1 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bomb_repeats_on_byte_boundaries() {
        let Say::Endless { start, unit } = Script::gzip_bomb().say else {
            panic!("endless");
        };
        assert_eq!(start.len(), 13);
        assert_eq!(&unit[..13], &unit[13..26]);
    }
}
