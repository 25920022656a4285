//! A whole `chat.completion`, put together from the pieces of a provider's answer.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Answer, Asked,
    chunks::write_usage,
    json::{Object, Words, compact, quote},
};
use crate::wire::Usage;

/// One choice as it grows. Texts are joined as they are spelled in JSON.
#[derive(Debug, Default)]
pub(super) struct Choice {
    text: String,
    reasoning: String,
    refusal: String,
    /// Elements of JSON arrays, each already written.
    calls: BytesMut,
    details: BytesMut,
    annotations: BytesMut,
    /// JSON.
    pub(super) logprobs: Option<String>,
    /// Members of the message that are JSON objects, such as `audio`.
    pub(super) extra: Vec<(&'static str, String)>,
    pub(super) reason: Option<&'static str>,
}

impl Choice {
    pub(super) fn text<'w>(&mut self, words: impl Into<Words<'w>>) {
        join(&mut self.text, words.into());
    }

    pub(super) fn reasoning<'w>(&mut self, words: impl Into<Words<'w>>) {
        join(&mut self.reasoning, words.into());
    }

    pub(super) fn refusal<'w>(&mut self, words: impl Into<Words<'w>>) {
        join(&mut self.refusal, words.into());
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// A call; `arguments` is JSON, `extra` what the provider wants back with it.
    pub(super) fn call<'w>(
        &mut self,
        id: impl Into<Words<'w>>,
        name: impl Into<Words<'w>>,
        arguments: &str,
        extra: impl FnOnce(&mut Object<'_>),
    ) {
        next(&mut self.calls);
        let mut call = Object::open(&mut self.calls);
        call.string("id", id);
        call.string("type", "function");
        call.object("function", |function| {
            function.string("name", name);
            function.json_text("arguments", arguments);
        });
        extra(&mut call);
    }

    /// A call whose arguments are a text already, as the provider wrote it.
    pub(super) fn call_text<'w>(
        &mut self,
        id: impl Into<Words<'w>>,
        name: impl Into<Words<'w>>,
        arguments: impl Into<Words<'w>>,
    ) {
        next(&mut self.calls);
        let mut call = Object::open(&mut self.calls);
        call.string("id", id);
        call.string("type", "function");
        call.object("function", |function| {
            function.string("name", name);
            function.string("arguments", arguments);
        });
    }

    /// An entry of `reasoning_details`, which is JSON.
    pub(super) fn detail(&mut self, json: &str) {
        next(&mut self.details);
        self.details.put_slice(json.as_bytes());
    }

    /// The same, to be written.
    #[cfg(feature = "bedrock")]
    pub(super) fn entry(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        next(&mut self.details);
        write(&mut Object::open(&mut self.details));
    }

    /// An entry of `annotations`.
    pub(super) fn annotation(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        next(&mut self.annotations);
        write(&mut Object::open(&mut self.annotations));
    }

    fn write(&self, out: &mut BytesMut, index: u64) {
        let mut choice = Object::open(out);
        choice.number("index", index);
        choice.object("message", |message| {
            message.string("role", "assistant");
            if self.text.is_empty() && self.has_calls() {
                message.raw("content", "null");
            } else {
                message.string("content", Words::Spelled(&self.text));
            }
            if self.refusal.is_empty() {
                message.raw("refusal", "null");
            } else {
                message.string("refusal", Words::Spelled(&self.refusal));
            }
            message.list("tool_calls", &self.calls);
            message.list("annotations", &self.annotations);
            if !self.reasoning.is_empty() {
                message.string("reasoning_content", Words::Spelled(&self.reasoning));
            }
            message.list("reasoning_details", &self.details);
            for (name, json) in &self.extra {
                message.raw(name, json);
            }
        });
        choice.raw(
            "logprobs",
            &self.logprobs.as_deref().map_or("null".into(), compact),
        );
        choice.string("finish_reason", self.reason.unwrap_or("stop"));
    }
}

/// An answer of one choice under the names of what was asked.
pub(super) fn asked(asked: &Asked, choice: Choice, usage: Option<Usage>) -> Answer {
    answer(asked.id(), asked.created, &*asked.model, &[choice], usage)
}

/// The answer as the shell takes it.
pub(super) fn answer<'w>(
    id: impl Into<Words<'w>>,
    created: u64,
    model: impl Into<Words<'w>>,
    choices: &[Choice],
    usage: Option<Usage>,
) -> Answer {
    let answer = Answer::new(write(id, created, model, choices, usage.as_ref()));
    match usage {
        Some(usage) => answer.with_usage(usage),
        None => answer,
    }
}

fn write<'w>(
    id: impl Into<Words<'w>>,
    created: u64,
    model: impl Into<Words<'w>>,
    choices: &[Choice],
    usage: Option<&Usage>,
) -> Bytes {
    let texts: usize = choices
        .iter()
        .map(|it| it.text.len() + it.reasoning.len())
        .sum();
    let mut out = BytesMut::with_capacity(512 + texts);
    out.put_slice(b"{\"id\":");
    quote(&mut out, id.into());
    out.put_slice(b",\"object\":\"chat.completion\",\"created\":");
    out.put_slice(created.to_string().as_bytes());
    out.put_slice(b",\"model\":");
    quote(&mut out, model.into());
    out.put_slice(b",\"choices\":[");
    for (index, choice) in (0..).zip(choices) {
        if index > 0 {
            out.put_u8(b',');
        }
        choice.write(&mut out, index);
    }
    out.put_u8(b']');
    if let Some(usage) = usage {
        out.put_slice(b",\"usage\":");
        write_usage(&mut out, usage);
    }
    out.put_u8(b'}');
    out.freeze()
}

fn next(list: &mut BytesMut) {
    if !list.is_empty() {
        list.put_u8(b',');
    }
}

fn join(text: &mut String, words: Words<'_>) {
    match words {
        Words::Spelled(spelled) => text.push_str(spelled),
        Words::Plain(_) => {
            let mut quoted = BytesMut::new();
            quote(&mut quoted, words);
            let inner = &quoted[1..quoted.len() - 1];
            text.push_str(&String::from_utf8_lossy(inner));
        }
    }
}
