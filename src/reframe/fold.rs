//! A stream as one answer. What it says goes over as it is spelled.

use std::{collections::BTreeMap, mem};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    config::Config,
    fault::{nonsense, too_large},
    folded::Folded,
    machine::Machine,
};
use crate::{
    dialect::Dialect,
    error::Error,
    meter::{Outcome, Tally},
    sse::{Decoder, MaxSizes},
    wire::Members,
};

/// Merges a whole stream of chunks into the one answer that it would have been.
///
/// Text, refusals, reasoning, arguments, audio, log probabilities and annotations are put together;
/// of what is not known here the last value counts, and lists grow.
///
/// ```
/// let stream = b"data: {\"id\":\"a\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"H\"}}]}\n\n\
///     data: {\"id\":\"a\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"i\"},\"finish_reason\":\"stop\"}]}\n\n\
///     data: [DONE]\n\n";
/// let answer = tower_completions::reframe::fold(stream)?;
/// let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
/// assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
/// # Ok::<(), tower_completions::Error>(())
/// ```
///
/// # Errors
/// The stream broke off, says that it failed, or is not one of chunks.
pub fn fold(stream: &[u8]) -> Result<Bytes, Error> {
    let config = Config::alone(&Dialect::openai());
    let mut folder = Folder::new(config, MaxSizes::new(), Tally::new());
    folder.push(Bytes::copy_from_slice(stream))?;
    folder.finish()
}

/// Folds a stream as it comes.
#[derive(Debug)]
pub(super) struct Folder {
    machine: Machine,
    decoder: Decoder,
    tally: Tally,
    limits: MaxSizes,
    answer: Folded,
    choices: BTreeMap<u64, Choice>,
    held: usize,
}

#[derive(Debug, Default)]
struct Choice {
    members: Folded,
    message: Folded,
    logprobs: Option<Folded>,
}

impl Folder {
    pub(super) fn new(mut config: Config, limits: MaxSizes, tally: Tally) -> Self {
        config.include_usage = true;
        config.hold_finish = false;
        Self {
            machine: Machine::new(config, limits, tally.clone()),
            decoder: Decoder::with_limits(limits),
            tally,
            limits,
            answer: Folded::default(),
            choices: BTreeMap::new(),
            held: 0,
        }
    }

    /// How many chunks have been read.
    pub(super) fn events(&self) -> u64 {
        self.machine.events()
    }

    /// As [`Machine::has_heard`].
    pub(super) fn has_heard(&mut self) -> bool {
        self.machine.has_heard()
    }

    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        let frame = self.machine.push(chunk);
        self.take_all(frame)
    }

    /// The stream has ended: the answer.
    pub(super) fn finish(&mut self) -> Result<Bytes, Error> {
        if !self.machine.is_over() {
            let frame = self.machine.end();
            self.take_all(frame)?;
        }
        if let Some(Outcome::Failed(error)) = self.tally.outcome() {
            return Err(error);
        }
        let mut choices = String::from("[");
        for (index, choice) in mem::take(&mut self.choices) {
            if choices.len() > 1 {
                choices.push(',');
            }
            choice.write(index, &mut choices);
        }
        choices.push(']');
        let answer = mem::take(&mut self.answer);
        let with = [("object", "\"chat.completion\""), ("choices", &*choices)];
        let mut out = String::with_capacity(choices.len() + 256);
        answer.write(&with, &mut out);
        Ok(out.into())
    }

    fn take_all(&mut self, mut frame: Option<Bytes>) -> Result<(), Error> {
        while let Some(one) = frame {
            self.take(one)?;
            frame = self.machine.more();
        }
        Ok(())
    }

    fn take(&mut self, frame: Bytes) -> Result<(), Error> {
        if let Some(Outcome::Failed(error)) = self.tally.outcome() {
            return Err(error);
        }
        self.held += frame.len();
        if self.held > self.limits.longest_event() {
            return Err(too_large(self.limits.longest_event()));
        }
        self.decoder.push(frame);
        while let Some(Ok(event)) = self.decoder.next() {
            if !event.data().starts_with(b"[DONE]") {
                let read = serde_json::from_slice(event.data());
                let read = read.and_then(|chunk| self.chunk(&chunk));
                read.map_err(|_| nonsense("The provider sent a strange chunk."))?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Members<'_>) -> serde_json::Result<()> {
        for (name, value) in &chunk.0 {
            match name.as_str() {
                "choices" => {
                    self.answer.place("choices");
                    let choices: Vec<&RawValue> = serde_json::from_str(value.get())?;
                    for choice in choices.into_iter().filter(|choice| is_object(choice)) {
                        self.choice(&serde_json::from_str(choice.get())?)?;
                    }
                }
                // Filler of single events, and what stands there until the last.
                "obfuscation" => {}
                "usage" if value.get() == "null" => {}
                _ => self.answer.last(name, value),
            }
        }
        Ok(())
    }

    fn choice(&mut self, choice: &Members<'_>) -> serde_json::Result<()> {
        let index = choice.get("index").map(RawValue::get);
        let index = index.and_then(|index| index.parse().ok()).unwrap_or(0);
        let into = self.choices.entry(index).or_default();
        for (name, value) in &choice.0 {
            match name.as_str() {
                "index" => into.members.place("index"),
                "delta" if is_object(value) => {
                    into.members.place("message");
                    into.message.merge(&serde_json::from_str(value.get())?);
                }
                "logprobs" if is_object(value) => {
                    into.members.place("logprobs");
                    let all = into.logprobs.get_or_insert_default();
                    all.merge(&serde_json::from_str(value.get())?);
                }
                _ => into.members.last(name, value),
            }
        }
        Ok(())
    }
}

impl Choice {
    fn write(self, index: u64, out: &mut String) {
        let index = index.to_string();
        let absent = |members: &Folded, name: &'static str| {
            let none = (name, "null");
            (!members.has(name)).then_some(none)
        };
        let nulls = ["content", "refusal"].map(|name| absent(&self.message, name));
        let nulls: Vec<_> = nulls.into_iter().flatten().collect();
        let mut message = String::new();
        self.message.write(&nulls, &mut message);
        let mut logprobs = String::new();
        if let Some(all) = self.logprobs {
            all.write(&[], &mut logprobs);
        }
        let mut with = vec![("index", &*index), ("message", &*message)];
        with.extend(absent(&self.members, "finish_reason"));
        match &*logprobs {
            "" => with.extend(absent(&self.members, "logprobs")),
            all => with.push(("logprobs", all)),
        }
        self.members.write(&with, out);
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::unfold, *};

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn all_kinds_of_deltas_are_merged() {
        let delta = |delta: Value| {
            json!({"id": "a", "created": 1, "model": "m", "service_tier": "default",
                "choices": [{"index": 0, "delta": delta, "logprobs":
                    {"content": [{"token": "x"}], "refusal": null}}], "obfuscation": "z"})
        };
        let stream: String = [
            delta(json!({"role": "assistant", "content": null, "reasoning": "h"})),
            delta(json!({"reasoning": "m", "reasoning_details": [1]})),
            delta(json!({"content": "H", "reasoning_details": [2]})),
            delta(json!({"content": "i", "refusal": "n"})),
            delta(json!({"tool_calls": [{"index": 0, "id": "c", "type": "function",
                "function": {"name": "f", "arguments": ""}}]})),
            delta(json!({"tool_calls": [{"index": 1, "id": "d", "type": "function",
                "function": {"name": "g", "arguments": "1"}},
                {"index": 0, "function": {"arguments": "{}"}}]})),
            delta(json!({"refusal": "o", "audio": {"id": "s", "data": "YQ==", "transcript": "a"}})),
            delta(json!({"audio": {"data": "YmM=", "transcript": "bc"}})),
            delta(json!({"audio": {"expires_at": 9}})),
            json!({"id": "a", "created": 1, "model": "m", "choices": [
                {"index": 1, "delta": {"role": "assistant", "content": "2"}, "finish_reason": "stop"},
                {"index": 0, "delta": {}, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        ]
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
        let answer = value(&fold(stream.as_bytes()).expect("whole"));
        let token = json!({"token": "x"});
        assert_eq!(
            answer,
            json!({"id": "a", "object": "chat.completion", "created": 1, "model": "m",
                "service_tier": "default", "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                "choices": [
                    {"index": 0, "finish_reason": "tool_calls",
                        "logprobs": {"content": vec![token; 9], "refusal": null},
                        "message": {"role": "assistant", "content": "Hi", "refusal": "no",
                            "reasoning_content": "hm", "reasoning_details": [1, 2],
                            "tool_calls": [
                                {"id": "c", "type": "function",
                                    "function": {"name": "f", "arguments": "{}"}},
                                {"id": "d", "type": "function",
                                    "function": {"name": "g", "arguments": "1"}}],
                            "audio": {"id": "s", "data": "YWJj", "transcript": "abc", "expires_at": 9}}},
                    {"index": 1, "finish_reason": "stop", "logprobs": null,
                        "message": {"role": "assistant", "content": "2", "refusal": null}}]})
        );
    }

    #[test]
    fn there_and_back() {
        let answer = json!({"id": "a", "object": "chat.completion", "created": 1, "model": "m",
            "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "choices": [
                {"index": 0, "finish_reason": "tool_calls", "logprobs": null,
                    "message": {"role": "assistant", "content": "é", "refusal": null,
                        "tool_calls": [{"id": "c", "type": "function",
                            "function": {"name": "f", "arguments": "{}"}}]}}]});
        let stream = unfold(answer.to_string().as_bytes()).expect("an answer");
        assert_eq!(value(&fold(&stream).expect("whole")), answer);
    }

    #[test]
    fn a_broken_stream_is_no_answer() {
        assert!(fold(b"data: {\"choices\":[{\"delta\":{}}]}\n\n").is_err());
        assert!(fold(b"data: {\"error\":\"x\"}\n\n").is_err());
    }

    #[test]
    fn all_stays_as_it_is_spelled() {
        let chunk = |rest: &str, delta: &str| {
            format!(
                "data: {{\"id\":\"a\",\"zbig\":123456789012345678901234567890,\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"zc\":-0,\"delta\":{delta}{rest}}}],\"ze\":1e5}}\n\n"
            )
        };
        let stream = [
            chunk(
                "",
                r#"{"role":"assistant","content":"h\u00e9","unk":{"b":1.10, "a":1},"more":{"n":1.0}}"#,
            ),
            chunk("", r#"{"content":"\/\ud83d\ude00","list":[1.0 ]}"#),
            chunk("", r#"{"list":[ ],"more":{"m":1e5,"n":2.50}}"#),
            chunk(r#","finish_reason":"stop""#, r#"{"list":[2e1],"unk":null}"#),
            r#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":0.000100}}"#.to_owned() + "\n\n",
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat();
        let answer = fold(stream.as_bytes()).expect("whole");
        assert_eq!(
            answer,
            r#"{"id":"a","zbig":123456789012345678901234567890,"object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"zc":-0,"message":{"role":"assistant","content":"h\u00e9\/\ud83d\ude00","unk":{"b":1.10, "a":1},"more":{"n":2.50,"m":1e5},"list":[1.0 ,2e1],"refusal":null},"finish_reason":"stop","logprobs":null}],"ze":1e5,"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":0.000100}}"#
        );
    }
}
