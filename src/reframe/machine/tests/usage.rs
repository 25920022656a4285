//! Where the usage of a stream stands.

use super::*;

/// Beside the finish or behind it, alone or with a choice: what is told is what is charged.
#[test]
fn a_usage_that_cannot_be_is_told_as_it_is_charged() {
    let usage = r#""usage":{"prompt_tokens":-1,"completion_tokens":0.5,"total_tokens":1e99}"#;
    let chunk = |rest: &str| {
        format!(
            r#"data: {{"id":"a","object":"chat.completion.chunk","created":1,"model":"m",{rest}}}"#
        ) + "\n\n"
    };
    let text =
        chunk(r#""choices":[{"index":0,"delta":{"role":"assistant","content":"eight by"}}]"#);
    let finish = r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#;
    for end in [
        chunk(finish) + &chunk(&format!(r#""choices":[],{usage}"#)),
        chunk(&format!("{finish},{usage}")),
    ] {
        let whole = format!("{text}{end}data: [DONE]\n\n");
        let (out, tally) = told(&with_usage(), &[whole.as_bytes()]);
        let wanted = r#""choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"estimated":true}"#;
        assert!(out.contains(wanted), "{out}");
        assert!(!out.contains("1e99"), "{out}");
        let used = tally.used(7).expect("noted");
        assert_eq!((used.input, used.output), (7, 2));
    }
}

#[test]
fn a_prompt_that_is_more_than_cached_is_told_as_it_is_charged() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}"#;
    let last = chunk(LAST);
    let with = format!("{},{usage}}}", &last[..last.len() - 1]);
    let input = events(&[&chunk(FIRST), &with, "[DONE]"]);
    let (out, tally) = reframe(&with_usage(), &input);
    let wanted = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":3},"estimated":true}"#;
    assert!(out.contains(wanted), "{out}");
    let used = tally.used(7).expect("noted");
    assert_eq!((used.input, used.cached_input, used.output), (3, 3, 2));
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
fn a_vendor_says_why_it_breaks_off_in_a_member_of_its_own() {
    const HEAD: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":"#;
    for (error, fails) in [(r#""over capacity""#, true), ("null", false)] {
        let text = format!(
            "{HEAD}{{\"content\":\"a\"}},\"finish_reason\":null}}]}}\n\n\
             {HEAD}{{}},\"finish_reason\":\"stop\"}}],\"x_groq\":{{\"id\":\"r\",\"error\":{error}}}}}\n\ndata: [DONE]\n\n"
        );
        let (out, _) = told(&config(), &[text.as_bytes()]);
        assert_eq!(out.contains("[DONE]"), !fails, "{out}");
        assert_eq!(out.contains(r#""error":{"#), fails, "{out}");
    }
}

#[test]
fn usage_in_an_event_without_choices_comes_last_or_not_at_all() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let at_end = format!(r#"{{{HEAD},"choices":[],{usage}}}"#);
    let at_end: serde_json::Value = serde_json::from_str(&at_end).expect("JSON");
    for bare in [
        format!("{{{HEAD},{usage}}}"),
        format!(r#"{{{HEAD},"choices":null,{usage}}}"#),
        format!("{{{usage}}}"),
    ] {
        for place in 1..=3 {
            let mut all = vec![chunk(FIRST), word("12345"), chunk(LAST)];
            all.insert(place, bare.clone());
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let input = events(&all) + "data: [DONE]\n\n";

            let (out, tally) = reframe(&with_usage(), &input);
            assert_eq!(tally.usage(), Some(Usage::new(3, 2)));
            let out = data(&out);
            assert_eq!(out.len(), 5, "{out:?}");
            let last: serde_json::Value = serde_json::from_str(out[3]).expect("JSON");
            assert_eq!(last, at_end);

            let (out, tally) = reframe(&config(), &input);
            assert_eq!(tally.usage(), Some(Usage::new(3, 2)));
            assert_eq!(data(&out).len(), 4, "{out}");
            assert!(!out.contains(r#""choices":[]"#), "{out}");
        }
    }
}

#[test]
fn a_usage_chunk_without_usage_is_not_passed_on() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let (first, last) = (chunk(FIRST), chunk(LAST));
    let with = |chunk: &str| format!("{},{usage}}}", &chunk[..chunk.len() - 1]);
    for empty in [r#""choices":[],"usage":null"#, r#""usage":{}"#] {
        let empty = format!("{{{HEAD},{empty}}}");
        for finish in [last.clone(), with(&last)] {
            let input = events(&[&first, &word("12345"), &finish, &empty, "[DONE]"]);
            let (out, tally) = reframe(&config(), &input);
            assert_eq!(data(&out).len(), 4, "{out}");
            assert!(!out.contains(r#""choices":[]"#), "{out}");
            assert!(complete(&tally));
            let (out, _) = reframe(&with_usage(), &input);
            assert_eq!(data(&out).len(), 5, "{out}");
            assert!(data(&out)[3].contains(r#""prompt_tokens":"#), "{out}");
        }
        let more = format!("{},\"x\":1}}", &empty[..empty.len() - 1]);
        let input = events(&[&first, &word("12345"), &last, &more, "[DONE]"]);
        assert_eq!(data(&reframe(&config(), &input).0).len(), 5);
        // What comes before the finish says something else, as Azure's word on the prompt does.
        let input = events(&[&empty, &first, &word("12345"), &last, "[DONE]"]);
        assert_eq!(data(&reframe(&config(), &input).0).len(), 5);
    }
}

#[test]
fn the_finish_waits_for_the_usage_when_told_to() {
    let hold = Config {
        hold_finish: true,
        ..config()
    };
    let at_end = format!(r#"{{{HEAD},"choices":[],"usage":{{"prompt_tokens":3}}}}"#);
    let tally = Tally::new();
    let mut machine = Machine::new(hold, MaxSizes::new(), tally.clone());
    let push = |machine: &mut Machine, text: &str| machine.push(events(&[text]).into());
    assert!(push(&mut machine, &chunk(FIRST)).is_some());
    assert!(push(&mut machine, &chunk(LAST)).is_none());
    let frame = push(&mut machine, &at_end).expect("the finish");
    assert!(frame.ends_with(b"\"finish_reason\":\"stop\"}]}\n\n") && tally.usage().is_some());
    assert_eq!(push(&mut machine, "[DONE]").expect("the end"), DONE);
}
