//! What has not the shape of a chunk.

use super::*;

/// Parts of a chunk that no client could read.
const MISSHAPEN: [&str; 21] = [
    r#"[1]"#,
    r#"[null]"#,
    r#"["a"]"#,
    r#"{}"#,
    r#"5"#,
    r#""a""#,
    r#"[{"index":0,"delta":[1]}]"#,
    r#"[{"index":0,"delta":"a"}]"#,
    r#"[{"index":0,"delta":5,"message":{"content":"a"}}]"#,
    r#"[{"index":"0","delta":{"content":"a"}}]"#,
    r#"[{"index":1.5,"delta":{"content":"a"}}]"#,
    r#"[{"index":-1,"delta":{"content":"a"}}]"#,
    r#"[{"index":0,"delta":{"content":5}}]"#,
    r#"[{"index":0,"delta":{"content":{"text":"a"}}}]"#,
    r#"[{"index":0,"delta":{"refusal":true}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":{}}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[1]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":"0","id":"a","function":{"name":"f"}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":5}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":5}}]}}]"#,
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
