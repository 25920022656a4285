//! `chat.completion.chunk` events, written straight into the output.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Asked,
    json::{Object, Words, compact, quote},
};
use crate::wire::{ServiceTier, Usage};

/// Writes the chunks of one answer: `id`, `created` and `model` are the same in all of them.
#[derive(Debug)]
pub(super) struct Chunks {
    /// All that stands before the choices, the event's field name included.
    head: Bytes,
    is_folded: bool,
}

impl Chunks {
    pub(super) fn new<'w>(
        id: impl Into<Words<'w>>,
        created: u64,
        model: impl Into<Words<'w>>,
    ) -> Self {
        let mut head = BytesMut::from(&b"data: {\"id\":"[..]);
        quote(&mut head, id.into());
        head.put_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        head.put_slice(created.to_string().as_bytes());
        head.put_slice(b",\"model\":");
        quote(&mut head, model.into());
        head.put_slice(b",\"choices\":[");
        Self {
            head: head.freeze(),
            is_folded: false,
        }
    }

    /// For a stream that becomes one answer here, whose lists have no indexes.
    #[must_use]
    pub(super) fn folded(self, is_folded: bool) -> Self {
        Self { is_folded, ..self }
    }

    /// Under the names of what was asked, for answers that have none of their own.
    pub(super) fn asked(asked: &Asked) -> Self {
        Self::new(asked.id(), asked.created, &*asked.model)
    }

    /// A chunk of one choice; the members of its delta are written by the caller.
    pub(super) fn delta(
        &self,
        out: &mut BytesMut,
        choice: u64,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        self.choice(out, choice, None, None, write);
    }

    /// The first chunk of a choice.
    pub(super) fn role(&self, out: &mut BytesMut, choice: u64) {
        self.delta(out, choice, |delta| {
            delta.string("role", "assistant");
            delta.string("content", "");
        });
    }

    /// A piece of the text.
    pub(super) fn content<'w>(&self, out: &mut BytesMut, choice: u64, text: impl Into<Words<'w>>) {
        self.delta(out, choice, |delta| delta.string("content", text));
    }

    /// A piece of the reasoning.
    pub(super) fn reasoning<'w>(
        &self,
        out: &mut BytesMut,
        choice: u64,
        text: impl Into<Words<'w>>,
    ) {
        self.delta(out, choice, |delta| delta.string("reasoning_content", text));
    }

    /// The opening fragment of a call; `call` is its ordinal within the choice.
    pub(super) fn call<'w>(
        &self,
        out: &mut BytesMut,
        choice: u64,
        call: u64,
        id: impl Into<Words<'w>>,
        name: impl Into<Words<'w>>,
    ) {
        self.delta(out, choice, |delta| {
            delta.one("tool_calls", |one| {
                one.number("index", call);
                one.string("id", id);
                one.string("type", "function");
                one.object("function", |function| {
                    function.string("name", name);
                    function.string("arguments", "");
                });
            });
        });
    }

    /// More of a call's arguments.
    pub(super) fn arguments<'w>(
        &self,
        out: &mut BytesMut,
        choice: u64,
        call: u64,
        text: impl Into<Words<'w>>,
    ) {
        self.delta(out, choice, |delta| {
            delta.one("tool_calls", |one| {
                one.number("index", call);
                one.object("function", |function| function.string("arguments", text));
            });
        });
    }

    /// An entry of a list that grows from delta to delta; `before` counts those that it has had.
    ///
    /// Each has its `index`, as calls have: by it official clients put lists of objects together, and
    /// Python's raises where one has none.
    pub(super) fn entry(
        &self,
        out: &mut BytesMut,
        choice: u64,
        list: &'static str,
        before: u64,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        self.delta(out, choice, |delta| {
            delta.one(list, |one| {
                if !self.is_folded {
                    one.number("index", before);
                }
                write(one);
            });
        });
    }

    /// The chunk that ends a choice.
    pub(super) fn finish(&self, out: &mut BytesMut, choice: u64, reason: &'static str) {
        self.choice(out, choice, None, Some(reason), |_| {});
    }

    /// A chunk of one choice with all that it may have; `logprobs` is JSON.
    pub(super) fn choice(
        &self,
        out: &mut BytesMut,
        choice: u64,
        logprobs: Option<&str>,
        reason: Option<&'static str>,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        out.reserve(self.head.len() + 160);
        out.put_slice(&self.head);
        {
            let mut object = Object::open(out);
            object.number("index", choice);
            object.object("delta", write);
            if let Some(json) = logprobs {
                object.raw("logprobs", &compact(json));
            }
            match reason {
                None => object.raw("finish_reason", "null"),
                Some(reason) => object.string("finish_reason", reason),
            }
        }
        out.put_slice(b"]}\n\n");
    }

    /// The chunk without choices that carries the usage.
    pub(super) fn usage(&self, out: &mut BytesMut, usage: &Usage, tier: Option<ServiceTier>) {
        out.put_slice(&self.head);
        out.put_u8(b']');
        write_tier(out, tier);
        out.put_slice(b",\"usage\":");
        write_usage(out, usage);
        out.put_slice(b"}\n\n");
    }

    /// The end of the stream.
    pub(super) fn done(out: &mut BytesMut) {
        out.put_slice(b"data: [DONE]\n\n");
    }
}

/// What an answer has cost in tokens, and how it was served, as far as its provider says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) usage: Option<Usage>,
    pub(super) tier: Option<ServiceTier>,
}

impl From<Option<Usage>> for Spent {
    fn from(usage: Option<Usage>) -> Self {
        Self { usage, tier: None }
    }
}

/// The tier as the API names it, as a member behind others.
pub(super) fn write_tier(out: &mut BytesMut, tier: Option<ServiceTier>) {
    let name = match tier {
        None => return,
        Some(ServiceTier::Standard) => "default",
        Some(ServiceTier::Batch) => "batch",
        Some(ServiceTier::Flex) => "flex",
        Some(ServiceTier::Priority) => "priority",
    };
    out.put_slice(b",\"service_tier\":");
    quote(out, Words::Plain(name));
}

/// Usage as the API writes it; the finer counts only where there are any.
pub(super) fn write_usage(out: &mut BytesMut, usage: &Usage) {
    let mut object = Object::open(out);
    object.number("prompt_tokens", usage.input);
    object.number("completion_tokens", usage.output);
    object.number("total_tokens", usage.total());
    object.object("prompt_tokens_details", |details| {
        details.number("cached_tokens", usage.cached_input);
        details.number(
            "cache_write_tokens",
            usage.cache_write.saturating_add(usage.cache_write_1h),
        );
        for (name, count) in [
            ("audio_tokens", usage.audio_input),
            ("image_tokens", usage.image_input),
        ] {
            if count > 0 {
                details.number(name, count);
            }
        }
    });
    object.object("completion_tokens_details", |details| {
        details.number("reasoning_tokens", usage.reasoning);
        for (name, count) in [
            ("audio_tokens", usage.audio_output),
            ("image_tokens", usage.image_output),
        ] {
            if count > 0 {
                details.number(name, count);
            }
        }
    });
}
