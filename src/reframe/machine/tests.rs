use super::*;
use crate::{
    dialect::IdFormat,
    meter::Scanner,
    wire::{Counting, Usage},
};

fn config() -> Config {
    Config {
        id: IdFormat::Upstream,
        asked: "\"asked\"".into(),
        model: Some("\"asked\"".into()),
        include_usage: false,
        hold_finish: false,
        done_after_error: false,
        counting: Counting::Plain,
        input_estimate: 7,
        now: Some(1_700_000_000),
    }
}

fn with_usage() -> Config {
    Config {
        include_usage: true,
        ..config()
    }
}

/// What goes out for these pieces, and the tally; every frame is whole events.
fn run(config: &Config, pieces: &[&[u8]]) -> (String, Tally) {
    let tally = Tally::new();
    let mut machine = Machine::new(config.clone(), Limits::new(), tally.clone());
    let mut out = Vec::new();
    let mut frame = |frame: Option<Bytes>| {
        if let Some(frame) = frame {
            assert!(frame.starts_with(b"data: ") && frame.ends_with(b"\n\n"));
            out.extend_from_slice(&frame);
        }
    };
    for piece in pieces {
        frame(machine.push(Bytes::copy_from_slice(piece)));
    }
    if !machine.is_over() {
        frame(machine.end());
    }
    assert!(machine.is_over() && machine.push(Bytes::from_static(b"data: {}\n\n")).is_none());
    agrees(config, pieces, &tally);
    (String::from_utf8(out).expect("UTF-8"), tally)
}

/// A layer outside that has no tally and reads the upstream's bytes itself comes to the same.
fn agrees(config: &Config, pieces: &[&[u8]], tally: &Tally) {
    let seen = Tally::new();
    let mut scanner = Scanner::stream(seen.clone(), config.counting);
    for piece in pieces {
        scanner.push(Bytes::copy_from_slice(piece));
    }
    scanner.end();
    if !complete(tally) {
        // What is not JSON is not its to judge.
        return assert!(!complete(&seen) || tally.content_bytes() <= seen.content_bytes());
    }
    assert!(complete(&seen));
    assert_eq!(seen.content_bytes(), tally.content_bytes());
    assert_eq!(seen.events(), tally.events());
    assert_eq!(seen.model(), tally.model());
    assert_eq!(seen.usage(), tally.usage().filter(|usage| !usage.estimated));
}

/// The same whole, cut at every place, and byte by byte.
fn reframe(config: &Config, input: &str) -> (String, Tally) {
    let expected = run(config, &[input.as_bytes()]);
    for cut in 0..=input.len() {
        let (a, b) = input.as_bytes().split_at(cut);
        let (out, tally) = run(config, &[a, b]);
        assert_eq!(hide(&out), hide(&expected.0), "cut at {cut}");
        assert_eq!(tally.usage(), expected.1.usage());
    }
    let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(hide(&run(config, &bytes).0), hide(&expected.0));
    expected
}

/// Names that were made up differ from run to run.
fn hide(out: &str) -> String {
    let mut out = out.to_owned();
    for prefix in ["call_", "chatcmpl-", "req_"] {
        while let Some(at) = out.find(prefix) {
            let end = (at + prefix.len() + 24).min(out.len());
            out.replace_range(at..end, "NEW");
        }
    }
    out
}

fn events(chunks: &[&str]) -> String {
    chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect()
}

const HEAD: &str = r#""id":"c1","object":"chat.completion.chunk","created":5,"model":"asked""#;

/// `choices` holding these, behind the head.
fn chunk(choices: &str) -> String {
    format!(r#"{{{HEAD},"choices":[{choices}]}}"#)
}

fn data(out: &str) -> Vec<&str> {
    out.split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("data"))
        .collect()
}

const FIRST: &str = r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#;
const LAST: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;

fn word(word: &str) -> String {
    chunk(&format!(
        r#"{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}"#
    ))
}

fn complete(tally: &Tally) -> bool {
    matches!(tally.outcome(), Some(Outcome::Complete))
}

#[test]
fn what_is_canonical_goes_out_as_it_came() {
    let input = events(&[&chunk(FIRST), &word("hé"), &chunk(LAST), "[DONE]"]);
    let (out, tally) = reframe(&config(), &input);
    assert_eq!(out, input);
    assert!(complete(&tally));
    assert_eq!((tally.content_bytes(), tally.events()), (3, 3));
    assert!(tally.usage().is_some_and(|usage| usage.estimated));

    let chunk = Bytes::from(input[..input.len() - 14].to_owned());
    let place = chunk.as_ptr();
    let mut machine = Machine::new(config(), Limits::new(), Tally::new());
    let frame = machine.push(chunk).expect("three events in one frame");
    assert_eq!((frame.as_ptr(), frame.len()), (place, input.len() - 14));
}

#[test]
fn bad_framing_is_made_good() {
    let (first, last) = (chunk(FIRST), chunk(LAST));
    let good = events(&[&first, &last, "[DONE]"]);
    for input in [
        format!(
            "\u{feff}: hello\r\n\r\ndata:{first}\r\n\r\ndata: {last}\r\n\r\ndata:[DONE]\r\n\r\n"
        ),
        format!("data: {first}\r\rid: 7\rretry: 1\rdata:{last}\r\rdata: [DONE]\r\r"),
        format!(
            "event: message\ndata: {first}\n\n: keep-alive\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\ndata: {last}\n\n"
        ),
        format!("data: {first}\n\ndata:\n\ndata: {last}"),
        format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]"),
        format!("data: {first}\n\ndata: {last}\n\ndata: [DONE] \n\ndata: {last}\n\n"),
    ] {
        let (out, tally) = reframe(&config(), &input);
        assert_eq!(out, good, "{input:?}");
        assert!(complete(&tally));
    }
    let spread = "data: {\ndata: \"id\":\"c1\",\"object\":\"chat.completion.chunk\",\ndata: \"created\":5,\"model\":\"asked\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":\"stop\"}]}\n\n";
    let (out, _) = reframe(&config(), spread);
    assert_eq!(data(&out).len(), 2, "{out}");
}

#[test]
fn names_are_pinned_and_the_rest_is_kept() {
    let input = events(&[
        r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[1]}"#,
        r#"{"id":"a","object":"chat.completion.chunk","created":9,"model":"real","x":null,"choices":[{"index":0,"delta":{"content":"a","y":null}}],"obfuscation":"zz"}"#,
        r#"{"id": "b", "created": 10 , "model":"other","choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
    ]);
    let (out, tally) = reframe(&config(), &input);
    assert_eq!(
        data(&out),
        [
            r#"{"id":"a","object":"chat.completion.chunk","created":9,"model":"asked","choices":[],"prompt_filter_results":[1]}"#,
            r#"{"id":"a","object":"chat.completion.chunk","created":9,"model":"asked","x":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"a","y":null}}],"obfuscation":"zz"}"#,
            r#"{"object":"chat.completion.chunk","id": "a", "created": 9 , "model":"asked","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]
    );
    assert_eq!(tally.model().as_deref(), Some("real"));

    let served = Config {
        model: None,
        id: IdFormat::Req,
        ..config()
    };
    let (out, _) = reframe(&served, &input);
    let ids: Vec<_> = data(&out)[..3]
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON"))
        .map(|chunk| (chunk["id"].to_string(), chunk["model"].to_string()))
        .collect();
    assert!(ids[0].0.starts_with("\"req_") && ids[0].0 == ids[2].0);
    assert_eq!(ids[2].1, "\"real\"");

    let bare = r#"{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}"#;
    let (out, _) = reframe(&config(), &events(&[bare, "[DONE]"]));
    let made: serde_json::Value = serde_json::from_str(data(&out)[0]).expect("JSON");
    assert!(
        made["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("chatcmpl-"))
    );
    assert_eq!(made["created"], 1_700_000_000);
}

#[test]
fn usage_comes_last_or_not_at_all() {
    let usage = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let at_end = format!(r#"{{{HEAD},"choices":[],"usage":{usage}}}"#);
    let null = |chunk: &str| chunk.replacen('{', r#"{"usage":null,"#, 1);
    let with =
        |chunk: &str, value: &str| format!(r#"{},"usage":{value}}}"#, &chunk[..chunk.len() - 1]);
    let (first, last) = (chunk(FIRST), chunk(LAST));
    let forms = [
        // As OpenAI does when asked, and without the nulls.
        [with(&first, "null"), with(&last, "null"), at_end.clone()].to_vec(),
        [first.clone(), last.clone(), at_end.clone()].to_vec(),
        // On the finish, on every chunk, in a repeated finish chunk, in the choice, at Groq.
        [first.clone(), with(&last, usage)].to_vec(),
        [
            with(&first, r#"{"prompt_tokens":3,"completion_tokens":0}"#),
            with(&last, usage),
        ]
        .to_vec(),
        [
            with(&first, r#"{"prompt_tokens":3,"completion_tokens":0}"#),
            last.clone(),
            at_end.clone(),
        ]
        .to_vec(),
        [
            first.clone(),
            last.replace(r#""index":0,"#, &format!(r#""index":0,"usage":{usage},"#)),
        ]
        .to_vec(),
        [
            first.clone(),
            format!(
                r#"{},"x_groq":{{"id":"r","usage":{usage}}}}}"#,
                &last[..last.len() - 1]
            ),
        ]
        .to_vec(),
    ];
    for form in forms {
        let form: Vec<&str> = form.iter().map(String::as_str).collect();
        let input = events(&form) + "data: [DONE]\n\n";
        let (out, tally) = reframe(&with_usage(), &input);
        assert_eq!(tally.usage(), Some(Usage::new(3, 2)));
        let out = data(&out);
        assert_eq!(out.len(), 4, "{out:?}");
        assert_eq!(out[2], at_end);
        for chunk in &out[..2] {
            let value: serde_json::Value = serde_json::from_str(chunk).expect("JSON");
            assert!(
                value.get("usage").is_some_and(serde_json::Value::is_null),
                "{chunk}"
            );
            assert_eq!(chunk.matches("\"usage\":null").count(), 1);
        }

        let (out, tally) = reframe(&config(), &input);
        assert_eq!(tally.usage(), Some(Usage::new(3, 2)));
        let kept: Vec<_> = data(&out)
            .into_iter()
            .filter(|text| !text.contains("x_groq"))
            .collect();
        assert!(kept.iter().all(|text| !text.contains("usage")), "{out}");
        assert_eq!(data(&out).len(), 3);
    }
    let (out, tally) = reframe(
        &with_usage(),
        &events(&[&first, &word("12345"), &last, "[DONE]"]),
    );
    assert_eq!(data(&out)[0], null(&first));
    assert!(out.contains(
        r#""usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"estimated":true}"#
    ));
    assert!(tally.usage().is_some_and(|usage| usage.estimated));
}

#[test]
fn the_finish_waits_for_the_usage_when_told_to() {
    let hold = Config {
        hold_finish: true,
        ..config()
    };
    let at_end = format!(r#"{{{HEAD},"choices":[],"usage":{{"prompt_tokens":3}}}}"#);
    let tally = Tally::new();
    let mut machine = Machine::new(hold, Limits::new(), tally.clone());
    let push = |machine: &mut Machine, text: &str| machine.push(events(&[text]).into());
    assert!(push(&mut machine, &chunk(FIRST)).is_some());
    assert!(push(&mut machine, &chunk(LAST)).is_none());
    let frame = push(&mut machine, &at_end).expect("the finish");
    assert!(frame.ends_with(b"\"finish_reason\":\"stop\"}]}\n\n") && tally.usage().is_some());
    assert_eq!(push(&mut machine, "[DONE]").expect("the end"), DONE);
}

#[test]
fn tool_calls_are_counted_from_0_and_named_once() {
    let delta = |calls: &str| {
        chunk(&format!(
            r#"{{"index":0,"delta":{{"tool_calls":[{calls}]}}}}"#
        ))
    };
    let first = chunk(r#"{"index":0,"delta":{"role":"assistant","content":null}}"#);
    let finish = chunk(r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#);
    for (sent, expected) in [
        // As OpenAI does.
        (
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{}"}}"#,
            ],
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{}"}}"#,
            ],
        ),
        // All at index 0; indexes from 1; names repeated; empty ids.
        (
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"1"}},{"index":0,"id":"b","type":"function","function":{"name":"g","arguments":"2"}}"#,
                r#"{"index":0,"function":{"arguments":"3"}}"#,
            ],
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"1"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"2"}}"#,
                r#"{"index":1,"function":{"arguments":"3"}}"#,
            ],
        ),
        (
            vec![
                r#"{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":"1"}}"#,
                r#"{"index":1,"id":"","type":null,"function":{"name":null,"arguments":"2"}}"#,
                r#"{"index":2,"id":"b","type":"function","function":{"name":"g","arguments":""}}"#,
            ],
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"1"}}"#,
                r#"{"index":0,"function":{"arguments":"2"}}"#,
                r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}"#,
            ],
        ),
        // Without index and type; arguments as an object; the id behind the function.
        (
            vec![
                r#"{"function":{"name":"f","arguments":{"a":1}},"id":"a"},{"id":"b","function":{"name":"g","arguments":"{}"}}"#,
            ],
            vec![
                r#"{"index":0,"type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"id":"a"},{"index":1,"type":"function","id":"b","function":{"name":"g","arguments":"{}"}}"#,
            ],
        ),
        // One id for all: whole calls of other names or arguments, also at one index or at none.
        (
            vec![
                r#"{"index":0,"id":"0","type":"function","function":{"name":"f","arguments":"{}"}}"#,
                r#"{"index":0,"id":"0","type":"function","function":{"name":"g","arguments":""}}"#,
                r#"{"index":0,"id":"0","type":"function","function":{"name":"g","arguments":"{}"}}"#,
                r#"{"index":1,"id":"0","type":"function","function":{"name":"g","arguments":"{\"a\":1}"}}"#,
                r#"{"index":1,"id":"0","type":"function","function":{"name":"g","arguments":"{\"}"}}"#,
                r#"{"index":1,"id":"0","type":"function","function":{"name":"g","arguments":"{\"a\":2}"}}"#,
            ],
            vec![
                r#"{"index":0,"id":"0","type":"function","function":{"name":"f","arguments":"{}"}}"#,
                r#"{"index":1,"id":"NEW","type":"function","function":{"name":"g","arguments":""}}"#,
                r#"{"index":1,"function":{"arguments":"{}"}}"#,
                r#"{"index":2,"id":"NEW","type":"function","function":{"name":"g","arguments":"{\"a\":1}"}}"#,
                r#"{"index":2,"function":{"arguments":"{\"}"}}"#,
                r#"{"index":3,"id":"NEW","type":"function","function":{"name":"g","arguments":"{\"a\":2}"}}"#,
            ],
        ),
        (
            vec![
                r#"{"id":"0","type":"function","function":{"name":"f","arguments":{}}},{"id":"0","type":"function","function":{"name":"f","arguments":{"a":1}}}"#,
                r#"{"id":"0","type":"function","function":{"name":"g","arguments":"{}"}}"#,
            ],
            vec![
                r#"{"index":0,"id":"0","type":"function","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"NEW","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}"#,
                r#"{"index":2,"id":"NEW","type":"function","function":{"name":"g","arguments":"{}"}}"#,
            ],
        ),
        // A name that comes late, once.
        (
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"name":"","arguments":""}}"#,
                r#"{"index":0,"function":{"name":"f","arguments":"{"}}"#,
                r#"{"index":0,"function":{"name":"f","arguments":"}"}}"#,
                r#"{"index":0,"function":{"name":"f","arguments":" "}}"#,
                r#"{"index":1,"id":"b","type":"function"}"#,
                r#"{"index":1,"id":"b","function":{"name":"g","arguments":""}}"#,
            ],
            vec![
                r#"{"index":0,"id":"a","type":"function","function":{"arguments":""}}"#,
                r#"{"index":0,"function":{"name":"f","arguments":"{"}}"#,
                r#"{"index":0,"function":{"arguments":"}"}}"#,
                r#"{"index":0,"function":{"arguments":" "}}"#,
                r#"{"index":1,"id":"b","type":"function"}"#,
                r#"{"index":1,"function":{"name":"g","arguments":""}}"#,
            ],
        ),
        (
            vec![r#"{"index":0,"id":"a","custom":{"name":"f","input":"x"}}"#],
            vec![r#"{"type":"custom","index":0,"id":"a","custom":{"name":"f","input":"x"}}"#],
        ),
    ] {
        let wrap = |calls: &[&str]| {
            let mut chunks = vec![first.clone()];
            chunks.extend(calls.iter().map(|calls| delta(calls)));
            chunks.push(finish.clone());
            let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
            events(&chunks) + "data: [DONE]\n\n"
        };
        let (out, _) = reframe(&config(), &wrap(&sent));
        assert_eq!(hide(&out), wrap(&expected));
    }
    let nameless = delta(r#"{"index":0,"function":{"name":"f","arguments":""}}"#);
    let (out, _) = reframe(&config(), &events(&[&first, &nameless, &finish]));
    assert!(data(&out)[1].contains(r#"{"id":"call_"#), "{out}");
}

#[test]
fn deltas_of_all_vendors() {
    for (sent, expected) in [
        (
            r#"{"role":"","content":"a"}"#,
            r#"{"role":"assistant","content":"a"}"#,
        ),
        (
            r#"{"reasoning":"hm"}"#,
            r#"{"role":"assistant","reasoning_content":"hm"}"#,
        ),
        (
            r#"{"role":"assistant","reasoning_content":"hm","reasoning":"hm"}"#,
            r#"{"role":"assistant","reasoning_content":"hm"}"#,
        ),
        // Both, in either order, and one that says nothing.
        (
            r#"{"reasoning":"hm","role":"assistant","reasoning_content":"hm"}"#,
            r#"{"reasoning_content":"hm","role":"assistant"}"#,
        ),
        (
            r#"{"reasoning":"h","role":"assistant","reasoning_content":"hmm"}"#,
            r#"{"reasoning_content":"hmm","role":"assistant"}"#,
        ),
        (
            r#"{"reasoning_content":"hmm","role":"assistant","reasoning":"h"}"#,
            r#"{"reasoning_content":"hmm","role":"assistant"}"#,
        ),
        (
            r#"{"reasoning":"hm","reasoning_content":null,"role":"assistant"}"#,
            r#"{"reasoning_content":"hm","role":"assistant"}"#,
        ),
        (
            r#"{"role":"assistant","reasoning_content":null,"reasoning":"hm"}"#,
            r#"{"role":"assistant","reasoning_content":"hm"}"#,
        ),
        (
            r#"{"role":"assistant","reasoning_content":"","reasoning":"hm","content":"a"}"#,
            r#"{"role":"assistant","reasoning_content":"hm","content":"a"}"#,
        ),
        (
            r#"{"reasoning":null,"reasoning_content":"hm","role":"assistant"}"#,
            r#"{"reasoning":null,"reasoning_content":"hm","role":"assistant"}"#,
        ),
        (
            r#"{"role":null,"content":"a"}"#,
            r#"{"role":"assistant","content":"a"}"#,
        ),
        ("{}", r#"{"role":"assistant"}"#),
        ("null", r#"{"role":"assistant"}"#),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h\n"}]},{"type":"text","text":"a"}]}"#,
            r#"{"reasoning_content":"h\n","role":"assistant","content":"a"}"#,
        ),
        (
            r#"{"content":"a","reasoning_details":[{"type":"x"}],"annotations":null}"#,
            r#"{"role":"assistant","content":"a","reasoning_details":[{"type":"x"}],"annotations":null}"#,
        ),
    ] {
        let input = chunk(&format!(
            r#"{{"index":0,"delta":{sent},"finish_reason":"stop"}}"#
        ));
        let output = chunk(&format!(
            r#"{{"index":0,"delta":{expected},"finish_reason":"stop"}}"#
        ));
        let (out, _) = reframe(&config(), &events(&[&input]));
        assert_eq!(out, events(&[&output, "[DONE]"]));
    }
    for (sent, expected) in [
        (
            r#"{"finish_reason":"eos","delta":{"role":"assistant"},"index":0}"#,
            "stop",
        ),
        (
            r#"{"index":0,"finish_reason":"model_length","message":{"a":1},"delta":{"role":"assistant"}}"#,
            "length",
        ),
    ] {
        let (out, _) = reframe(&config(), &events(&[&chunk(sent)]));
        assert!(
            out.contains(&format!("\"finish_reason\":\"{expected}\"")),
            "{out}"
        );
        assert!(!out.contains("message"));
    }
}

#[test]
fn a_broken_stream_ends_with_one_error() {
    let first = chunk(FIRST);
    let (begun, finished) = (word("a"), chunk(LAST));
    for (tail, message) in [
        (String::new(), "before the answer was finished"),
        (
            "data: {\"id\":\"c1\",\"cho".into(),
            "before the answer was finished",
        ),
        (events(&["{nonsense}"]), "not valid JSON"),
        (events(&["[1]"]), "not valid JSON"),
        (
            events(&[r#"{"error":{"message":"secret","code":429}}"#]),
            "rate limit is reached",
        ),
        (
            events(&[r#"{"error":"secret","choices":[]}"#]),
            "failed to answer",
        ),
        (
            format!(
                "event: error\n{}",
                events(&[r#"{"error":{"status_code":503}}"#])
            ),
            "overloaded",
        ),
        (
            events(&[&chunk(r#"{"index":0,"delta":{},"finish_reason":"error"}"#)]),
            "failed to answer",
        ),
        (
            events(&[
                r#"{"error":{"message":"`n` is wrong, says sk-secret123","type":"invalid_request_error","param":"n"}}"#,
            ]),
            "`n` is wrong, says […]",
        ),
        (
            events(&[r#"{"object":"error","message":"too long for me","code":400}"#]),
            "too long for me",
        ),
        (events(&[r#"[{"error":{"code":503}}]"#]), "overloaded"),
        (events(&[r#"{"detail":"secret"}"#]), "failed to answer"),
        (
            events(&[&chunk(r#"{"index":1,"delta":{}}"#), &finished]),
            "before the answer was finished",
        ),
    ] {
        let input = events(&[&first, &begun]) + &tail;
        let (out, tally) = reframe(&config(), &input);
        let out = data(&out);
        assert_eq!(out[..2], [first.as_str(), begun.as_str()]);
        let last: serde_json::Value =
            serde_json::from_str(out.last().expect("some")).expect("JSON");
        let said = last["error"]["message"].as_str().expect("a message");
        assert!(said.contains(message), "{said}");
        assert!(!said.contains("secret"));
        assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
    }
    let (out, _) = reframe(&config(), "data: [DONE]\n\n");
    assert!(out.starts_with(r#"data: {"error""#) && !out.contains("[DONE]"));
    let (out, _) = run(
        &Config {
            done_after_error: true,
            ..config()
        },
        &[],
    );
    assert!(out.ends_with("}}\n\ndata: [DONE]\n\n"));
    // A stream without a finish that says it is done is taken at its word.
    let (out, tally) = reframe(&config(), &events(&[&first, "[DONE]"]));
    assert!(out.ends_with("[DONE]\n\n") && complete(&tally));
}

#[test]
fn a_limit_ends_the_stream_too() {
    let tally = Tally::new();
    let mut machine = Machine::new(config(), Limits::new().line(200), tally.clone());
    let frame = machine.push(events(&[&chunk(FIRST), &word(&"x".repeat(200))]).into());
    let frame = frame.expect("an error");
    assert!(frame.starts_with(b"data: {\"id\"") && frame.ends_with(b"}}\n\n"));
    assert!(std::str::from_utf8(&frame).is_ok_and(|text| text.contains("longer than 200 bytes")));
}

#[test]
fn what_looks_like_the_last_event_is_treated_alike() {
    let with = |head: &str, word: &str, filler: &str| {
        let delta = format!(r#"{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}"#);
        format!(r#"{{{head},"choices":[{delta}],"obfuscation":"{filler}"}}"#)
    };
    let other = HEAD.replace("c1", "c2").replace("asked", "real");
    let words = ["a", "", "b\\n", "ü", "c\\\"", "d", "\\u00e9", "e", "f"];
    for head in [HEAD, &other] {
        for config in [config(), with_usage()] {
            let mut sent = vec![chunk(FIRST)];
            let mut expected = vec![chunk(FIRST)];
            for (at, word) in words.iter().enumerate() {
                sent.push(with(head, word, &"x".repeat(at)));
                expected.push(with(HEAD, word, &"x".repeat(at)));
            }
            sent.push(chunk(LAST));
            let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
            let (out, tally) = reframe(&config, &events(&sent));
            let out: Vec<_> = data(&out)
                .into_iter()
                .map(|text| text.replacen(r#""usage":null,"#, "", 1))
                .collect();
            assert_eq!(out[..expected.len()], expected);
            assert_eq!(tally.events(), 11);
            assert_eq!(tally.content_bytes(), words.concat().len() as u64);
        }
    }
    // A control character is no JSON, whatever it stands between.
    let bad = events(&[&chunk(FIRST), &with(HEAD, "a", ""), &with(HEAD, "b\tc", "")]);
    let (out, _) = reframe(&config(), &bad);
    assert!(out.contains("not valid JSON"));
}

/// What goes out for these pieces and what is known of it then, with every event read in full or
/// with those passed that look like the last.
fn outcome(config: &Config, limits: Limits, pieces: &[&[u8]], in_full: bool) -> (String, String) {
    let tally = Tally::new();
    let mut machine = Machine::new(config.clone(), limits, tally.clone());
    if in_full {
        // So many in a row did not fit that nothing is kept to look like.
        machine.sink.misses = u32::MAX;
    }
    let mut out = Vec::new();
    let mut all = |machine: &mut Machine, mut frame: Option<Bytes>| {
        while let Some(bytes) = frame {
            assert!(bytes.starts_with(b"data: ") && bytes.ends_with(b"\n\n"));
            out.extend_from_slice(&bytes);
            frame = machine.more();
        }
    };
    for piece in pieces {
        let frame = machine.push(Bytes::copy_from_slice(piece));
        all(&mut machine, frame);
    }
    if !machine.is_over() {
        let frame = machine.end();
        all(&mut machine, frame);
    }
    assert!(machine.is_over());
    assert!(!in_full || machine.sink.pattern.is_none());
    let said = format!(
        "{:?} {:?} {} {} {:?}",
        tally.usage(),
        tally.model(),
        tally.content_bytes(),
        tally.events(),
        tally.outcome().map(|outcome| match outcome {
            Outcome::Complete => "complete".to_owned(),
            Outcome::Failed(error) => error.message().to_owned(),
        }),
    );
    (hide(&String::from_utf8(out).expect("UTF-8")), said)
}

/// Numbers that look random, the same in every run.
fn draw(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % below as u64) as usize
}

#[test]
fn what_passes_unread_is_what_reading_would_have_let_pass() {
    let head = r#""id":"c1","object":"chat.completion.chunk","created":5,"model":"m""#;
    let event = |word: &str| {
        format!(r#"data: {{{head},"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#)
    };
    let filled = |word: &str| {
        format!(
            r#"data: {{{head},"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}],"obfuscation":"x{word}"}}"#
        )
    };
    let words = [
        "a",
        "",
        " b\\n",
        "ü→",
        "\\u00e9\\\"",
        "c",
        "d d d d d d d d d d d d d",
    ];
    let end = format!(
        r#"data: {{{head},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}"#
    );
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    let pieces: [&[u8]; 16] = [
        b"\"", b"\\", b"\n", b"\r", b"\n\n", b"\r\n", b"\x00", b"\x1f", b"\x80", b"\xc3", b"{",
        b"}", b",", b"\\u12", b"data: ", b"\\ud800",
    ];
    let served = Config {
        model: None,
        ..config()
    };
    let limits = Limits::new();
    let tight = Limits::new().line(160);
    // `ROUNDS=4000` for the long form.
    let rounds = std::env::var("ROUNDS").ok();
    for round in 0..rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(96) {
        let made: Vec<String> = words
            .iter()
            .map(|word| {
                if round % 2 == 0 {
                    event(word)
                } else {
                    filled(word)
                }
            })
            .collect();
        let eol = ["\n\n", "\n\n", "\n\n", "\r\n\r\n"][round % 4];
        let mut text = made.join(eol).into_bytes();
        for part in [eol, &end, eol, "data: [DONE]\n\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        // Half of them with a mistake or two, anywhere.
        for _ in 0..(round / 4) % 3 {
            let at = draw(&mut seed, text.len());
            let piece = pieces[draw(&mut seed, pieces.len())];
            let taken = draw(&mut seed, 3);
            let to = (at + taken).min(text.len());
            text.splice(at..to, piece.iter().copied());
        }
        let limits = if round % 8 == 7 { tight } else { limits };
        for config in [&served, &config(), &with_usage()] {
            let whole = outcome(config, limits, &[&text], true);
            assert_eq!(outcome(config, limits, &[&text], false), whole, "{round}");
            for cut in (0..text.len()).skip(round % 11).step_by(11) {
                let (a, b) = text.split_at(cut);
                let cut = outcome(config, limits, &[a, b], false);
                assert_eq!(cut, whole, "{round}");
            }
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let each = text
                .windows(2)
                .enumerate()
                .filter(|(_, end)| end == b"\n\n");
            let mut from = 0;
            let mut events: Vec<&[u8]> = each
                .map(|(at, _)| &text[std::mem::replace(&mut from, at + 2).min(at)..at + 2])
                .collect();
            events.push(&text[from..]);
            for pieces in [bytes, lines, events] {
                assert_eq!(outcome(config, limits, &pieces, false), whole, "{round}");
            }
        }
    }
}

#[test]
fn much_that_passes_is_never_copied() {
    let middle: Vec<String> = (0..100).map(|at| word(&format!("w{at}"))).collect();
    let first = events(&[&chunk(FIRST)]);
    let middle = events(&middle.iter().map(String::as_str).collect::<Vec<_>>());
    let usage = format!(r#"{{{HEAD},"choices":[],"usage":{{"prompt_tokens":3}}}}"#);
    let last = events(&[&chunk(LAST), &usage, "[DONE]"]);
    let all = Bytes::from(format!("{first}{middle}{last}"));
    let passing = first.len() + middle.len() + events(&[&chunk(LAST)]).len();
    let tally = Tally::new();
    let mut machine = Machine::new(config(), Limits::new(), tally.clone());
    let frame = machine.push(all.clone()).expect("what passes");
    assert_eq!((frame.as_ptr(), frame.len()), (all.as_ptr(), passing));
    assert!(machine.has_ended() && !machine.is_over());
    assert_eq!(machine.more().expect("the end"), DONE);
    assert!(machine.is_over() && machine.more().is_none() && complete(&tally));

    // An event that spans two reads goes before what passes.
    let (begun, rest) = first.split_at(first.len() - 7);
    let rest = Bytes::from(format!("{rest}{middle}"));
    let mut machine = Machine::new(config(), Limits::new(), Tally::new());
    assert!(machine.push(begun.to_owned().into()).is_none());
    assert_eq!(machine.push(rest.clone()).expect("the first"), first);
    let frame = machine.more().expect("what passes");
    assert_eq!(
        (&frame, frame.as_ptr()),
        (&rest.slice(7..), rest[7..].as_ptr())
    );
    assert!(machine.more().is_none());
}

#[test]
fn a_choice_that_failed_fails_the_stream() {
    let begun = chunk(r#"{"index":0,"delta":{"role":"assistant","content":"a"}}"#);
    let failed = chunk(r#"{"index":0,"error":{"code":502,"message":"died"}}"#);
    let (out, _) = reframe(&config(), &events(&[&begun, &failed]));
    assert!(
        out.contains("bad_upstream_response") && !out.contains("[DONE]"),
        "{out}"
    );
}
