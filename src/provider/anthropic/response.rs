use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

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
struct Message {
    id: String,
    model: String,
    content: Vec<Value>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
}

pub(super) fn answer(body: &[u8], created: u64) -> Result<Answer, Error> {
    let message: Message = serde_json::from_slice(body)
        .map_err(|error| nonsense("it is not a message").with_source(error))?;
    let (mut text, mut reasoning) = (String::new(), String::new());
    let (mut calls, mut details) = (Vec::new(), Vec::new());
    for block in message.content {
        let member = |name: &str| block[name].as_str().unwrap_or_default();
        match member("type") {
            "text" => text.push_str(member("text")),
            "tool_use" => calls.push(json!({
                "id": member("id"),
                "type": "function",
                "function": { "name": member("name"), "arguments": block["input"].to_string() },
            })),
            "thinking" => {
                reasoning.push_str(member("thinking"));
                details.push(block);
            }
            "redacted_thinking" => details.push(block),
            // What the provider's own tools did is not the client's to answer.
            _ => {}
        }
    }
    let content = if text.is_empty() && !calls.is_empty() {
        Value::Null
    } else {
        text.into()
    };
    let mut said = json!({ "role": "assistant", "content": content, "refusal": null });
    if !calls.is_empty() {
        said["tool_calls"] = calls.into();
    }
    if !reasoning.is_empty() {
        said["reasoning_content"] = reasoning.into();
    }
    if !details.is_empty() {
        said["reasoning_details"] = details.into();
    }
    let usage = message.usage.map(|counts| counts.usage());
    let reason = message.stop_reason.as_deref().unwrap_or("end_turn");
    let mut whole = json!({
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [{
            "index": 0,
            "message": said,
            "logprobs": null,
            "finish_reason": finish_reason(reason),
        }],
    });
    if let Some(usage) = &usage {
        whole["usage"] = usage_json(usage);
    }
    let answer = Answer::new(Bytes::from(whole.to_string()));
    Ok(match usage {
        Some(usage) => answer.with_usage(usage),
        None => answer,
    })
}
