use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::Error,
    provider::nonsense,
    wire::{
        Counting, Usage,
        chat::{Raw, Text},
        json::Cursor,
        placed::{self, Place, between},
    },
};

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Said<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

/// What a message or a delta of Chat Completions says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_details: Option<Vec<Raw<'a>>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Call<'a> {
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
    #[serde(borrow)]
    pub(super) custom: Option<Custom<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Custom<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) input: Option<Text<'a>>,
}

/// The reason in Anthropic's words.
pub(super) fn stop_reason(reason: &str) -> &'static str {
    match reason {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Counts as they stand in an answer or a chunk.
pub(super) fn read_usage(raw: &RawValue) -> Option<Usage> {
    Usage::read(&mut Cursor::new(raw.get()), Counting::Plain).ok()?
}

/// The counts in Anthropic's classes, which are disjoint.
pub(super) fn usage(usage: &Usage) -> Value {
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    let plain = usage.input.saturating_sub(usage.cached_input);
    json!({
        "input_tokens": plain.saturating_sub(written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
    })
}

/// An entry of reasoning that is a block of a message as it is.
#[derive(Deserialize)]
pub(super) struct Thought<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub(super) signature: Option<Raw<'a>>,
}

impl<'a> Thought<'a> {
    /// `None` for an entry of another kind.
    pub(super) fn of(entry: Raw<'a>) -> Option<Self> {
        let thought: Self = serde_json::from_str(entry.get()).ok()?;
        let known = matches!(&*thought.kind, "thinking" | "redacted_thinking");
        known.then_some(thought)
    }

    pub(super) fn is_redacted(&self) -> bool {
        &*self.kind == "redacted_thinking"
    }
}

/// A `message`.
#[derive(Serialize)]
struct Message<'a> {
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: Text<'a>,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<()>,
    usage: Value,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    AsItIs(Cow<'a, RawValue>),
    Thinking {
        #[serde(rename = "type")]
        kind: &'static str,
        thinking: Text<'a>,
        signature: &'static str,
    },
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        text: Text<'a>,
    },
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        id: Text<'a>,
        name: Text<'a>,
        input: Input<'a>,
    },
}

impl placed::Block for Block<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        let text = match self {
            Self::Text { text, .. } => text.split_off(at),
            _ => Text::default(),
        };
        Self::Text { kind: "text", text }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Object(Box<RawValue>),
    /// Of a tool that takes free text.
    Free {
        input: Text<'a>,
    },
    /// What was cut short, as its text.
    Cut {
        arguments: Text<'a>,
    },
}

/// A `message` out of a `chat.completion`.
pub(super) fn message(body: &[u8]) -> Result<Vec<u8>, Error> {
    let unreadable = |error| nonsense("it is not a completion").with_source(error);
    let completion: Completion<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err(nonsense("it has no choice"));
    };
    let said = choice.message;
    let details = said.reasoning_details.into_iter().flatten();
    let thoughts = details.filter(|entry| Thought::of(*entry).is_some());
    let thoughts = thoughts.map(|entry| {
        let (place, block) = Place::take(entry.0);
        (place, Block::AsItIs(block))
    });
    let mut thoughts: Vec<_> = thoughts.collect();
    if thoughts.is_empty() {
        if let Some(thinking) = said.reasoning_content.filter(|text| !text.is_empty()) {
            let block = Block::Thinking {
                kind: "thinking",
                thinking,
                // Nobody signed it, so nobody can check it.
                signature: "",
            };
            thoughts.push((Place::default(), block));
        }
    }
    let texts = [said.content, said.refusal].into_iter().flatten();
    let texts = texts.filter(|text| !text.is_empty());
    let texts = texts.map(|text| Block::Text { kind: "text", text });
    let calls = said.tool_calls.unwrap_or_default().into_iter().map(called);
    let content = between(thoughts, texts.collect(), calls.collect());
    let reason = choice.finish_reason.as_deref().unwrap_or("stop");
    let counts = completion.usage.and_then(read_usage).unwrap_or_default();
    let message = Message {
        id: completion.id,
        kind: "message",
        role: "assistant",
        model: completion.model,
        content,
        stop_reason: stop_reason(reason),
        stop_sequence: None,
        usage: usage(&counts),
    };
    let mut out = Vec::with_capacity(body.len() + 256);
    serde_json::to_writer(&mut out, &message).expect("strings serialise into memory");
    Ok(out)
}

fn called(call: Call<'_>) -> Block<'_> {
    let function = call.function.unwrap_or_default();
    let custom = call.custom.unwrap_or_default();
    Block::Call {
        kind: "tool_use",
        id: call.id.unwrap_or_default(),
        name: function.name.or(custom.name).unwrap_or_default(),
        input: match custom.input {
            Some(input) => Input::Free { input },
            None => arguments(function.arguments.unwrap_or_default()),
        },
    }
}

/// Arguments as an object; what was cut short is kept as its text.
fn arguments(arguments: Text<'_>) -> Input<'_> {
    let text = match arguments.trim() {
        "" => "{}",
        text => text,
    };
    if text.starts_with('{') {
        if let Ok(object) = RawValue::from_string(text.to_owned()) {
            return Input::Object(object);
        }
    }
    Input::Cut { arguments }
}
