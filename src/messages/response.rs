use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    error::Error,
    provider::nonsense,
    wire::{Counting, Usage, chat::Text, json::Cursor},
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
    pub(super) reasoning_details: Option<Vec<Value>>,
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

/// Entries of reasoning that are blocks of a message as they are.
pub(super) fn is_block(entry: &Value) -> bool {
    entry["type"] == "thinking" || entry["type"] == "redacted_thinking"
}

/// A `message` out of a `chat.completion`.
pub(super) fn message(body: &[u8]) -> Result<Vec<u8>, Error> {
    let unreadable = |error| nonsense("it is not a completion").with_source(error);
    let completion: Completion<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err(nonsense("it has no choice"));
    };
    let said = choice.message;
    let mut content: Vec<Value> = said.reasoning_details.unwrap_or_default();
    content.retain(is_block);
    if content.is_empty() {
        if let Some(text) = said.reasoning_content.filter(|text| !text.is_empty()) {
            // Nobody signed it, so nobody can check it.
            content.push(json!({ "type": "thinking", "thinking": text, "signature": "" }));
        }
    }
    for text in [said.content, said.refusal].into_iter().flatten() {
        if !text.is_empty() {
            content.push(json!({ "type": "text", "text": text }));
        }
    }
    for call in said.tool_calls.unwrap_or_default() {
        let function = call.function.unwrap_or_default();
        let custom = call.custom.unwrap_or_default();
        content.push(json!({
            "type": "tool_use",
            "id": call.id.unwrap_or_default(),
            "name": function.name.or(custom.name).unwrap_or_default(),
            "input": match custom.input {
                Some(text) => json!({ "input": text }),
                None => input(function.arguments.as_deref().unwrap_or_default()),
            },
        }));
    }
    let reason = choice.finish_reason.as_deref().unwrap_or("stop");
    let counts = completion.usage.and_then(read_usage).unwrap_or_default();
    let message = json!({
        "id": completion.id,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": content,
        "stop_reason": stop_reason(reason),
        "stop_sequence": null,
        "usage": usage(&counts),
    });
    Ok(message.to_string().into_bytes())
}

/// Arguments as an object; what was cut short is kept as its text.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str::<Map<String, Value>>(arguments) {
        Ok(object) => Value::Object(object),
        Err(_) => json!({ "arguments": arguments }),
    }
}
