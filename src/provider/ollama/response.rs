use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::likely::{self, Token};
use crate::{
    error::Error,
    provider::{
        Answer, Asked,
        completion::{self, Choice},
        json::{compact, count, readable},
        nonsense, openai,
    },
    wire::{Usage, chat::Text},
};

/// A whole answer, and each line of a stream.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub(super) message: Option<Message<'a>>,
    /// Of the tokens of this line; `None` where they cannot be read. Source: the server's `api/types.go`,
    /// 0.12.11.
    #[serde(borrow, default, deserialize_with = "readable")]
    pub(super) logprobs: Option<Vec<Token<'a>>>,
    #[serde(default)]
    pub(super) done: bool,
    #[serde(borrow, default)]
    pub(super) done_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "count")]
    prompt_eval_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    eval_count: Option<u64>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Function<'a>,
}

#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

impl ToolCall<'_> {
    /// A call has a name.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.function.name.is_empty() {
            return Err(nonsense("a call has no name"));
        }
        Ok(())
    }

    /// Its id, or one that no other call of this answer and no other answer has.
    pub(super) fn id(&self, asked: &Asked, nth: u64) -> String {
        match self.id.as_deref() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => {
                let answer = asked.id();
                let answer = answer.strip_prefix("chatcmpl-").unwrap_or(answer);
                format!("call_{answer}_{nth}")
            }
        }
    }
}

impl Function<'_> {
    /// Its arguments as JSON without blanks.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.arguments.map(RawValue::get) {
            None | Some("null") => "{}".into(),
            Some(text) => compact(text),
        }
    }
}

impl Line<'_> {
    /// Either count may be missing. That of a prompt is where all of it was in the cache, and none of it was
    /// worked through; an answer that was not counted is estimated. `None` where both are missing.
    pub(super) fn usage(&self) -> Option<Usage> {
        let [input, output] = [self.prompt_eval_count, self.eval_count];
        input.or(output)?;
        let mut usage = Usage::new(input.unwrap_or(0), output.unwrap_or(0));
        usage.clamped = output.is_none();
        Some(usage)
    }
}

/// The reason in the API's words; calls end an answer as any other.
pub(super) fn finish_reason(reason: Option<&str>, calls: u64) -> &'static str {
    match reason {
        Some("length") => "length",
        _ if calls > 0 => "tool_calls",
        _ => "stop",
    }
}

/// A line that cannot be read, or that is an error.
pub(super) fn read(data: &[u8]) -> Result<Line<'_>, Error> {
    let line: Line<'_> = serde_json::from_slice(data)
        .map_err(|error| nonsense("it is not a message").with_source(error))?;
    if line.error.is_some() {
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        return Err(openai::read_error(status, &http::HeaderMap::new(), data));
    }
    Ok(line)
}

pub(super) fn answer(asked: &Asked, body: &[u8]) -> Result<Answer, Error> {
    let line = read(body)?;
    let Some(message) = &line.message else {
        return Err(nonsense("it has no message"));
    };
    let mut choice = Choice::default();
    if let Some(text) = &message.content {
        choice.text(text);
    }
    if let Some(text) = &message.thinking {
        choice.reasoning(text);
    }
    let mut calls = 0;
    for call in message.tool_calls.iter().flatten() {
        call.check()?;
        let id = call.id(asked, calls);
        let arguments = call.function.text();
        choice.call(&id, &call.function.name, &arguments, |_| {});
        calls += 1;
    }
    choice.logprobs = likely::json(line.logprobs.as_deref());
    choice.reason = Some(finish_reason(line.done_reason.as_deref(), calls));
    Ok(completion::asked(asked, choice, line.usage().into()))
}
