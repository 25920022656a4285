//! Answers: written as each provider does, translated, read as OpenAI's; whole, and streamed in
//! pieces cut anywhere.

use bytes::BytesMut;
use http_body_util::BodyExt;
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};
use tower_completions::{
    Target,
    parse::Chat,
    provider::{
        Asked, Notes, Translate, TranslateStream, anthropic::Anthropic, bedrock::Bedrock,
        cohere::Cohere, gemini::Gemini, ollama::Ollama,
    },
};

use super::case::{arguments, text};

/// What an answer means, in anybody's words.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    reasoning: String,
    /// In pieces.
    text: Vec<String>,
    calls: Vec<(String, Map<String, Value>)>,
    cut: bool,
    input: u64,
    output: u64,
}

/// As it is read of OpenAI's shape.
#[derive(Debug, Default, PartialEq)]
struct Read {
    reasoning: String,
    text: String,
    calls: Vec<(String, Map<String, Value>)>,
    reason: String,
    input: u64,
    output: u64,
}

impl Answer {
    fn read(&self) -> Read {
        let reason = match (self.cut, self.calls.is_empty()) {
            (true, _) => "length",
            (false, false) => "tool_calls",
            (false, true) => "stop",
        };
        Read {
            reasoning: self.reasoning.clone(),
            text: self.text.concat(),
            calls: self.calls.clone(),
            reason: reason.to_owned(),
            input: self.input,
            output: self.output,
        }
    }

    fn reason(&self, cut: &'static str, calls: &'static str, end: &'static str) -> &'static str {
        match (self.cut, self.calls.is_empty()) {
            (true, _) => cut,
            (false, false) => calls,
            (false, true) => end,
        }
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let call = ("[a-z]{1,8}", arguments());
    (
        prop_oneof![Just(String::new()), text()],
        vec(text(), 0..4),
        vec(call, 0..3),
        any::<bool>(),
        (0..1000_u64, 0..1000_u64),
    )
        .prop_map(|(reasoning, text, calls, cut, (input, output))| Answer {
            reasoning,
            text,
            calls,
            cut,
            input,
            output,
        })
}

fn asked(stream: bool) -> Asked {
    let body =
        json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    let chat = Chat::parse(body.to_string().into()).expect("a request");
    Asked::new(&chat, &Target::new("p", "m"), std::time::SystemTime::now())
}

fn usage(read: &mut Read, usage: &Value) {
    read.input = usage["prompt_tokens"].as_u64().expect("a count");
    read.output = usage["completion_tokens"].as_u64().expect("a count");
}

fn whole<T: Translate>(translate: &T, body: &Value) -> Read {
    let answer = translate.answer(&asked(false), body.to_string().into());
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let mut read = Read {
        reasoning: text(&message["reasoning_content"]),
        text: text(&message["content"]),
        calls: calls
            .map(|call| {
                let arguments = text(&call["function"]["arguments"]);
                let arguments = serde_json::from_str(&arguments).expect("an object");
                (text(&call["function"]["name"]), arguments)
            })
            .collect(),
        reason: text(&choice["finish_reason"]),
        ..Read::default()
    };
    usage(&mut read, &answer["usage"]);
    read
}

fn streamed<T: Translate>(translate: &T, events: &[(Option<&str>, Value)]) -> Read {
    let mut stream = translate.stream(&asked(true)).expect("translated");
    let mut out = BytesMut::new();
    for (name, event) in events {
        let event = event.to_string();
        stream
            .event(*name, event.as_bytes(), &mut out)
            .expect("an event");
    }
    stream.finish(&mut out).expect("whole");
    let text = std::str::from_utf8(&out).expect("UTF-8");
    let (chunks, end) = text.split_at(text.rfind("data: [DONE]").expect("an end"));
    assert_eq!(end, "data: [DONE]\n\n");
    let mut read = Read::default();
    let mut arguments: Vec<String> = Vec::new();
    for data in chunks.split_terminator("\n\n") {
        let data = data.strip_prefix("data: ").expect("an event");
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        if !chunk["usage"].is_null() {
            usage(&mut read, &chunk["usage"]);
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        read.text += delta["content"].as_str().unwrap_or_default();
        read.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        read.reason += choice["finish_reason"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            let function = &call["function"];
            if let Some(name) = function["name"].as_str() {
                assert_eq!(at, arguments.len(), "in order");
                read.calls.push((name.to_owned(), Map::new()));
                arguments.push(String::new());
            }
            arguments[at] += function["arguments"].as_str().unwrap_or_default();
        }
    }
    for (call, text) in read.calls.iter_mut().zip(&arguments) {
        call.1 = serde_json::from_str(text).expect("an object");
    }
    read
}

/// A text in two pieces, cut between two characters.
fn halves(text: &str) -> [&str; 2] {
    let middle = text.chars().count() / 2;
    let at = text
        .char_indices()
        .nth(middle)
        .map_or(text.len(), |(at, _)| at);
    let (one, other) = text.split_at(at);
    [one, other]
}

fn anthropic(of: &Answer) -> (Value, Vec<(Option<&'static str>, Value)>) {
    let usage = json!({"input_tokens": of.input, "output_tokens": of.output});
    let mut content = Vec::new();
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "msg", "model": "c",
        "usage": {"input_tokens": of.input, "output_tokens": 1}}}),
    ];
    let mut block = |whole: Value, start: Value, deltas: Vec<Value>| {
        let index = content.len();
        content.push(whole);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    };
    if !of.reasoning.is_empty() {
        let deltas =
            halves(&of.reasoning).map(|piece| json!({"type": "thinking_delta", "thinking": piece}));
        block(
            json!({"type": "thinking", "thinking": of.reasoning, "signature": "s"}),
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            deltas.to_vec(),
        );
    }
    for text in &of.text {
        let deltas = halves(text).map(|piece| json!({"type": "text_delta", "text": piece}));
        let start = json!({"type": "text", "text": ""});
        block(
            json!({"type": "text", "text": text}),
            start,
            deltas.to_vec(),
        );
    }
    for (n, (name, input)) in of.calls.iter().enumerate() {
        let text = Value::from(input.clone()).to_string();
        let deltas =
            halves(&text).map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        let id = format!("toolu_{n}");
        block(
            json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            deltas.to_vec(),
        );
    }
    let reason = of.reason("max_tokens", "tool_use", "end_turn");
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    let whole = json!({"id": "msg", "type": "message", "role": "assistant", "model": "c",
        "content": content, "stop_reason": reason, "usage": usage});
    (
        whole,
        events.into_iter().map(|event| (None, event)).collect(),
    )
}

fn gemini(of: &Answer) -> (Value, Vec<(Option<&'static str>, Value)>) {
    let usage = json!({"promptTokenCount": of.input, "candidatesTokenCount": of.output,
        "totalTokenCount": of.input + of.output});
    let mut parts = Vec::new();
    if !of.reasoning.is_empty() {
        parts.push(json!({"text": of.reasoning, "thought": true}));
    }
    parts.extend(of.text.iter().map(|text| json!({"text": text})));
    for (n, (name, args)) in of.calls.iter().enumerate() {
        let mut part = json!({"functionCall": {"name": name, "args": args}});
        if n == 0 {
            part["thoughtSignature"] = "s".into();
        }
        parts.push(part);
    }
    let reason = of.reason("MAX_TOKENS", "STOP", "STOP");
    let event = |parts: &[Value], reason: Option<&str>| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts},
            "finishReason": reason}], "usageMetadata": usage, "responseId": "r", "modelVersion": "g"})
    };
    let mut events: Vec<Value> = parts.chunks(1).map(|part| event(part, None)).collect();
    events.push(event(&[], Some(reason)));
    let events = events.into_iter().map(|event| (None, event)).collect();
    (event(&parts, Some(reason)), events)
}

fn bedrock(of: &Answer) -> (Value, Vec<(Option<&'static str>, Value)>) {
    let usage = json!({"inputTokens": of.input, "outputTokens": of.output});
    let mut content = Vec::new();
    let mut events = vec![(Some("messageStart"), json!({"role": "assistant"}))];
    let mut block = |whole: Value, start: Option<Value>, deltas: Vec<Value>| {
        let index = content.len();
        content.push(whole);
        if let Some(start) = start {
            let start = json!({"contentBlockIndex": index, "start": start});
            events.push((Some("contentBlockStart"), start));
        }
        for delta in deltas {
            let delta = json!({"contentBlockIndex": index, "delta": delta, "p": "abc"});
            events.push((Some("contentBlockDelta"), delta));
        }
        events.push((
            Some("contentBlockStop"),
            json!({"contentBlockIndex": index}),
        ));
    };
    if !of.reasoning.is_empty() {
        let deltas = halves(&of.reasoning).map(|piece| json!({"text": piece}));
        let deltas = deltas.into_iter().chain([json!({"signature": "s"})]);
        let deltas = deltas.map(|delta| json!({"reasoningContent": delta}));
        let thought = json!({"text": of.reasoning, "signature": "s"});
        let whole = json!({"reasoningContent": {"reasoningText": thought}});
        block(whole, None, deltas.collect());
    }
    for text in &of.text {
        let deltas = halves(text).map(|piece| json!({"text": piece}));
        block(json!({"text": text}), None, deltas.to_vec());
    }
    for (n, (name, input)) in of.calls.iter().enumerate() {
        let text = Value::from(input.clone()).to_string();
        let deltas = halves(&text).map(|piece| json!({"toolUse": {"input": piece}}));
        let id = format!("tooluse_{n}");
        block(
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input}}),
            Some(json!({"toolUse": {"toolUseId": id, "name": name}})),
            deltas.to_vec(),
        );
    }
    let reason = of.reason("max_tokens", "tool_use", "end_turn");
    events.push((Some("messageStop"), json!({"stopReason": reason})));
    events.push((Some("metadata"), json!({"usage": usage})));
    let message = json!({"role": "assistant", "content": content});
    let whole = json!({"output": {"message": message}, "stopReason": reason, "usage": usage});
    (whole, events)
}

fn cohere(of: &Answer) -> (Value, Vec<(Option<&'static str>, Value)>) {
    let counts = json!({"input_tokens": of.input, "output_tokens": of.output});
    let usage = json!({"billed_units": counts, "tokens": counts});
    let mut content = Vec::new();
    let delta = |kind: &str, message: Value| json!({"type": kind, "delta": {"message": message}});
    let mut events = vec![json!({"type": "message-start", "id": "c"})];
    if !of.reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": of.reasoning}));
        for piece in halves(&of.reasoning) {
            events.push(delta(
                "content-delta",
                json!({"content": {"thinking": piece}}),
            ));
        }
    }
    for text in &of.text {
        content.push(json!({"type": "text", "text": text}));
        for piece in halves(text) {
            events.push(delta("content-delta", json!({"content": {"text": piece}})));
        }
    }
    let mut calls = Vec::new();
    for (n, (name, arguments)) in of.calls.iter().enumerate() {
        let text = Value::from(arguments.clone()).to_string();
        let call = |arguments: &str| {
            json!({"id": format!("c{n}"), "type": "function",
                "function": {"name": name, "arguments": arguments}})
        };
        calls.push(call(&text));
        events.push(delta("tool-call-start", json!({"tool_calls": call("")})));
        for piece in halves(&text) {
            let call = json!({"function": {"arguments": piece}});
            events.push(delta("tool-call-delta", json!({"tool_calls": call})));
        }
        events.push(json!({"type": "tool-call-end"}));
    }
    let reason = of.reason("MAX_TOKENS", "TOOL_CALL", "COMPLETE");
    events.push(json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}));
    let message = json!({"role": "assistant", "content": content, "tool_calls": calls});
    let whole = json!({"id": "c", "message": message, "finish_reason": reason, "usage": usage});
    (
        whole,
        events.into_iter().map(|event| (None, event)).collect(),
    )
}

fn ollama(of: &Answer) -> (Value, Vec<(Option<&'static str>, Value)>) {
    let calls = of.calls.iter();
    let calls: Vec<Value> = calls
        .map(|(name, arguments)| json!({"function": {"name": name, "arguments": arguments}}))
        .collect();
    let line = |content: &str, thinking: &str| json!({"message": {"role": "assistant", "content": content, "thinking": thinking}, "done": false});
    let mut events: Vec<Value> = halves(&of.reasoning).map(|piece| line("", piece)).to_vec();
    for text in &of.text {
        events.extend(halves(text).map(|piece| line(piece, "")));
    }
    for call in &calls {
        let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
        events.push(json!({"message": message, "done": false}));
    }
    let reason = of.reason("length", "stop", "stop");
    let mut whole = line(&of.text.concat(), &of.reasoning);
    whole["message"]["tool_calls"] = calls.into();
    let mut end = line("", "");
    for last in [&mut whole, &mut end] {
        last["done"] = true.into();
        last["done_reason"] = reason.into();
        last["prompt_eval_count"] = of.input.into();
        last["eval_count"] = of.output.into();
    }
    events.push(end);
    (
        whole,
        events.into_iter().map(|event| (None, event)).collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers(of in answer()) {
        let url = "http://host";
        macro_rules! check {
            ($($written:ident by $translate:expr;)*) => {$({
                let translate = $translate.expect("a URL");
                let (answer, events) = $written(&of);
                prop_assert_eq!(whole(&translate, &answer), of.read(), "{}", answer);
                prop_assert_eq!(streamed(&translate, &events), of.read(), "{:?}", events);
            })*};
        }
        check! {
            anthropic by Anthropic::new(url);
            gemini by Gemini::new(url);
            bedrock by Bedrock::new(url);
            cohere by Cohere::new(url);
            ollama by Ollama::new(url);
        }
    }
}

/// What the provider is sent of its own answer in the next turn.
fn sent_back<T: Translate>(translate: &T, model: &str, answer: &Value) -> Value {
    let answer = translate.answer(&asked(false), answer.to_string().into());
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
    let message = answer["choices"][0]["message"].clone();
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let results =
        calls.map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "r"}));
    let mut messages = vec![json!({"role": "user", "content": "Hi"}), message.clone()];
    messages.extend(results);
    // A text that Claude is to go on with would lose the blanks at its end.
    messages.push(json!({"role": "user", "content": "And?"}));
    let body = json!({"model": "m", "max_tokens": 9, "messages": messages,
        "tools": [{"type": "function", "function": {"name": "f"}}]});
    let chat = Chat::parse(body.to_string().into()).expect("a request");
    let mut notes = Notes::default();
    let request = translate.request(&chat, &Target::new("p", model), &mut notes);
    let body = request.expect("translated").into_body().collect();
    let body = tokio_test::block_on(body).expect("whole").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The blocks that a provider wants back with the next turn are those that it gave.
    #[test]
    fn what_must_come_back_does(mut of in answer()) {
        of.cut = false;
        // Texts are joined; none of them alone would be a turn.
        of.text.truncate(1);
        prop_assume!(!(of.text.is_empty() && of.calls.is_empty()));
        let url = "http://host";

        let translate = Anthropic::new(url).expect("a URL");
        let (given, _) = anthropic(&of);
        let body = sent_back(&translate, "claude-sonnet-4-5", &given);
        prop_assert_eq!(&body["messages"][1]["content"], &given["content"]);

        let translate = Bedrock::new(url).expect("a URL");
        let (given, _) = bedrock(&of);
        let body = sent_back(&translate, "anthropic.claude-sonnet-4-5-v1:0", &given);
        prop_assert_eq!(&body["messages"][1]["content"], &given["output"]["message"]["content"]);

        // Of Gemini's parts the thoughts themselves stay away.
        let translate = Gemini::new(url).expect("a URL");
        let (given, _) = gemini(&of);
        let body = sent_back(&translate, "gemini-3-pro", &given);
        let parts = given["candidates"][0]["content"]["parts"].as_array().expect("parts");
        let parts: Vec<&Value> = parts.iter().filter(|part| part.get("thought").is_none()).collect();
        let back = body["contents"][1]["parts"].as_array().expect("parts");
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), parts);
    }
}
