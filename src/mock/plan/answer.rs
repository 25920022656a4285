//! What an answer says: whole, and as the events of a stream.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    super::{
        ask::{Wish, tokens, words},
        script::{Fault, Say, Script, Usage},
    },
    Step,
    steps::play,
};

/// The time that every answer says it was made at: 2023-11-14T22:13:20Z.
const CREATED: u64 = 1_700_000_000;

/// What is said in a choice.
struct Speech {
    reasoning: Option<String>,
    content: Option<String>,
    call: Option<(String, String)>,
    finish: String,
}

impl Speech {
    fn new(script: &Script, ask: &Wish) -> Self {
        let mut finish = "stop";
        let mut content = None;
        let mut call = None;
        match (&script.say, &ask.function) {
            (
                Say::Call {
                    name: Some(name),
                    arguments,
                },
                _,
            ) => {
                call = Some((name.clone(), arguments.clone()));
            }
            (Say::Call { name: None, .. }, Some(offered)) => {
                call = Some((offered.clone(), json!({"text": ask.text}).to_string()));
            }
            (Say::Text(text), _) => content = Some(text.clone()),
            _ => content = Some(ask.text.clone()),
        }
        if let (Some(text), Some(limit)) = (&mut content, ask.max_tokens) {
            let words = words(text);
            if words.len() as u64 > limit {
                finish = "length";
                let kept = usize::try_from(limit).unwrap_or(usize::MAX);
                *text = words[..kept].concat();
            }
        }
        if call.is_some() {
            finish = "tool_calls";
        }
        Self {
            reasoning: script.reasoning.clone(),
            content,
            call,
            finish: script.finish.clone().unwrap_or_else(|| finish.to_owned()),
        }
    }

    fn reasoning_tokens(&self) -> u64 {
        self.reasoning.as_deref().map_or(0, tokens)
    }

    fn output_tokens(&self) -> u64 {
        let call = self.call.as_ref();
        self.reasoning_tokens()
            + self.content.as_deref().map_or(0, tokens)
            + call.map_or(0, |(_, arguments)| 4 + tokens(arguments))
    }
}

fn usage(script: &Script, ask: &Wish, speech: &Speech) -> Option<Value> {
    let (input, output, cached, reasoning) = match script.usage {
        Usage::None => return None,
        Usage::Given {
            input,
            output,
            cached,
        } => (input, output, cached, 0),
        Usage::Counted => {
            let (output, reasoning) = (speech.output_tokens(), speech.reasoning_tokens());
            (ask.prompt_tokens, output * ask.n, 0, reasoning * ask.n)
        }
    };
    Some(json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input.saturating_add(output),
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }))
}

fn envelope(script: &Script, ask: &Wish, call: u64, object: &str, choices: &Value) -> Value {
    json!({
        "id": format!("chatcmpl-mock-{call}"),
        "object": object,
        "created": CREATED,
        "model": script.model.as_ref().unwrap_or(&ask.model),
        "choices": choices,
        "system_fingerprint": "fp_mock",
    })
}

pub(super) fn broken() -> Value {
    json!({"error": {
        "message": "The server had an error while processing your request",
        "type": "server_error", "param": null, "code": "internal_error",
    }})
}

pub(super) fn unary(script: &Script, ask: &Wish, call: u64) -> Vec<Step> {
    let speech = Speech::new(script, ask);
    let mut message = json!({"role": "assistant", "content": speech.content, "refusal": null});
    if let Some(text) = &speech.reasoning {
        message["reasoning_content"] = json!(text);
    }
    if let Some((name, arguments)) = &speech.call {
        message["tool_calls"] = json!([{
            "id": format!("call_mock_{call}"), "type": "function",
            "function": {"name": name, "arguments": arguments},
        }]);
    }
    let choices = (0..ask.n)
        .map(|index| {
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": speech.finish})
        })
        .collect();
    let mut answer = envelope(script, ask, call, "chat.completion", &choices);
    if let Some(usage) = usage(script, ask, &speech) {
        answer["usage"] = usage;
    }
    let body = Bytes::from(answer.to_string());
    let half = Step::Data(body.slice(..body.len() / 2));
    match script.fault {
        None => vec![Step::Data(body)],
        Some((_, Fault::Cut)) => vec![half, Step::Break],
        Some((_, Fault::Stall)) => vec![half, Step::Stall],
        Some((_, Fault::Panic)) => vec![half, Step::Panic],
        Some((_, Fault::End | Fault::Malformed)) => vec![half],
        Some((_, Fault::Error)) => vec![Step::Data(broken().to_string().into())],
    }
}

pub(super) fn stream(script: &Script, ask: &Wish, call: u64) -> Vec<Step> {
    let speech = Speech::new(script, ask);
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for word in words(speech.reasoning.as_deref().unwrap_or_default()) {
        deltas.push(json!({"reasoning_content": word}));
    }
    for word in words(speech.content.as_deref().unwrap_or_default()) {
        deltas.push(json!({"content": word}));
    }
    if let Some((name, arguments)) = &speech.call {
        deltas.push(json!({"tool_calls": [{
            "index": 0, "id": format!("call_mock_{call}"), "type": "function",
            "function": {"name": name, "arguments": ""},
        }]}));
        for piece in words(arguments) {
            deltas.push(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
        }
    }
    let usage = usage(script, ask, &speech).filter(|_| ask.include_usage);
    let chunk = |choices: Value| {
        let mut chunk = envelope(script, ask, call, "chat.completion.chunk", &choices);
        if usage.is_some() {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let mut events = Vec::new();
    for (delta, finish) in deltas
        .into_iter()
        .map(|delta| (delta, None))
        .chain([(json!({}), Some(&speech.finish))])
    {
        for index in 0..ask.n {
            let choice =
                json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
            events.push(chunk(json!([choice])).to_string());
        }
    }
    if let Some(usage) = &usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage.clone();
        events.push(last.to_string());
    }
    if script.done {
        events.push("[DONE]".to_owned());
    }
    play(events, script)
}
