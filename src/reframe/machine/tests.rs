mod deltas;
mod names;
mod shapes;
mod twice;
mod unread;
mod usage;

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
        cost_is_ours: false,
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
    let (out, tally) = told(config, pieces);
    agrees(config, pieces, &tally);
    (out, tally)
}

/// The same, where nobody outside could know as much.
fn told(config: &Config, pieces: &[&[u8]]) -> (String, Tally) {
    let tally = Tally::new();
    let mut machine = Machine::new(config.clone(), MaxSizes::new(), tally.clone());
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
    let mut machine = Machine::new(config(), MaxSizes::new(), Tally::new());
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
        format!("data: {first}\n\ndata: {last}\n\ndata:  [DONE]\n\n"),
        format!("data: {first}\n\ndata: {last}\n\ndata:\t[DONE]\r\n\r\ndata: {last}\n\n"),
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
fn an_error_at_the_end_keeps_its_class_without_a_blank_line() {
    let begun = events(&[&chunk(FIRST), &word("a")]);
    for (last, class) in [
        (
            r#"data: {"error":{"message":"x","code":429}}"#,
            Class::RateLimit,
        ),
        (
            "event: error\ndata: {\"error\":{\"status_code\":503}}\n",
            Class::Overload,
        ),
        // What is cut says nothing.
        (
            r#"data: {"error":{"message":"x","code":429}"#,
            Class::Transient,
        ),
    ] {
        let (out, tally) = reframe(&config(), &format!("{begun}{last}"));
        assert!(!out.contains("[DONE]"), "{out}");
        let Some(Outcome::Failed(error)) = tally.outcome() else {
            panic!("it has failed: {out}");
        };
        assert_eq!(error.class(), Some(class), "{last}");
    }
}

#[test]
fn a_limit_ends_the_stream_too() {
    let tally = Tally::new();
    let mut machine = Machine::new(config(), MaxSizes::new().line(200), tally.clone());
    let frame = machine.push(events(&[&chunk(FIRST), &word(&"x".repeat(200))]).into());
    let frame = frame.expect("an error");
    assert!(frame.starts_with(b"data: {\"id\"") && frame.ends_with(b"}}\n\n"));
    assert!(std::str::from_utf8(&frame).is_ok_and(|text| text.contains("longer than 200 bytes")));
}
