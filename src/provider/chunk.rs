//! Writing the chunks of a stream in the API's words.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};
use serde::Serialize;

use super::{Asked, whole::UsageOut};
use crate::wire::Usage;

/// Writes `chat.completion.chunk` events of choice 0, all under one id, time and model.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    /// Everything of a chunk before its choices.
    head: String,
}

impl Chunks {
    /// Under the names of what was asked.
    pub(super) fn new(asked: &Asked) -> Self {
        Self::named(asked.id(), asked.created, &asked.model)
    }

    /// Under the upstream's own id and model.
    pub(super) fn named(id: &str, created: u64, model: &str) -> Self {
        let text = |text: &str| serde_json::to_string(text).expect("a string serialises");
        let mut head = String::with_capacity(160);
        write!(
            head,
            r#"data: {{"id":{},"object":"chat.completion.chunk","created":{created},"model":{},"choices":["#,
            text(id),
            text(model)
        )
        .expect("a string takes all");
        Self { head }
    }

    /// The first delta: who speaks.
    pub(super) fn role(&self, out: &mut BytesMut) {
        self.delta(out, |out| {
            out.put_slice(br#""role":"assistant","content":"""#);
        });
    }

    /// A piece of the text.
    pub(super) fn content(&self, text: &str, out: &mut BytesMut) {
        self.member("content", text, out);
    }

    /// A piece of the reasoning.
    pub(super) fn reasoning(&self, text: &str, out: &mut BytesMut) {
        self.member("reasoning_content", text, out);
    }

    /// Something the provider wants back next turn.
    #[cfg(feature = "bedrock")]
    pub(super) fn detail(&self, detail: &impl Serialize, out: &mut BytesMut) {
        self.delta(out, |out| {
            out.put_slice(br#""reasoning_details":["#);
            json(detail, out);
            out.put_u8(b']');
        });
    }

    /// A call begins.
    pub(super) fn call(&self, index: usize, id: &str, name: &str, out: &mut BytesMut) {
        self.delta(out, |out| {
            write!(out, r#""tool_calls":[{{"index":{index},"id":"#).expect("memory takes all");
            json(id, out);
            out.put_slice(br#","type":"function","function":{"name":"#);
            json(name, out);
            out.put_slice(br#","arguments":""}}]"#);
        });
    }

    /// A piece of a call's arguments.
    pub(super) fn arguments(&self, index: usize, text: &str, out: &mut BytesMut) {
        self.delta(out, |out| {
            write!(
                out,
                r#""tool_calls":[{{"index":{index},"function":{{"arguments":"#
            )
            .expect("memory takes all");
            json(text, out);
            out.put_slice(b"}}]");
        });
    }

    /// The choice is over.
    pub(super) fn finish(&self, reason: &str, out: &mut BytesMut) {
        out.put_slice(self.head.as_bytes());
        out.put_slice(br#"{"index":0,"delta":{},"finish_reason":"#);
        json(reason, out);
        out.put_slice(b"}]}\n\n");
    }

    /// What was used.
    pub(super) fn usage(&self, usage: &Usage, out: &mut BytesMut) {
        out.put_slice(self.head.as_bytes());
        out.put_slice(br#"],"usage":"#);
        json(&UsageOut::of(usage), out);
        out.put_slice(b"}\n\n");
    }

    /// The stream is over.
    pub(super) fn done(out: &mut BytesMut) {
        out.put_slice(b"data: [DONE]\n\n");
    }

    fn member(&self, name: &str, text: &str, out: &mut BytesMut) {
        self.delta(out, |out| {
            write!(out, "\"{name}\":").expect("memory takes all");
            json(text, out);
        });
    }

    fn delta(&self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        out.put_slice(self.head.as_bytes());
        out.put_slice(br#"{"index":0,"delta":{"#);
        write(out);
        out.put_slice(b"},\"finish_reason\":null}]}\n\n");
    }
}

fn json(value: &(impl Serialize + ?Sized), out: &mut BytesMut) {
    serde_json::to_writer(out.writer(), value).expect("strings and numbers serialise into memory");
}
