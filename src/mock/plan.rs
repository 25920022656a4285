//! From a request and a script to what is sent, step by step.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    ask::{Wish, tokens, words},
    script::{Fault, Say, Script, Usage},
};

/// The time that every answer says it was made at: 2023-11-14T22:13:20Z.
const CREATED: u64 = 1_700_000_000;

/// One thing that a body does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    Wait(Duration),
    /// Sends the bytes for ever, with a wait between.
    Repeat(Bytes, Duration),
    Stall,
    Break,
    Panic,
}

/// An answer, ready to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// The answer to a request that a provider would refuse.
    pub(super) fn refusal(message: &str) -> Self {
        let script = Script::error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "invalid_request",
            message,
        );
        Self::new(script, &Wish::default(), 0)
    }

    /// Plays `script` to `ask`; `call` is the number of the call and names the answer.
    pub(super) fn new(script: Script, ask: &Wish, call: u64) -> Self {
        let (kind, mut steps) = match &script.say {
            Say::Bytes(bytes) => ("application/json", vec![Step::Data(bytes.clone())]),
            Say::Endless { start, unit } => (
                "application/json",
                vec![
                    Step::Data(start.clone()),
                    Step::Repeat(unit.clone(), script.event_delay),
                ],
            ),
            _ if ask.stream => ("text/event-stream", stream(&script, ask, call)),
            _ => ("application/json", unary(&script, ask, call)),
        };
        if !script.excess.is_empty() {
            steps.push(Step::Data(script.excess.clone()));
        }
        let steps = match script.cut_after_bytes {
            Some(limit) => cut(steps, limit),
            None => steps,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::try_from(format!("req_mock_{call}")) {
            headers.insert("x-request-id", id);
        }
        // What is promised when the connection breaks in the middle of an answer of one piece.
        if kind == "application/json" && steps.iter().any(|step| matches!(step, Step::Break)) {
            headers.insert(
                header::CONTENT_LENGTH,
                HeaderValue::from(length(&steps).max(1) * 2),
            );
        }
        headers.extend(script.headers);
        Self {
            status: script.status,
            headers,
            steps: match script.slices {
                Some((size, delay)) => slice(steps, size, delay),
                None => steps,
            },
        }
    }
}

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

fn broken() -> Value {
    json!({"error": {
        "message": "The server had an error while processing your request",
        "type": "server_error", "param": null, "code": "internal_error",
    }})
}

fn unary(script: &Script, ask: &Wish, call: u64) -> Vec<Step> {
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

fn stream(script: &Script, ask: &Wish, call: u64) -> Vec<Step> {
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

/// The events of a stream as steps, with what goes wrong among them.
fn play(events: Vec<String>, script: &Script) -> Vec<Step> {
    let mut steps = Vec::with_capacity(events.len() + 1);
    // Whatever was asked for happens, at the end where there are fewer events.
    let last = events.len();
    let fault = script.fault.map(|(after, fault)| (after.min(last), fault));
    for (at, event) in events.into_iter().map(Some).chain([None]).enumerate() {
        if let Some((_, fault)) = fault.filter(|(after, _)| *after == at) {
            let (step, goes_on) = match fault {
                Fault::Cut => (Step::Break, false),
                Fault::Stall => (Step::Stall, false),
                Fault::Panic => (Step::Panic, false),
                Fault::Error => (frame(&broken().to_string()), false),
                Fault::Malformed => (frame("{\"choices\":[{\"delta\":{\"content\":\"half"), true),
                Fault::End => break,
            };
            steps.push(step);
            if !goes_on {
                break;
            }
        }
        let Some(event) = event else {
            break;
        };
        if at > 0 && !script.event_delay.is_zero() {
            steps.push(Step::Wait(script.event_delay));
        }
        steps.push(frame(&event));
    }
    steps
}

fn frame(data: &str) -> Step {
    Step::Data(format!("data: {data}\n\n").into())
}

fn length(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Data(bytes) => bytes.len(),
        _ => 0,
    };
    steps.iter().map(of).sum()
}

/// Breaks the connection after `limit` bytes, when there are so many.
fn cut(steps: Vec<Step>, limit: usize) -> Vec<Step> {
    let mut left = limit;
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Data(bytes) if bytes.len() > left => {
                kept.extend([Step::Data(bytes.slice(..left)), Step::Break]);
                return kept;
            }
            Step::Data(bytes) => {
                left -= bytes.len();
                kept.push(Step::Data(bytes));
            }
            other => kept.push(other),
        }
    }
    kept
}

/// Frames of `size` bytes that pay no heed to where events begin. A wait of the script ends a frame.
fn slice(steps: Vec<Step>, size: usize, delay: Duration) -> Vec<Step> {
    fn flush(
        pending: &mut Vec<u8>,
        whole: bool,
        size: usize,
        delay: Duration,
        out: &mut Vec<Step>,
    ) {
        let end = if whole {
            pending.len()
        } else {
            pending.len() / size * size
        };
        for piece in pending[..end].chunks(size) {
            if !out.is_empty() && !delay.is_zero() {
                out.push(Step::Wait(delay));
            }
            out.push(Step::Data(Bytes::copy_from_slice(piece)));
        }
        pending.drain(..end);
    }
    let (mut out, mut pending) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Data(bytes) => {
                pending.extend_from_slice(&bytes);
                flush(&mut pending, false, size, delay, &mut out);
            }
            other => {
                flush(&mut pending, true, size, delay, &mut out);
                out.push(other);
            }
        }
    }
    flush(&mut pending, true, size, delay, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stream: bool) -> Wish {
        let body = json!({
            "model": "m", "stream": stream, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "one two three"}],
        });
        Wish::parse(body.to_string().as_bytes()).expect("valid")
    }

    fn text(steps: &[Step]) -> String {
        let mut out = Vec::new();
        for step in steps {
            if let Step::Data(bytes) = step {
                out.extend_from_slice(bytes);
            }
        }
        String::from_utf8(out).expect("UTF-8")
    }

    fn events(script: Script) -> Vec<String> {
        let text = text(&Plan::new(script, &ask(true), 1).steps);
        text.split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").expect("data").to_owned())
            .collect()
    }

    #[test]
    fn a_stream_has_role_words_finish_usage_and_done() {
        let events = events(Script::echo());
        let json: Vec<Value> = events[..6]
            .iter()
            .map(|event| serde_json::from_str(event).expect("JSON"))
            .collect();
        assert_eq!(json[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(json[1]["choices"][0]["delta"]["content"], "one ");
        assert_eq!(json[4]["choices"][0]["finish_reason"], "stop");
        assert!(json[4]["usage"].is_null());
        assert_eq!(json[5]["usage"]["total_tokens"], 10);
        assert_eq!(events[6..], ["[DONE]"]);
    }

    #[test]
    fn faults_come_after_their_events() {
        for (fault, last) in [
            (Fault::Cut, Some(Step::Break)),
            (Fault::Stall, Some(Step::Stall)),
            (Fault::Panic, Some(Step::Panic)),
            (Fault::End, None),
        ] {
            let steps = Plan::new(Script::echo().with_fault(2, fault), &ask(true), 1).steps;
            assert_eq!(steps.len(), 2 + usize::from(last.is_some()));
            assert_eq!(steps.get(2).cloned(), last);
        }
        assert!(events(Script::echo().with_fault(2, Fault::Error))[2].contains("server_error"));
        let malformed = events(Script::echo().with_fault(2, Fault::Malformed));
        assert!(serde_json::from_str::<Value>(&malformed[2]).is_err());
        assert_eq!(malformed.last().map(String::as_str), Some("[DONE]"));
    }

    #[test]
    fn a_fault_behind_the_last_event_is_one_at_the_end() {
        let whole = Plan::new(Script::echo(), &ask(true), 1).steps;
        for after in [whole.len(), whole.len() + 9] {
            for (fault, last) in [
                (Fault::Cut, Some(Step::Break)),
                (Fault::Stall, Some(Step::Stall)),
                (Fault::Panic, Some(Step::Panic)),
                (Fault::End, None),
            ] {
                let script = Script::echo().with_fault(after, fault);
                let steps = Plan::new(script, &ask(true), 1).steps;
                assert_eq!(steps[..whole.len()], whole);
                assert_eq!(steps.get(whole.len()).cloned(), last);
            }
        }
    }

    #[test]
    fn slices_and_cuts_change_no_byte() {
        let whole = text(&Plan::new(Script::echo(), &ask(true), 1).steps);
        for size in [1, 7, 4096] {
            let script = Script::echo().with_slices(size, Duration::ZERO);
            assert_eq!(text(&Plan::new(script, &ask(true), 1).steps), whole);
        }
        for limit in [0, 1, 100] {
            let steps = Plan::new(Script::echo().with_cut_after_bytes(limit), &ask(true), 1).steps;
            assert_eq!(text(&steps), whole[..limit]);
            assert_eq!(steps.last(), Some(&Step::Break));
        }
    }

    #[test]
    fn the_answer_keeps_to_the_tokens_allowed() {
        let mut ask = ask(false);
        ask.max_tokens = Some(2);
        let answer: Value =
            serde_json::from_str(&text(&Plan::new(Script::echo(), &ask, 1).steps)).expect("JSON");
        assert_eq!(answer["choices"][0]["message"]["content"], "one two ");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 2);
    }
}
