//! Each row of the answer tables, from the provider to OpenAI's: whole, and streamed in one piece,
//! byte by byte and cut at every place. Whichever way it came, the message is the same.
//!
//! In the fixtures `answer` is a patch (RFC 7396) of `base`; a stream is `head`, `events` and `tail`.
//! `message` is what must come of both, beside the usage (a patch of the file's), the reason to
//! finish, likelihoods and the tier.

#[path = "support/patch.rs"]
mod patch;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use patch::patch;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Dialect, Target,
    body::Full,
    meter::Tally,
    parse::Chat,
    provider::{
        Asked, Framing, Provider, Translate, TranslateStream,
        anthropic::Anthropic,
        bedrock::Bedrock,
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        openai::{OpenAi, Vendor},
        vertex::Vertex,
    },
    reframe::ReframeLayer,
    sse::{self, Decode, aws},
    time::NoTimer,
};

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn asked(model: &str, stream: bool) -> Asked {
    let body =
        json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    let chat = Chat::parse(body.to_string().into()).expect("a request");
    let asked = Asked::new(
        &chat,
        &Target::new("p", model),
        std::time::SystemTime::now(),
    );
    // Drawn once, so that every run has the same.
    let _ = asked.id();
    asked
}

/// The events on the wire.
fn wire(framing: Framing, events: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    for event in events {
        let text = match framing {
            Framing::JsonLines => format!("{event}\n"),
            Framing::AwsEventStream => {
                let name = event[0].as_str().expect("a name");
                let payload = event[1].to_string();
                aws::write_message(&mut out, aws::Kind::Event, name, payload.as_bytes());
                continue;
            }
            // As Gemini ends lines; where an event has a type it is its name as well.
            _ => match event["type"].as_str() {
                Some(name) => format!("event: {name}\ndata: {event}\n\n"),
                None => format!("data: {event}\r\n\r\n"),
            },
        };
        out.extend_from_slice(text.as_bytes());
    }
    out.freeze()
}

fn decoder(framing: Framing) -> Box<dyn Decode> {
    match framing {
        Framing::JsonLines => Box::new(sse::ndjson::Decoder::new()),
        Framing::AwsEventStream => Box::new(aws::Decoder::new()),
        _ => Box::new(sse::Decoder::new()),
    }
}

/// What is written of a stream in these pieces.
fn run<T: Translate>(translate: &T, asked: &Asked, pieces: &[&[u8]]) -> String {
    let mut stream = translate.stream(asked).expect("translated");
    let mut decoder = decoder(stream.framing());
    let mut out = BytesMut::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            let event = event.expect("well framed");
            let read = stream.event(event.name(), event.data(), &mut out);
            read.expect("an event");
        }
    }
    stream.finish(&mut out).expect("whole");
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

/// The chunks of a stream as one answer.
fn fold(text: &str) -> Value {
    let mut whole =
        json!({"choices": [{"message": {"content": "", "refusal": null}, "logprobs": null}]});
    let events = text.strip_suffix("data: [DONE]\n\n").expect("an end");
    for event in events.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("an event");
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        for name in ["id", "model", "usage", "service_tier"] {
            if let Some(value) = chunk.get(name) {
                whole[name] = value.clone();
            }
        }
        for choice in list(&chunk["choices"]) {
            assert_eq!(choice["index"], 0);
            let into = &mut whole["choices"][0];
            if !choice["finish_reason"].is_null() {
                assert!(into["finish_reason"].is_null(), "{text}");
                into["finish_reason"] = choice["finish_reason"].clone();
            }
            if let Some(more) = choice.get("logprobs") {
                if into["logprobs"].is_null() {
                    into["logprobs"] = more.clone();
                } else {
                    let content = into["logprobs"]["content"].as_array_mut();
                    content
                        .expect("a list")
                        .extend_from_slice(list(&more["content"]));
                }
            }
            merge(&mut into["message"], &choice["delta"]);
        }
    }
    let message = &mut whole["choices"][0]["message"];
    if message.get("tool_calls").is_some() && message["content"] == "" {
        message["content"] = Value::Null;
    }
    whole
}

fn merge(message: &mut Value, delta: &Value) {
    for (name, value) in delta.as_object().expect("a delta") {
        match (&**name, value) {
            ("tool_calls", _) => {
                for call in list(value) {
                    let at = call["index"].as_u64().expect("an index");
                    let calls = message[name].as_array().map_or(0, Vec::len);
                    if usize::try_from(at).expect("small") == calls {
                        let mut call = call.clone();
                        call.as_object_mut().expect("a call").remove("index");
                        if calls == 0 {
                            message[name] = json!([]);
                        }
                        message[name].as_array_mut().expect("a list").push(call);
                    } else {
                        let more = call["function"]["arguments"].as_str().expect("a text");
                        let into = &mut message[name][calls - 1]["function"]["arguments"];
                        *into = format!("{}{more}", into.as_str().expect("a text")).into();
                    }
                }
            }
            (_, Value::Array(more)) => {
                if message[name].is_null() {
                    message[name] = json!([]);
                }
                let list = message[name].as_array_mut().expect("a list");
                for entry in more {
                    let mut entry = entry.clone();
                    let index = entry.as_object_mut().expect("an entry").remove("index");
                    assert_eq!(index, Some(list.len().into()), "{name}");
                    list.push(entry);
                }
            }
            ("role", _) => message[name] = value.clone(),
            (_, Value::String(more)) => {
                let before = message[name].as_str().unwrap_or_default();
                message[name] = format!("{before}{more}").into();
            }
            _ => message[name] = value.clone(),
        }
    }
}

/// What matters of an answer.
fn told(answer: &Value) -> Value {
    let choice = &answer["choices"][0];
    json!({"id": answer["id"], "model": answer["model"], "message": choice["message"],
        "finish": choice["finish_reason"], "logprobs": choice["logprobs"],
        "usage": answer["usage"], "tier": answer["service_tier"]})
}

fn check<T: Translate>(translate: &T, model: &str, file: &Value, what: &str, case: &Value) {
    let mut message = json!({"role": "assistant", "content": "", "refusal": null});
    for (name, value) in case["message"].as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
    let mut usage = file["usage"].clone();
    if let Some(by) = case.get("usage") {
        patch(&mut usage, by);
    }
    let (whole, stream) = (asked(model, false), asked(model, true));
    let wanted = |asked: &Asked| {
        let id = file.get("id").cloned().unwrap_or_else(|| asked.id().into());
        let model = file.get("model").cloned().unwrap_or_else(|| model.into());
        let finish = case.get("finish").cloned().unwrap_or_else(|| "stop".into());
        json!({"id": id, "model": model, "message": message, "finish": finish,
            "logprobs": case["logprobs"], "usage": usage, "tier": case["tier"]})
    };
    let mut answer = file["base"].clone();
    patch(&mut answer, &case["answer"]);
    let read = translate.answer(&whole, answer.to_string().into());
    let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
    let read: Value = serde_json::from_slice(&read.body).expect("JSON");
    assert_eq!(read["object"], "chat.completion");
    assert_eq!(told(&read), wanted(&whole), "{what}");

    let head = case.get("head").unwrap_or(&file["head"]);
    let head = Some(head).filter(|head| !head.is_null());
    let tail = case.get("tail").unwrap_or(&file["tail"]);
    let mut events: Vec<Value> = head.into_iter().cloned().collect();
    events.extend_from_slice(list(&case["events"]));
    events.extend_from_slice(list(tail));
    // What a whole answer says once stands on each event of a Gemini stream.
    for event in events
        .iter_mut()
        .filter(|event| event.get("candidates").is_some() || event.get("promptFeedback").is_some())
    {
        for name in ["responseId", "modelVersion", "usageMetadata"] {
            if event.get(name).is_none()
                && (name != "usageMetadata" || case.get("usage").or(case.get("tier")).is_none())
            {
                event[name] = file["base"][name].clone();
            }
        }
    }
    let framing = translate.stream(&stream).expect("translated").framing();
    let bytes = wire(framing, &events);
    let text = run(translate, &stream, &[&bytes]);
    assert_eq!(
        told(&fold(&text)),
        wanted(&stream),
        "{what}, streamed: {text}"
    );
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        run(translate, &stream, &single),
        text,
        "{what}, byte by byte"
    );
    for at in 0..bytes.len() {
        let halves = [&bytes[..at], &bytes[at..]];
        assert_eq!(
            run(translate, &stream, &halves),
            text,
            "{what}, cut at {at}"
        );
    }
}

/// All cases of a provider, one or more for each of these rows and none for others.
fn rows<T: Translate>(translate: &T, model: &str, text: &str, listed: &[&str]) {
    let of = model;
    let file: Value = serde_json::from_str(text).unwrap_or_else(|why| panic!("{of}: {why}"));
    let rows = file["rows"].as_object().expect("rows");
    let there: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(there, listed.iter().copied().collect(), "{of}");
    for (row, cases) in rows {
        assert!(!list(cases).is_empty(), "{of}, {row}");
        for case in list(cases) {
            check(
                translate,
                model,
                &file,
                &format!("{of}, {row}: {case}"),
                case,
            );
        }
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/answers/", $name, ".json"))
    };
}

#[test]
fn anthropic() {
    let translate = Anthropic::new("http://host").expect("a URL");
    let listed = [
        "counts as strings, or none that can be read",
        "text",
        "citations",
        "tool_use",
        "thinking, redacted_thinking",
        "server blocks",
        "refusal",
        "usage",
        "unknown members, blocks and events",
        "message_start twice",
        "cut JSON",
    ];
    rows(&translate, "anthropic", fixture!("anthropic"), &listed);
    let vertex = Vertex::at("http://host", "p", "l").expect("a URL");
    rows(&vertex, "claude on vertex", fixture!("anthropic"), &listed);
}

#[test]
fn gemini() {
    let translate = Gemini::new("http://host").expect("a URL");
    let listed = [
        "counts as strings, or none that can be read",
        "text, thought",
        "functionCall",
        "signature of the text",
        "inlineData",
        "executableCode and others of the server",
        "no content",
        "fileData",
        "finishMessage",
        "citationMetadata",
        "blocked",
        "grounding",
        "grounding in maps and documents",
        "logprobs",
        "usage",
        "tier served",
    ];
    rows(&translate, "gemini", fixture!("gemini"), &listed);
    let vertex = Vertex::at("http://host", "p", "l").expect("a URL");
    rows(&vertex, "gemini on vertex", fixture!("gemini"), &listed);
}

#[test]
fn bedrock() {
    let translate = Bedrock::new("http://host").expect("a URL");
    let listed = [
        "counts as strings, or none that can be read",
        "text",
        "toolUse",
        "reasoningContent",
        "usage",
        "tier served",
        "citationsContent",
        "web citations",
        "image",
        "unknown",
    ];
    rows(&translate, "bedrock", fixture!("bedrock"), &listed);
}

#[test]
fn cohere() {
    let translate = Cohere::new("http://host").expect("a URL");
    let listed = [
        "counts as strings, or none that can be read",
        "what is not charged in tokens",
        "text, thinking",
        "tool_calls, tool_plan",
        "citations",
        "logprobs",
        "usage",
    ];
    rows(&translate, "cohere", fixture!("cohere"), &listed);
}

#[test]
fn ollama() {
    let translate = Ollama::new("http://host").expect("a URL");
    let listed = [
        "counts as strings, or none that can be read",
        "content, thinking",
        "tool_calls",
        "counts missing",
    ];
    rows(&translate, "ollama", fixture!("ollama"), &listed);
}

/// Whole answers of each vendor of OpenAI's family, behind the re-framer; streams of theirs have
/// tests of their own.
#[tokio::test]
async fn family() {
    let file: Value = serde_json::from_str(fixture!("family")).expect("JSON");
    let vendors = file.as_object().expect("vendors");
    let known: BTreeSet<&str> = Vendor::all().map(Vendor::name).collect();
    assert_eq!(
        vendors.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
    for (name, cases) in vendors {
        for case in list(cases) {
            let mut text = case["answer"].to_string();
            if case["blank"] == true {
                // As lines that keep a queued request alive.
                text.insert_str(0, "\n\n\n");
            }
            let upstream = tower::service_fn(move |_: http::Request<Full>| {
                let text = text.clone();
                let response = http::Response::builder().header("content-type", "application/json");
                let response = response.body(Full::new(text)).expect("a response");
                std::future::ready(Ok::<_, std::convert::Infallible>(response))
            });
            let translate = OpenAi::new("http://host/v1").expect("a URL");
            let translate = translate.with_vendor(Vendor::named(name).expect("known"));
            let provider = Provider::new("p", upstream, translate);
            let service = ReframeLayer::new(Dialect::openai())
                .timer(NoTimer)
                .layer(provider);
            let ask = r#"{"model":"asked","messages":[{"role":"user","content":"Hi"}]}"#;
            let request = http::Request::post("/")
                .body(Full::new(ask))
                .expect("a request");
            let response = service.oneshot(request).await.expect("infallible");
            let what = format!("{name}: {case}");
            assert_eq!(response.status(), 200, "{what}");
            let tally = response.extensions().get::<Tally>().expect("kept").clone();
            let body = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            let answer: Value = serde_json::from_slice(&body).expect("JSON");
            let choice = &answer["choices"][0];
            let message = &choice["message"];
            let calls: Vec<Value> = list(&message["tool_calls"])
                .iter()
                .map(|call| {
                    assert_eq!(call["type"], "function", "{what}");
                    assert!(
                        call["id"].as_str().is_some_and(|id| !id.is_empty()),
                        "{what}"
                    );
                    json!([call["function"]["name"], call["function"]["arguments"]])
                })
                .collect();
            let mut told = json!({"finish": choice["finish_reason"]});
            let mut put = |name: &str, value: Value| {
                if !(value.is_null() || value == "" || value == 0 || value == json!([])) {
                    told[name] = value;
                }
            };
            put("content", message["content"].clone());
            put("reasoning", message["reasoning_content"].clone());
            put("calls", calls.into());
            let usage = tally.usage();
            put(
                "usage",
                usage.map_or(Value::Null, |it| json!([it.input, it.output, it.total()])),
            );
            put("cached", usage.map_or(0, |it| it.cached_input).into());
            put("reasoned", usage.map_or(0, |it| it.reasoning).into());
            assert_eq!(told, case["told"], "{what}\n{answer}");
            assert_eq!(answer["object"], "chat.completion", "{what}");
            assert_eq!(answer["model"], "asked", "{what}");
            assert!(
                answer["id"].as_str().is_some_and(|id| !id.is_empty()),
                "{what}"
            );
            assert_eq!(message["role"], "assistant", "{what}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_type_is_told_by_its_first_byte() {
    let answer = r#"{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
    let stream = "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for body in [answer, stream] {
        let client = tower::service_fn(move |_: http::Request<Full>| async move {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(body)))
        });
        let translate = OpenAi::new("https://upstream/v1").expect("a URL");
        let provider = Provider::new("p", client, translate);
        let service = ReframeLayer::new(Dialect::openai()).layer(provider);
        let request =
            json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
        let request = http::Request::post("/").body(Full::new(request.to_string()));
        let response = service.oneshot(request.expect("a request")).await;
        let body = response.expect("infallible").into_body();
        let text = body.collect().await.expect("whole").to_bytes();
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert!(text.contains(r#""content":"Hi""#), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
}
