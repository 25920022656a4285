use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

/// Writes one event: its name, when it has one, and a `data` line for each line of the data.
///
/// Line ends in the name are left out, for a name cannot hold them.
pub fn write_event(out: &mut impl BufMut, name: Option<&str>, data: &[u8]) {
    if let Some(name) = name {
        out.put_slice(b"event: ");
        write_line(out, name.as_bytes());
    }
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.put_slice(b"data: ");
        out.put_slice(&rest[..at]);
        out.put_u8(b'\n');
        let end = if rest[at..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[at + end..];
    }
    out.put_slice(b"data: ");
    out.put_slice(rest);
    out.put_slice(b"\n\n");
}

/// Writes a comment, which is no event: what keeps a silent connection open.
pub fn write_comment(out: &mut impl BufMut, text: &str) {
    out.put_slice(b": ");
    write_line(out, text.as_bytes());
    out.put_u8(b'\n');
}

fn write_line(out: &mut impl BufMut, text: &[u8]) {
    for piece in text.split(|&byte| byte == b'\n' || byte == b'\r') {
        out.put_slice(piece);
    }
    out.put_u8(b'\n');
}

/// Gathers events into one buffer, to be sent in one write.
///
/// ```
/// use tower_completions::sse::Encoder;
///
/// let mut encoder = Encoder::new();
/// encoder.json(&[1, 2])?;
/// encoder.event(None, b"[DONE]");
/// assert_eq!(encoder.take(), "data: [1,2]\n\ndata: [DONE]\n\n");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Encoder(BytesMut);

impl fmt::Debug for Encoder {
    /// How much it has gathered: events are answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} bytes)", self.0.len())
    }
}

impl Encoder {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) {
        self.0.reserve(data.len() + name.map_or(0, str::len) + 20);
        write_event(&mut self.0, name, data);
    }

    /// Adds an event whose data is a value as JSON, written where it is to stand.
    ///
    /// # Errors
    /// The value does not serialise; nothing has been added.
    pub fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> serde_json::Result<()> {
        let before = self.0.len();
        self.0.put_slice(b"data: ");
        // Compact JSON has no line ends: they are escaped within strings.
        let written = serde_json::to_writer((&mut self.0).writer(), value);
        match written {
            Ok(()) => self.0.put_slice(b"\n\n"),
            Err(_) => self.0.truncate(before),
        }
        written
    }

    /// Adds a comment.
    pub fn comment(&mut self, text: &str) {
        write_comment(&mut self.0, text);
    }

    /// Whether nothing has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that was added, leaving the buffer empty.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_several_lines() {
        let mut out = Vec::new();
        write_event(&mut out, Some("a\r\nb"), b"1\n2\r\n3\r");
        assert_eq!(out, b"event: ab\ndata: 1\ndata: 2\ndata: 3\ndata: \n\n");
    }

    #[test]
    fn a_comment_is_one_line() {
        let mut out = BytesMut::new();
        write_comment(&mut out, "a\nb");
        assert_eq!(out, ": ab\n\n"[..]);
    }
}
