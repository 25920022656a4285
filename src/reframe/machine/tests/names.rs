//! What the chunks of a stream are called: one name for all.

use super::*;

fn served() -> Config {
    Config {
        model: None,
        ..config()
    }
}

/// A chunk with these members before its choices, and this delta.
fn named(names: &str, delta: &str) -> String {
    format!(
        r#"{{{names}"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#
    )
}

const ROLE: &str = r#"{"role":"assistant","content":""}"#;
const NONE: &str = r#""id":"","created":0,"model":"","#;
const UP: &str = r#""id":"up","created":5,"model":"m","#;

#[test]
fn the_first_name_that_is_given_is_that_of_all() {
    let word = named(UP, r#"{"content":"a"}"#);
    let end = |names: &str| named(names, "{}").replace(r#"n":null"#, r#"n":"stop""#);
    let filters = r#"{"id":"","created":0,"model":"","choices":[],"prompt_filter_results":[]}"#;
    for first in [
        vec![named(NONE, ROLE)],
        vec![named("", ROLE)],
        vec![named(r#""id":"up","created":5,"model":"","#, ROLE)],
        vec![named(r#""id":"up","created":0,"model":"m","#, ROLE)],
        vec![named(r#""id":"up","created":null,"model":"m","#, ROLE)],
        vec![named(r#""id":"up","created":5.0,"model":"m","#, ROLE)],
        vec![named(
            NONE,
            r#"{"role":"assistant","content":null,"tool_calls":[]}"#,
        )],
        vec![filters.to_owned(), named(NONE, ROLE)],
        vec![
            named(r#""id":"up","#, ROLE),
            named(r#""id":"other","model":"m","#, "{}"),
        ],
        vec![],
    ] {
        let mut chunks = first.clone();
        chunks.extend([word.clone(), end(r#""id":"x","created":9,"model":"y","#)]);
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        let (out, _) = reframe(&served(), &events(&chunks));
        let out = data(&out);
        assert_eq!(out.len(), chunks.len() + 1, "{first:?}");
        for chunk in &out[..chunks.len()] {
            for name in [r#""id":"up""#, r#""created":5"#, r#""model":"m""#] {
                assert!(chunk.contains(name), "{first:?} {chunk}");
            }
        }
    }
}

#[test]
fn nothing_that_is_said_waits_for_a_name() {
    for delta in [
        r#"{"role":"assistant","content":"a"}"#,
        r#"{"reasoning_content":"a"}"#,
        r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#,
    ] {
        let mut machine = Machine::new(served(), MaxSizes::new(), Tally::new());
        let first = machine.push(events(&[&named(NONE, ROLE)]).into());
        assert!(first.is_none() && machine.is_waiting());
        let both = machine.push(events(&[&named(NONE, delta)]).into());
        let both = both.expect("what was said");
        assert_eq!(memchr::memmem::find_iter(&both, b"chatcmpl-").count(), 2);
        assert!(!machine.is_waiting());
    }
    // Nor does the error that a stream begins with, or the ninth event.
    let mut machine = Machine::new(served(), MaxSizes::new(), Tally::new());
    let error = machine.push(events(&[r#"{"error":{"code":429},"choices":[]}"#]).into());
    assert!(error.is_some() && machine.is_over());
    let mut machine = Machine::new(served(), MaxSizes::new(), Tally::new());
    let nine = events(&[&*named(NONE, ROLE); 9]);
    assert!(machine.push(nine.into()).is_some());
}

#[test]
fn what_nobody_names_goes_out_under_ours() {
    for end in ["", "data: [DONE]\n\n"] {
        let stream = events(&[&named("", ROLE)]) + end;
        let (out, _) = reframe(&config(), &stream);
        assert!(out.contains("chatcmpl-") && out.contains(r#""created":1700000000"#));
    }
}
