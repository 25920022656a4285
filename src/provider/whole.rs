//! Writing a whole answer in the API's words.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Answer;
use crate::wire::Usage;

/// An answer of one choice, as far as a provider gives it.
#[derive(Default)]
pub(super) struct Whole<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) created: u64,
    pub(super) model: Cow<'a, str>,
    /// Left out beside tool calls when it is empty.
    pub(super) content: Cow<'a, str>,
    pub(super) tool_calls: Vec<Call<'a>>,
    pub(super) reasoning: Cow<'a, str>,
    /// What the provider wants back next turn, as JSON.
    pub(super) details: Vec<Cow<'a, RawValue>>,
    pub(super) finish_reason: &'static str,
    pub(super) logprobs: Option<Cow<'a, RawValue>>,
    pub(super) usage: Option<Usage>,
}

/// A call of a function; its arguments are the text of a JSON object.
pub(super) struct Call<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Cow<'a, str>,
}

impl Whole<'_> {
    /// The answer as the shell takes it.
    pub(super) fn answer(&self) -> Answer {
        let calls = self.tool_calls.iter().map(|call| CallOut {
            id: &call.id,
            kind: "function",
            function: FunctionOut {
                name: &call.name,
                arguments: &call.arguments,
            },
        });
        let tool_calls: Vec<_> = calls.collect();
        let said = !self.content.is_empty() || tool_calls.is_empty();
        let out = Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: [Choice {
                index: 0,
                message: Message {
                    role: "assistant",
                    content: said.then_some(&*self.content),
                    refusal: (),
                    tool_calls,
                    reasoning_content: &self.reasoning,
                    reasoning_details: self.details.iter().map(|it| &**it).collect(),
                },
                logprobs: self.logprobs.as_deref(),
                finish_reason: self.finish_reason,
            }],
            usage: self.usage.as_ref().map(UsageOut::of),
        };
        let body = serde_json::to_vec(&out).expect("strings and numbers serialise into memory");
        let answer = Answer::new(body.into());
        match self.usage {
            Some(usage) => answer.with_usage(usage),
            None => answer,
        }
    }
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: Message<'a>,
    logprobs: Option<&'a RawValue>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct CallOut<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionOut<'a>,
}

#[derive(Serialize)]
struct FunctionOut<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Usage as the API writes it.
#[derive(Serialize)]
pub(super) struct UsageOut {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Prompt,
    completion_tokens_details: Completed,
}

#[derive(Serialize)]
struct Prompt {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct Completed {
    reasoning_tokens: u64,
}

impl UsageOut {
    pub(super) fn of(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.total(),
            prompt_tokens_details: Prompt {
                cached_tokens: usage.cached_input,
                cache_write_tokens: usage.cache_write.saturating_add(usage.cache_write_1h),
            },
            completion_tokens_details: Completed {
                reasoning_tokens: usage.reasoning,
            },
        }
    }
}
