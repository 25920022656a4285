//! What has not the shape of a chunk.

use super::*;

/// Parts of a chunk that no client could read.
const MISSHAPEN: [&str; 20] = [
    r#"[1]"#,
    r#"[null]"#,
    r#"["a"]"#,
    r#"5"#,
    r#""a""#,
    r#"[{"index":0,"delta":[1]}]"#,
    r#"[{"index":0,"delta":"a"}]"#,
    r#"[{"index":0,"delta":5,"message":{"content":"a"}}]"#,
    r#"{"0":{"index":0,"delta":{"content":"a"}}}"#,
    r#"[{"index":"a","delta":{"content":"a"}}]"#,
    r#"[{"index":"+1","delta":{"content":"a"}}]"#,
    r#"[{"index":1.5,"delta":{"content":"a"}}]"#,
    r#"[{"index":-1,"delta":{"content":"a"}}]"#,
    r#"[{"index":0,"delta":{"content":{"text":"a"}}}]"#,
    r#"[{"index":0,"delta":{"refusal":true}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[1]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":5}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":5}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":[1]}}]}}]"#,
    r#"[{"index":0,"delta":{},"finish_reason":5}]"#,
];

#[test]
fn what_has_not_the_shape_of_a_chunk_ends_the_stream_with_an_error() {
    let (first, last) = (chunk(FIRST), chunk(LAST));
    for choices in MISSHAPEN {
        let bad = format!(r#"{{{HEAD},"choices":{choices}}}"#);
        for config in [config(), with_usage()] {
            let input = events(&[&first, &word("a"), &bad, &last, "[DONE]"]);
            let (out, tally) = run(&config, &[input.as_bytes()]);
            let out = data(&out);
            assert_eq!(out.len(), 3, "{choices}: {out:?}");
            let error: serde_json::Value = serde_json::from_str(out[2]).expect("JSON");
            assert_eq!(error["error"]["code"], "bad_upstream_response", "{choices}");
            assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
        }
    }
}

#[test]
fn what_is_null_where_it_is_nothing_is_no_mistake() {
    let first = chunk(FIRST);
    for choices in [
        "null",
        r#"[{"index":0,"delta":[],"finish_reason":null}]"#,
        r#"[{"index":0,"delta":[ ],"finish_reason":null}]"#,
        r#"[{"index":null,"delta":null,"finish_reason":null}]"#,
        r#"[{"index":0,"delta":{"content":null,"refusal":null,"tool_calls":null,"function_call":null,"audio":null}}]"#,
        r#"[{"index":0,"delta":{"tool_calls":[{"index":null,"id":"a","function":{"name":"f","arguments":null}}]}}]"#,
    ] {
        let text = format!(r#"{{{HEAD},"choices":{choices}}}"#);
        let (out, tally) = reframe(&config(), &events(&[&first, &text, &chunk(LAST), "[DONE]"]));
        assert!(complete(&tally), "{choices}: {out}");
    }
}

#[test]
fn what_usual_clients_read_all_the_same_is_mended() {
    for (choices, choice) in [
        // Lua writes empty lists as objects, PHP empty objects as lists.
        (r#"{}"#, None),
        (
            r#"[{"index":0,"delta":{"content":"b","tool_calls":{},"function_call":[],"refusal":false,"audio":""}}]"#,
            Some(
                r#"{"index":0,"delta":{"content":"b","tool_calls":null,"function_call":null,"refusal":null,"audio":null}}"#,
            ),
        ),
        (
            r#"[{"index":0,"delta":{"content":{}},"finish_reason":false}]"#,
            Some(r#"{"index":0,"delta":{"content":null},"finish_reason":null}"#),
        ),
        (
            r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":[]}}]}}]"#,
            Some(
                r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}"#,
            ),
        ),
        (
            r#"[{"index":0,"delta":{"tool_calls":[{"index":[],"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]"#,
            Some(
                r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}"#,
            ),
        ),
        (
            r#"[{"index":0,"delta":{"content":"b"},"finish_reason":"null"}]"#,
            Some(r#"{"index":0,"delta":{"content":"b"},"finish_reason":null}"#),
        ),
        // Workers AI's digits.
        (
            r#"[{"index":0,"delta":{"content":6}}]"#,
            Some(r#"{"index":0,"delta":{"content":"6"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"content":0.005,"x":1}}]"#,
            Some(r#"{"index":0,"delta":{"content":"0.005","x":1}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"content":true}}]"#,
            Some(r#"{"index":0,"delta":{"content":"true"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning_content":6}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"6"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning":6,"reasoning_content":6,"content":null}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"6","content":null}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning_content":null,"reasoning":6}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"6"}}"#),
        ),
        // What is no text beside one.
        (
            r#"[{"index":0,"delta":{"reasoning":"x","reasoning_content":[]}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"x"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning_content":{},"reasoning":"x"}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"x"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"content":"a","reasoning_content":[1]}}]"#,
            Some(r#"{"index":0,"delta":{"content":"a","reasoning_content":[1]}}"#),
        ),
        // Thinking in the content, beside a member for it.
        (
            r#"[{"index":0,"delta":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"b"}],"reasoning_content":null}}]"#,
            Some(r#"{"index":0,"delta":{"content":"b","reasoning_content":"hm"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning":null,"content":[{"type":"thinking","thinking":"hm"}]}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"hm","content":""}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"reasoning_content":"hm","content":[{"type":"thinking","thinking":"hm"}]}}]"#,
            Some(r#"{"index":0,"delta":{"reasoning_content":"hm","content":""}}"#),
        ),
        // TGI's calls.
        (
            r#"[{"index":0,"delta":{"tool_calls":{"index":0,"id":"","type":"function","function":{"name":"f","arguments":"{"}} ,"content":null}}]"#,
            Some(
                r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"ID","type":"function","function":{"name":"f","arguments":"{"}}] ,"content":null}}"#,
            ),
        ),
        // Places that are whole, in other spellings.
        (
            r#"[{"index":"0","delta":{"content":"b"}}]"#,
            Some(r#"{"index":0,"delta":{"content":"b"}}"#),
        ),
        (
            r#"[{"index":0.0,"delta":{"content":"b"}}]"#,
            Some(r#"{"index":0,"delta":{"content":"b"}}"#),
        ),
        (
            r#"[{"index":0,"delta":{"tool_calls":[{"index":"0","id":"a","type":"function","function":{"name":"f"}}]}}]"#,
            Some(
                r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f"}}]}}"#,
            ),
        ),
    ] {
        let odd = format!(r#"{{{HEAD},"choices":{choices}}}"#);
        let input = events(&[&chunk(FIRST), &word("a"), &odd, &chunk(LAST), "[DONE]"]);
        let (out, tally) = reframe(&config(), &input);
        assert!(complete(&tally), "{choices}: {out}");
        let out = data(&out);
        let mut told = out[2].to_owned();
        if let Some((before, id)) = told.split_once("call_") {
            let (_, behind) = id.split_once('"').expect("quoted");
            told = format!("{before}ID\"{behind}");
        }
        let choice = choice.unwrap_or_default();
        assert_eq!(
            told,
            format!(r#"{{{HEAD},"choices":[{choice}]}}"#),
            "{choices}"
        );
    }
}

#[test]
fn a_whole_answer_is_mended_alike() {
    let answer = |choice: &str| {
        let head = HEAD.replace("chat.completion.chunk", "chat.completion");
        format!(
            r#"{{{head},"choices":[{choice}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
        )
    };
    for (sent, told) in [
        (
            r#"{"index":"0","message":{"role":"assistant","content":42,"tool_calls":{},"refusal":false},"finish_reason":"stop"}"#,
            r#"{"index":0,"message":{"role":"assistant","content":"42","tool_calls":null,"refusal":null},"finish_reason":"stop"}"#,
        ),
        (
            r#"{"index":0,"message":{"role":"assistant","content":null,"tool_calls":{"id":"a","type":"function","function":{"name":"f","arguments":[]}}},"finish_reason":"tool_calls"}"#,
            r#"{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}"#,
        ),
    ] {
        let mut reader = Reader::new(config(), Tally::new());
        let out = whole::answer(&mut reader, &answer(sent).into()).expect("an answer");
        assert_eq!(std::str::from_utf8(&out), Ok(&*answer(told)));
    }
}
