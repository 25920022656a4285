use serde_json::{Value, json};

use super::{super::script::Fault, *};

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
