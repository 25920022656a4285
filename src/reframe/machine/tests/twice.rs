//! Members that are there more than once.

use std::panic::catch_unwind;

use super::*;

const DELTA: [&str; 21] = [
    r#""role":"assistant""#,
    r#""role":null"#,
    r#""content":"a""#,
    r#""content":null"#,
    r#""content":5"#,
    r#""content":[{"type":"text","text":"b"},{"type":"thinking","thinking":"c"}]"#,
    r#""reasoning":"d""#,
    r#""reasoning":"""#,
    r#""reasoning":6"#,
    r#""reasoning":null"#,
    r#""reasoning_content":"e""#,
    r#""reasoning_content":"""#,
    r#""reasoning_content":7"#,
    r#""reasoning_content":null"#,
    r#""refusal":false"#,
    r#""tool_calls":{}"#,
    r#""tool_calls":{"function":{"name":"f","name":"g","arguments":{},"arguments":null}}"#,
    r#""tool_calls":[{"index":"0","index":0,"id":null,"id":"h","type":"","type":null,"function":[],"function":{"name":"i"}}]"#,
    r#""tool_calls":[{"index":0,"id":"h","id":"j","type":"x","function":{"name":"k","name":"i"},"custom":{"name":"l"}}]"#,
    r#""function_call":"""#,
    r#""audio":[]"#,
];

const CHOICE: [&str; 11] = [
    r#""index":0"#,
    r#""index":null"#,
    r#""index":"1""#,
    r#""finish_reason":"""#,
    r#""finish_reason":"eos""#,
    r#""finish_reason":false"#,
    r#""message":{"content":"m"}"#,
    r#""message":null"#,
    r#""delta":null"#,
    r#""delta":[]"#,
    r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#,
];

const TOP: [&str; 10] = [
    r#""id":"""#,
    r#""id":"a""#,
    r#""object":"chat""#,
    r#""created":0"#,
    r#""model":"m""#,
    r#""choices":{}"#,
    r#""usage":null"#,
    r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#,
    r#""x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    r#""x":1"#,
];

#[test]
fn what_is_there_twice_makes_no_nonsense_of_a_chunk() {
    let mut state = 7u64;
    let mut any = move |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let mut readable = 0;
    let mut before = chunk(FIRST);
    for _ in 0..3_000 {
        let mut some = |of: &[&str], most: usize| -> Vec<String> {
            let count = any(most + 1);
            (0..count).map(|_| of[any(of.len())].to_owned()).collect()
        };
        let comma = [",", " , "][some(&[""], 1).len()];
        let delta = some(&DELTA, 5).join(comma);
        let mut choice = some(&CHOICE, 4);
        choice.push(format!(r#""delta":{{{delta}}}"#));
        choice.extend(some(&CHOICE, 2));
        let choice = choice.join(comma);
        let mut top = some(&TOP, 3);
        top.push(format!(r#""choices":[{{{choice}}}]"#));
        top.extend(some(&TOP, 2));
        let odd = format!("{{{}}}", top.join(comma));
        for config in [config(), with_usage()] {
            let input = events(&[&before, &odd, &odd, &chunk(LAST), "[DONE]"]);
            let told = catch_unwind(|| told(&config, &[input.as_bytes()]));
            let (out, tally) = told.unwrap_or_else(|_| panic!("{odd}"));
            readable += usize::from(complete(&tally));
            for event in data(&out).iter().filter(|it| **it != "[DONE]") {
                let read = serde_json::from_str::<serde_json::Value>(event);
                read.unwrap_or_else(|error| panic!("{odd}\n{event}\n{error}"));
            }
        }
        before.clone_from(&odd);
        let whole = odd.replace(r#""delta":"#, r#""message":"#);
        let mut reader = Reader::new(config(), Tally::new());
        if let Ok(out) = whole::answer(&mut reader, &whole.clone().into()) {
            let read = serde_json::from_slice::<serde_json::Value>(&out);
            read.unwrap_or_else(|error| panic!("{whole}\n{out:?}\n{error}"));
        }
    }
    assert!(readable > 500, "{readable}");
}

#[test]
fn what_was_thought_and_is_told_three_times_is_told_once() {
    for (delta, told) in [
        (
            r#"{"reasoning_content":null,"reasoning":"x","reasoning":"y"}"#,
            "x",
        ),
        (
            r#"{"reasoning":6,"reasoning_content":"y","reasoning":7}"#,
            "6",
        ),
        (
            r#"{"reasoning_content":6,"reasoning":"y","reasoning":7}"#,
            "6",
        ),
    ] {
        let odd = format!(r#"{{{HEAD},"choices":[{{"index":0,"delta":{delta}}}]}}"#);
        let input = events(&[&chunk(FIRST), &odd, &chunk(LAST), "[DONE]"]);
        let (out, _) = super::told(&config(), &[input.as_bytes()]);
        let want = format!(r#""delta":{{"reasoning_content":"{told}"}}"#);
        assert!(out.contains(&want), "{out}");
    }
}

#[test]
fn what_is_added_where_something_is_cut_comes_before_it() {
    let bare = r#"{"usage":null,"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let call = |function: &str| {
        format!(
            r#"{{{HEAD},"choices":[{{"index":0,"delta":{{"tool_calls":[{{"id":"a","function":{function}}}]}}}}]}}"#
        )
    };
    let (begun, more) = (
        call(r#"{"name":"f","arguments":""}"#),
        call(r#"{"arguments":"{}"}"#),
    );
    let input = events(&[&chunk(FIRST), bare, &begun, &more, &chunk(LAST), "[DONE]"]);
    let (out, tally) = reframe(&config(), &input);
    assert!(complete(&tally), "{out}");
    let out = data(&out);
    assert_eq!(
        out[1],
        format!(r#"{{{HEAD},"choices":[{{"index":0,"delta":{{"content":"a"}}}}]}}"#)
    );
    let call = r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#;
    assert!(out[3].contains(call), "{}", out[3]);
}
