//! A stream as one answer, and one answer as a stream.

use std::{collections::BTreeMap, mem};

use bytes::{BufMut, Bytes};
use serde_json::{Map, Value, json};

use super::{
    config::Config,
    fault::{nonsense, too_large},
    machine::Machine,
};
use crate::{
    dialect::Dialect,
    error::{Error, upstream},
    meter::{Outcome, Tally},
    sse::{Decoder, Limits},
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
    let mut folder = Folder::new(config, Limits::new(), Tally::new());
    folder.push(Bytes::copy_from_slice(stream))?;
    folder.finish()
}

/// Turns one answer into a stream that says the same, with the usage last.
///
/// ```
/// let answer = br#"{"id":"a","created":1,"model":"m","choices":[{"index":0,
///     "message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
/// let stream = tower_completions::reframe::unfold(answer)?;
/// assert!(stream.starts_with(b"data: {") && stream.ends_with(b"data: [DONE]\n\n"));
/// # Ok::<(), tower_completions::Error>(())
/// ```
///
/// # Errors
/// It is not a `chat.completion`, has no choices, or says that it failed.
pub fn unfold(answer: &[u8]) -> Result<Bytes, Error> {
    let wrong = || nonsense("The provider sent an answer that is not a chat completion.");
    let text = answer;
    let mut answer: Map<String, Value> = serde_json::from_slice(text).map_err(|_| wrong())?;
    let says = |name| answer.get(name).is_some_and(|value| !value.is_null());
    let is_none = !says("choices");
    if says("error") || (is_none && (says("message") || says("detail"))) {
        return Err(upstream::in_stream(&String::from_utf8_lossy(text)));
    }
    let Some(Value::Array(choices)) = answer.remove("choices") else {
        return Err(wrong());
    };
    if choices.is_empty() {
        return Err(nonsense("The provider sent an answer without choices."));
    }
    let usage = answer.remove("usage").filter(|usage| !usage.is_null());
    answer.insert("object".into(), json!("chat.completion.chunk"));
    let mut out = Vec::new();
    let mut write = |choices: Value, usage: Option<Value>| {
        let mut chunk = answer.clone();
        chunk.insert("choices".into(), choices);
        if let Some(usage) = usage {
            chunk.insert("usage".into(), usage);
        }
        out.put_slice(format!("data: {}\n\n", Value::Object(chunk)).as_bytes());
    };
    for (position, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else {
            return Err(wrong());
        };
        let index = choice.remove("index").unwrap_or(json!(position));
        let finish = choice.remove("finish_reason").unwrap_or(json!("stop"));
        let mut delta = choice.remove("message").unwrap_or(json!({}));
        if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
            for (at, call) in calls.iter_mut().enumerate() {
                if let Value::Object(call) = call {
                    call.insert("index".into(), json!(at));
                }
            }
        }
        choice.insert("index".into(), index.clone());
        choice.insert("delta".into(), delta);
        choice.insert("finish_reason".into(), Value::Null);
        write(json!([choice]), None);
        write(
            json!([{ "index": index, "delta": {}, "finish_reason": finish }]),
            None,
        );
    }
    if usage.is_some() {
        write(json!([]), usage);
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Ok(out.into())
}

/// Folds a stream as it comes.
#[derive(Debug)]
pub(super) struct Folder {
    machine: Machine,
    decoder: Decoder,
    tally: Tally,
    limits: Limits,
    answer: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    held: usize,
}

#[derive(Debug, Default)]
struct Choice {
    members: Map<String, Value>,
    message: Map<String, Value>,
}

impl Folder {
    pub(super) fn new(mut config: Config, limits: Limits, tally: Tally) -> Self {
        config.include_usage = true;
        config.hold_finish = false;
        Self {
            machine: Machine::new(config, limits, tally.clone()),
            decoder: Decoder::with_limits(limits),
            tally,
            limits,
            answer: Map::new(),
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
        let choices = mem::take(&mut self.choices)
            .into_iter()
            .map(|(index, choice)| {
                let mut members = choice.members;
                let mut message = choice.message;
                message.entry("content").or_insert(Value::Null);
                message.entry("refusal").or_insert(Value::Null);
                if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
                    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
                        call.remove("index");
                    }
                }
                members.insert("index".into(), json!(index));
                members.insert("message".into(), Value::Object(message));
                members.entry("finish_reason").or_insert(Value::Null);
                members.entry("logprobs").or_insert(Value::Null);
                Value::Object(members)
            });
        let mut answer = mem::take(&mut self.answer);
        answer.insert("choices".into(), choices.collect());
        answer.insert("object".into(), json!("chat.completion"));
        Ok(Value::Object(answer).to_string().into())
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
                let chunk = serde_json::from_slice(event.data());
                self.chunk(chunk.map_err(|_| nonsense("The provider sent a strange chunk."))?);
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Map<String, Value>) {
        for (key, value) in chunk {
            match (key.as_str(), value) {
                ("choices", Value::Array(choices)) => {
                    for choice in choices {
                        self.choice(choice);
                    }
                }
                // Filler of single events.
                ("obfuscation", _) => {}
                (_, value) => last(&mut self.answer, key, value),
            }
        }
    }

    fn choice(&mut self, choice: Value) {
        let Value::Object(choice) = choice else {
            return;
        };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let into = self.choices.entry(index).or_default();
        for (key, value) in choice {
            match (key.as_str(), value) {
                ("index", _) => {}
                ("delta", Value::Object(delta)) => merge(&mut into.message, delta),
                ("logprobs", Value::Object(logprobs)) => {
                    let all = into.members.entry(key).or_insert(json!({}));
                    if !all.is_object() {
                        *all = json!({});
                    }
                    if let Value::Object(all) = all {
                        merge(all, logprobs);
                    }
                }
                (_, value) => last(&mut into.members, key, value),
            }
        }
    }
}

/// The last value counts, but null takes nothing away.
fn last(into: &mut Map<String, Value>, key: String, value: Value) {
    if value.is_null() {
        into.entry(key).or_insert(value);
    } else {
        into.insert(key, value);
    }
}

/// Puts one delta behind what came before.
fn merge(into: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (key, value) in delta {
        let text = matches!(
            key.as_str(),
            "content" | "refusal" | "reasoning_content" | "arguments" | "input" | "transcript"
        );
        match (into.get_mut(&key), value) {
            (Some(Value::String(all)), Value::String(more)) if text => all.push_str(&more),
            (Some(Value::String(all)), Value::String(more)) if key == "data" => {
                join_base64(all, &more);
            }
            (Some(Value::Array(all)), Value::Array(more)) if key == "tool_calls" => {
                for call in more {
                    merge_call(all, call);
                }
            }
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
            (Some(Value::Object(all)), Value::Object(more)) => merge(all, more),
            (_, value) => last(into, key, value),
        }
    }
}

fn merge_call(calls: &mut Vec<Value>, call: Value) {
    let same = calls.iter_mut().find(|seen| seen["index"] == call["index"]);
    match (same, call) {
        (Some(Value::Object(seen)), Value::Object(call)) => merge(seen, call),
        (_, call) => calls.push(call),
    }
}

/// Puts base64 behind base64. Padding may only stand at the very end, so pieces that had some are
/// put together as bytes.
fn join_base64(all: &mut String, more: &str) {
    if !all.ends_with('=') {
        all.push_str(more);
        return;
    }
    let mut bytes = decode_base64(all);
    bytes.extend(decode_base64(more));
    *all = encode_base64(&bytes);
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode_base64(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|&digit| digit == byte))
        .map(|digit| digit as u32)
        .collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let word = (0..4).fold(0, |word, at| word << 6 | group.get(at).unwrap_or(&0));
        let kept = group.len() * 6 / 8;
        bytes.extend_from_slice(&word.to_be_bytes()[1..=kept]);
    }
    bytes
}

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| {
            word << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for none in ["{}", "[]", r#"{"choices":[]}"#] {
            assert!(unfold(none.as_bytes()).is_err(), "{none}");
        }
        for failed in [
            r#"{"error":{"code":429},"choices":[{}]}"#,
            r#"{"object":"error","message":"slow","code":429}"#,
        ] {
            let error = unfold(failed.as_bytes()).expect_err("it says so");
            assert_eq!(error.code(), Some("upstream_rate_limited"), "{failed}");
        }
    }

    #[test]
    fn base64_there_and_back() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\xff\xfe\xfd\x00"] {
            assert_eq!(decode_base64(&encode_base64(bytes)), bytes);
        }
    }
}
