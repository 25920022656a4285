//! What becomes of the deltas of a choice.

use super::*;

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
        (
            r#"{"index":0,"finish_reason":"STOP","delta":{"role":"assistant","content":"a"}}"#,
            "stop",
        ),
        (
            r#"{"index":0,"finish_reason":"STOP","delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}"#,
            "tool_calls",
        ),
        (
            r#"{"index":0,"finish_reason":"tool_use","delta":{"content":"a"}}"#,
            "tool_calls",
        ),
        (
            r#"{"index":0,"finish_reason":"content_filter: PROHIBITED_CONTENT","delta":{"content":"a"}}"#,
            "content_filter",
        ),
        (
            r#"{"index":0,"finish_reason":"sensitive","delta":{"content":"a"}}"#,
            "content_filter",
        ),
        (
            r#"{"index":0,"finish_reason":"model_context_window_exceeded","delta":{"content":"a"}}"#,
            "length",
        ),
        (
            r#"{"index":0,"finish_reason":"of_tomorrow","delta":{"content":"a"}}"#,
            "of_tomorrow",
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
fn a_choice_that_failed_fails_the_stream() {
    let begun = chunk(r#"{"index":0,"delta":{"role":"assistant","content":"a"}}"#);
    let failed = chunk(r#"{"index":0,"error":{"code":502,"message":"died"}}"#);
    let (out, _) = reframe(&config(), &events(&[&begun, &failed]));
    assert!(
        out.contains("bad_upstream_response") && !out.contains("[DONE]"),
        "{out}"
    );
}

#[test]
fn a_reason_that_tells_of_a_break_fails_the_stream() {
    let begun = chunk(r#"{"index":0,"delta":{"role":"assistant","content":"a"}}"#);
    for reason in [
        "error",
        "abort",
        "insufficient_system_resource",
        "network_error",
    ] {
        let choice = format!(r#"{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}"#);
        let sent = events(&[&begun, &chunk(&choice), "[DONE]"]);
        let (out, tally) = reframe(&config(), &sent);
        assert!(
            out.contains("bad_upstream_response") && !out.contains("[DONE]"),
            "{out}"
        );
        assert!(
            matches!(tally.outcome(), Some(Outcome::Failed(_))),
            "{reason}"
        );
    }
}

/// What the client gets of these choices, each in a chunk of its own, and how many bytes were counted
/// here and by one who reads outside.
fn told(choices: &[&str]) -> (Vec<String>, u64, u64) {
    let sent: Vec<String> = choices.iter().map(|choice| chunk(choice)).collect();
    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
    let (out, tally) = reframe(&config(), &(events(&sent) + "data: [DONE]\n\n"));
    let outside = |text: &str| {
        let counted = crate::meter::Tally::new();
        let mut scanner =
            crate::meter::Scanner::stream(counted.clone(), crate::wire::Counting::Plain);
        scanner.push(text.to_owned().into());
        counted.content_bytes()
    };
    // It counts the same of what came in and of what goes out.
    let counted = outside(&events(&sent));
    assert_eq!(counted, outside(&out), "{out}");
    let out = data(&out).into_iter().filter(|data| *data != "[DONE]");
    (
        out.map(str::to_owned).collect(),
        tally.content_bytes(),
        counted,
    )
}

#[test]
fn a_message_in_place_of_a_delta_is_passed_on_as_one() {
    for (sent, expected, bytes) in [
        // The whole answer.
        (
            vec![
                r#"{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}"#,
            ],
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}"#,
            ],
            2,
        ),
        // Before the index, without a role, with a call.
        (
            vec![
                r#"{"message":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"index":0,"finish_reason":"tool_calls"}"#,
            ],
            vec![
                r#"{"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"index":0,"finish_reason":"tool_calls"}"#,
            ],
            2,
        ),
        // Beside a delta that is null, in either order.
        (
            vec![
                r#"{"index":0,"delta":null,"message":{"content":"Hi"}}"#,
                r#"{"index":0,"message":{"content":"!"},"delta":null,"finish_reason":"stop"}"#,
            ],
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":"Hi"}}"#,
                r#"{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}"#,
            ],
            3,
        ),
        // Behind a role.
        (
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":""}}"#,
                r#"{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}"#,
            ],
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":""}}"#,
                r#"{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}"#,
            ],
            2,
        ),
        // What has been told in deltas is not told again.
        (
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":"H"}}"#,
                r#"{"index":0,"delta":{"content":"i"},"message":{"content":"Hi"}}"#,
                r#"{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}"#,
            ],
            vec![
                r#"{"index":0,"delta":{"role":"assistant","content":"H"}}"#,
                r#"{"index":0,"delta":{"content":"i"}}"#,
                r#"{"index":0,"finish_reason":"stop","delta":{}}"#,
            ],
            2,
        ),
    ] {
        let (out, counted, outside) = told(&sent);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        let out: Vec<_> = out.iter().map(|text| parse(text)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|choice| parse(&chunk(choice)))
            .collect();
        assert_eq!(out, expected);
        assert_eq!((counted, outside), (bytes, bytes), "{sent:?}");
    }
}
