//! An answer whose head does not say what it is, where a stream was asked for.

use std::mem;

use bytes::Bytes;

use crate::{provider::nonsense, reframe::unfold};

/// Passes a stream on, and makes one of a JSON answer once it is whole: an event does not begin
/// with a brace.
#[derive(Debug)]
pub(super) struct Untyped {
    /// What has come before it was known, or the answer so far.
    text: Vec<u8>,
    is_stream: bool,
    /// The largest answer that is taken, in bytes.
    limit: usize,
}

impl Untyped {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            is_stream: false,
            limit,
        }
    }

    /// Takes the next bytes; what goes out.
    pub(super) fn push(&mut self, chunk: Bytes) -> Option<Bytes> {
        if self.is_stream {
            return (!chunk.is_empty()).then_some(chunk);
        }
        self.text.extend_from_slice(&chunk);
        match self.text.trim_ascii_start().first() {
            // Some send blank lines while a request is queued.
            None => self.text.clear(),
            Some(b'{') => {}
            Some(_) => {
                self.is_stream = true;
                return Some(mem::take(&mut self.text).into());
            }
        }
        None
    }

    /// Whether the answer is larger than is taken.
    pub(super) fn is_too_large(&self) -> bool {
        self.text.len() > self.limit
    }

    /// The answer has ended, or is not read on: the stream, or the error event, that it becomes.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        if self.is_too_large() {
            return Some(nonsense("it is too large").event());
        }
        let text = mem::take(&mut self.text);
        let stream = unfold(&text).unwrap_or_else(|error| error.event());
        (!text.is_empty()).then_some(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, size: usize) -> String {
        let mut untyped = Untyped::new(200);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            let chunk = Bytes::copy_from_slice(chunk);
            out.extend(untyped.push(chunk).unwrap_or_default());
        }
        out.extend(untyped.end().unwrap_or_default());
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn the_first_byte_says_what_it_is() {
        let answer = r#" {"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
        let long = answer.replace('a', &"a".repeat(200));
        let stream = "data: {\"choices\":[]}\n\n";
        for size in 1..80 {
            let unfolded = run(answer, size);
            assert!(unfolded.starts_with("data: {") && unfolded.ends_with("data: [DONE]\n\n"));
            assert_eq!(run(stream, size), stream);
            assert_eq!(run(&format!("\n{stream}"), size).trim_start(), stream);
            assert!(run("{\"choices\":", size).contains("bad_upstream_response"));
            assert!(run(&long, size).contains("bad_upstream_response"));
            assert_eq!(run("\n \n", size), "");
        }
    }
}
