use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::Error,
    provider::{Answer, nonsense},
    wire::Usage,
};

/// The provider's counts: three disjoint ones of the prompt. Any may be null.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation: Option<Written>,
    output_tokens_details: Option<Details>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// Takes what a later report says; what it leaves out stays.
    pub(super) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    pub(super) fn usage(&self) -> Usage {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let plain = self.input_tokens.unwrap_or(0);
        let long = self.cache_creation.unwrap_or_default();
        let long = long.ephemeral_1h_input_tokens.unwrap_or(0).min(written);
        let output = self.output_tokens.unwrap_or(0);
        let thought = self.output_tokens_details.unwrap_or_default();
        let mut usage = Usage::new(plain.saturating_add(read).saturating_add(written), output);
        usage.cached_input = read;
        usage.cache_write = written - long;
        usage.cache_write_1h = long;
        usage.reasoning = thought.thinking_tokens.unwrap_or(0).min(output);
        usage
    }
}

/// Usage as the API writes it.
pub(super) fn usage_json(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write.saturating_add(usage.cache_write_1h),
        },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

/// The reason in the API's words; an unknown one is an ordinary end.
pub(super) fn finish_reason(reason: &str) -> &'static str {
    match reason {
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" | "compaction" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    id: String,
    model: String,
    #[serde(borrow)]
    content: Vec<&'a RawValue>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// The message of the answer; what the provider wants back keeps its text.
#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: Said<'a>,
    logprobs: Option<&'static str>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

pub(super) fn answer(body: &[u8], created: u64) -> Result<Answer, Error> {
    let bad = |error: serde_json::Error| nonsense("it is not a message").with_source(error);
    let message: Message<'_> = serde_json::from_slice(body).map_err(bad)?;
    let (mut text, mut reasoning) = (String::new(), String::new());
    let (mut calls, mut details) = (Vec::new(), Vec::new());
    for raw in message.content {
        let block: Block<'_> = serde_json::from_str(raw.get()).map_err(bad)?;
        match &*block.kind {
            "text" => text.push_str(&block.text.unwrap_or_default()),
            "tool_use" => calls.push(json!({
                "id": block.id,
                "type": "function",
                "function": {
                    "name": block.name,
                    "arguments": block.input.map_or("{}", RawValue::get),
                },
            })),
            "thinking" => {
                reasoning.push_str(&block.thinking.unwrap_or_default());
                details.push(raw);
            }
            "redacted_thinking" => details.push(raw),
            // What the provider's own tools did is not the client's to answer.
            _ => {}
        }
    }
    let usage = message.usage.map(|counts| counts.usage());
    let reason = message.stop_reason.as_deref().unwrap_or("end_turn");
    let whole = Completion {
        id: message.id,
        object: "chat.completion",
        created,
        model: message.model,
        choices: [Choice {
            index: 0,
            message: Said {
                role: "assistant",
                content: (!text.is_empty() || calls.is_empty()).then_some(text),
                refusal: None,
                tool_calls: calls,
                reasoning_content: reasoning,
                reasoning_details: details,
            },
            logprobs: None,
            finish_reason: finish_reason(reason),
        }],
        usage: usage.as_ref().map(usage_json),
    };
    let whole = serde_json::to_vec(&whole).expect("strings and numbers serialise into memory");
    let answer = Answer::new(whole.into());
    Ok(match usage {
        Some(usage) => answer.with_usage(usage),
        None => answer,
    })
}
