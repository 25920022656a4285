use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};

use super::error;
use crate::{
    error::Error,
    provider::{
        Answer, Asked,
        completion::{self, Choice},
        json::{Reader, readable},
        nonsense,
    },
    wire::{Usage, chat::Text},
};

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "readable")]
    usage: Option<Counts>,
    #[serde(default)]
    logprobs: Option<Vec<Likelihood>>,
}

/// How likely a piece of the text was.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Likelihood {
    text: Option<String>,
    /// Of each of its tokens.
    logprobs: Option<Vec<f64>>,
}

/// Likelihoods in the API's form. A piece of several tokens is told as one: what is likely together
/// is their sum.
pub(super) fn logprobs(pieces: &[Likelihood]) -> String {
    let content: Vec<Value> = pieces
        .iter()
        .filter_map(|piece| {
            let text = piece.text.as_deref()?;
            let sum: f64 = piece.logprobs.as_ref()?.iter().sum();
            Some(json!({"token": text, "logprob": sum, "bytes": text.as_bytes(), "top_logprobs": []}))
        })
        .collect();
    json!({ "content": content, "refusal": null }).to_string()
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    citations: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) function: Function<'a>,
}

impl ToolCall<'_> {
    /// A call has a name.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.function.name.is_empty() {
            return Err(nonsense("a call has no name"));
        }
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: Text<'a>,
}

/// What is charged, and what was counted with the API's own template. Numbers may be floats.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    #[serde(deserialize_with = "readable")]
    billed_units: Option<Tokens>,
    #[serde(deserialize_with = "readable")]
    tokens: Option<Tokens>,
    #[serde(deserialize_with = "rounded")]
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    #[serde(deserialize_with = "rounded")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "rounded")]
    output_tokens: Option<u64>,
}

fn rounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and a negative count is none"
    )]
    let number = |number: f64| number.round() as u64;
    let whole = Reader::over(raw).count().ok().flatten();
    Ok(whole.or_else(|| serde_json::from_str(raw).ok().map(number)))
}

impl Counts {
    /// What is charged, where it says so of tokens; `None` where nothing does.
    pub(super) fn usage(&self) -> Option<Usage> {
        let counted = [self.billed_units, self.tokens];
        let mut counted = counted.into_iter().flatten();
        let counted = counted.find(|it| it.input_tokens.or(it.output_tokens).is_some())?;
        let input = counted.input_tokens.unwrap_or(0);
        let mut usage = Usage::new(input, counted.output_tokens.unwrap_or(0));
        let cached = self.cached_tokens.unwrap_or(0);
        usage.cached_input = cached.min(input);
        // They are counted with the template, which is not charged.
        usage.clamped = cached > input;
        Some(usage)
    }
}

/// The reason in the API's words; `None` is a failure. An unknown one is an ordinary end.
pub(super) fn finish_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "ERROR" | "TIMEOUT" => return None,
        "MAX_TOKENS" => "length",
        "TOOL_CALL" => "tool_calls",
        "ERROR_TOXIC" => "content_filter",
        _ => "stop",
    })
}

pub(super) fn answer(asked: &Asked, body: &[u8]) -> Result<Answer, Error> {
    let reply: Reply<'_> = serde_json::from_slice(body)
        .map_err(|error| nonsense("it is not a message").with_source(error))?;
    let reason = reply.finish_reason.as_deref().unwrap_or("COMPLETE");
    let finish_reason = finish_reason(reason).ok_or_else(|| error::failed(reason, body))?;
    let mut choice = Choice::default();
    choice.reason = Some(finish_reason);
    choice.logprobs = reply.logprobs.as_deref().map(logprobs);
    if let Some(plan) = &reply.message.tool_plan {
        choice.reasoning(plan);
    }
    for block in reply.message.content.iter().flatten() {
        if let Some(text) = &block.text {
            choice.text(text);
        }
        if let Some(text) = &block.thinking {
            choice.reasoning(text);
        }
    }
    for citation in reply.message.citations.iter().flatten() {
        choice.citation(citation.get());
    }
    for call in reply.message.tool_calls.iter().flatten() {
        call.check()?;
        let arguments = filled(&call.function.arguments);
        choice.call_text(&call.id, &call.function.name, arguments);
    }
    let id = if reply.id.is_empty() {
        asked.id()
    } else {
        &reply.id
    };
    let usage = reply.usage.and_then(|counts| counts.usage());
    Ok(completion::answer(
        id,
        asked.created,
        &*asked.model,
        &[choice],
        usage.into(),
    ))
}

/// A call without arguments has none to say; the API's is an empty object.
fn filled(arguments: &str) -> &str {
    match arguments.trim() {
        "" => "{}",
        text => text,
    }
}
