use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::Error,
    provider::{
        Answer, Asked, nonsense,
        whole::{Call, Whole},
    },
    wire::{Usage, chat::Text},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Converse<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// A block has one of these members; of one that is not known, none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow, default)]
    citations_content: Option<Cited<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    /// `server_tool_use` ran at the provider and is not the client's call.
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    reasoning_text: Option<Thought<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thought<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
}

/// A text that has its sources beside it.
#[derive(Deserialize)]
struct Cited<'a> {
    #[serde(borrow, default)]
    content: Vec<CitedText<'a>>,
}

#[derive(Deserialize)]
struct CitedText<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

/// The service's counts. `inputTokens` excludes what was read from or written to the cache.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    #[serde(deserialize_with = "long_lived")]
    cache_details: u64,
}

/// Of the tokens written to the cache, those that stay for an hour.
fn long_lived<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        ttl: String,
        #[serde(default, rename = "inputTokens")]
        tokens: u64,
    }
    let details = Option::<Vec<Detail>>::deserialize(deserializer)?;
    let long = details.iter().flatten().filter(|it| it.ttl == "1h");
    Ok(long.fold(0, |sum, it| it.tokens.saturating_add(sum)))
}

impl Counts {
    pub(super) fn usage(&self) -> Usage {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_write_input_tokens.unwrap_or(0);
        let plain = self.input_tokens.unwrap_or(0);
        let long = self.cache_details.min(written);
        let input = plain.saturating_add(read).saturating_add(written);
        let mut usage = Usage::new(input, self.output_tokens.unwrap_or(0));
        usage.cached_input = read;
        usage.cache_write = written - long;
        usage.cache_write_1h = long;
        usage
    }
}

/// The reason in the API's words; an unknown one is an ordinary end.
pub(super) fn finish_reason(reason: &str) -> &'static str {
    match reason {
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        _ => "stop",
    }
}

/// An entry of `reasoning_details`, in the form that Anthropic's own API has: the signatures are
/// the same, so that a conversation may go on at either.
pub(super) fn signed(text: &str, signature: &str) -> Value {
    json!({ "type": "thinking", "thinking": text, "signature": signature })
}

/// The same for reasoning that is not shown.
pub(super) fn redacted(data: &str) -> Value {
    json!({ "type": "redacted_thinking", "data": data })
}

pub(super) fn answer(asked: &Asked, body: &[u8]) -> Result<Answer, Error> {
    let converse: Converse<'_> = serde_json::from_slice(body)
        .map_err(|error| nonsense("it is not a message").with_source(error))?;
    let mut whole = Whole {
        id: asked.id().into(),
        created: asked.created,
        model: (&*asked.model).into(),
        finish_reason: finish_reason(converse.stop_reason.as_deref().unwrap_or("end_turn")),
        usage: converse.usage.map(|counts| counts.usage()),
        ..Whole::default()
    };
    for block in converse.output.message.content {
        if let Some(text) = block.text {
            join(&mut whole.content, text);
        }
        for cited in block
            .citations_content
            .into_iter()
            .flat_map(|it| it.content)
        {
            join(&mut whole.content, cited.text);
        }
        if let Some(call) = block
            .tool_use
            .filter(|it| it.kind.as_deref() != Some("server_tool_use"))
        {
            whole.tool_calls.push(Call {
                id: call.tool_use_id.into_cow(),
                name: call.name.into_cow(),
                arguments: call.input.map_or("{}", RawValue::get).into(),
            });
        }
        let Some(reasoning) = block.reasoning_content else {
            continue;
        };
        if let Some(thought) = reasoning.reasoning_text {
            if let Some(signature) = &thought.signature {
                whole
                    .details
                    .push(detail(&signed(&thought.text, signature)));
            }
            join(&mut whole.reasoning, thought.text);
        }
        if let Some(data) = &reasoning.redacted_content {
            whole.details.push(detail(&redacted(data)));
        }
    }
    Ok(whole.answer())
}

fn detail(value: &Value) -> Cow<'static, RawValue> {
    let text = value.to_string();
    Cow::Owned(RawValue::from_string(text).expect("a value is JSON"))
}

/// Adds to a text; the first piece stays where it is.
fn join<'a>(all: &mut Cow<'a, str>, piece: Text<'a>) {
    if all.is_empty() {
        *all = piece.into_cow();
    } else {
        all.to_mut().push_str(&piece);
    }
}
