use super::*;
use crate::sse::Decoder;

fn event(data: &str) -> Event {
    let mut decoder = Decoder::new();
    decoder.push(format!("data: {data}\n\n").into());
    decoder.next().expect("whole").expect("sound")
}

#[test]
fn tells_content_from_what_precedes_it() {
    for (data, want) in [
        (
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            "Lifecycle",
        ),
        (
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"refusal":null}}]}"#,
            "Lifecycle",
        ),
        (r#"{"choices":[]}"#, "Lifecycle"),
        (r#"{"choices":[{"delta":{"content":"a"}}]}"#, "Content"),
        (r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#, "Content"),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"message":{"role":"assistant","content":"a"}}]}"#,
            "Content",
        ),
        ("[DONE]", "Transient"),
        ("", "Lifecycle"),
        ("nonsense", "Transient"),
        (r#"{"error":{"code":429}}"#, "RateLimit"),
        (r#"{"error":{"code":"429"}}"#, "RateLimit"),
        (r#"{"error":{"type":"overloaded_error"}}"#, "Overload"),
        (
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            "ContextLength",
        ),
        (r#"{"error":"text"}"#, "Transient"),
        // What has failed is no content, nor what is flat or in an array.
        (
            r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"abort"}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"\u0065rror"}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{},"finish_reason":"error","error":{"code":429}}]}"#,
            "RateLimit",
        ),
        (
            r#"{"choices":[{"delta":{},"finish_reason":null,"error":{"code":503}}]}"#,
            "Overload",
        ),
        (
            r#"{"object":"error","message":"x","type":"rate_limited","code":"1300","raw_status_code":429}"#,
            "RateLimit",
        ),
        (
            r#"{"object":"error","message":"no","type":"invalid_request_error","code":400}"#,
            "Caller",
        ),
        (
            r#"{"detail":"This model's maximum context length is 5"}"#,
            "ContextLength",
        ),
        (r#"[{"error":{"code":429,"message":"x"}}]"#, "RateLimit"),
        (r#"[{"error":{"code":400,"message":"x"}}]"#, "Caller"),
        ("5", "Transient"),
        // What no client could read is not what has begun.
        (r#"{"choices":[1]}"#, "Transient"),
        (r#"{"choices":5}"#, "Transient"),
        (r#"{"choices":null}"#, "Lifecycle"),
        (r#"{"choices":[{"delta":[1]}]}"#, "Transient"),
        (r#"{"choices":[{"delta":null}]}"#, "Lifecycle"),
        (r#"{"choices":[{"delta":[ ]}]}"#, "Lifecycle"),
        (r#"{"choices":{}}"#, "Lifecycle"),
        (r#"{"choices":{"0":{}}}"#, "Transient"),
        (
            r#"{"choices":[{"delta":{"refusal":false,"tool_calls":{},"audio":""}}]}"#,
            "Lifecycle",
        ),
        (r#"{"choices":[{"delta":{"content":6}}]}"#, "Content"),
        (
            r#"{"choices":[{"delta":{"audio":[],"tool_calls":{"index":0}}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"index":"0","delta":{"content":"a"}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"index":0.0,"delta":{"refusal":[],"content":"a"}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"index":"a","delta":{"content":"a"}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"index":-1,"delta":{"content":"a"}}]}"#,
            "Transient",
        ),
        (r#"{"choices":[{"delta":{"content":["a"]}}]}"#, "Content"),
        (
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":5}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"role":"assistant"}}],"message":"x"}"#,
            "Lifecycle",
        ),
        (r#"{"message":"x","usage":null}"#, "Lifecycle"),
        // Nor a call that no client could read.
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":"0","function":{"name":null,"arguments":{"a":1}}}]}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":[],"custom":{"input":"x"}}]}}]}"#,
            "Content",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":[ ]}}]}}]}"#,
            "Content",
        ),
        (r#"{"choices":[{"delta":{"tool_calls":[5]}}]}"#, "Transient"),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0},null]}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":{"a":1}}]}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":5}]}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":5}}]}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":[1]}}]}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":{"index":0,"custom":{"input":5}}}}]}"#,
            "Transient",
        ),
        (
            r#"{"choices":[{"message":{"tool_calls":[5]}}]}"#,
            "Transient",
        ),
    ] {
        let seen = match look(&event(data)) {
            Look::Broken(error) => format!("{:?}", error.class().expect("given")),
            other => format!("{other:?}"),
        };
        assert_eq!(seen, want, "{data}");
    }
}

#[test]
fn what_another_kind_of_event_says_is_no_error() {
    let mut decoder = Decoder::new();
    decoder.push("event: ping\ndata: {\"message\":\"x\"}\n\n".into());
    let event = decoder.next().expect("whole").expect("sound");
    assert!(matches!(look(&event), Look::Lifecycle));
}

#[test]
fn a_glance_sees_what_a_close_look_sees() {
    let chunks = [
        r#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"error":null}"#,
        r#"{"choices":[{"delta":{"content":null,"tool_calls":[ ],"x":{}},"finish_reason":""},{"delta":{"a":0}}]}"#,
        r#"{"choices":[{"delta":{"role":"r"},"delta":{"content":"b"}}],"choices":[],"error":{"code":1}}"#,
        r#"{"message":null,"choices":[{"finish_reason":"error","delta":{},"error":null}],"usage":1}"#,
        r#"{"choices":[1,{"delta":[1]},{"delta":{"content":"a","content":"","rol\u0065":"x"}}]} "#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{}}},{"custom":{"input":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":{"index":"0","function":[],"id":""}}}]}"#,
    ];
    let others = [
        "", "\"", "{", "}", "[", "]", ",", ":", "null", "1", "\\", "\"a\":1,", " ",
    ];
    let (mut seen, mut told) = (0, 0);
    for chunk in chunks {
        for at in 0..chunk.len() {
            for other in others {
                for taken in 0..3.min(chunk.len() - at) {
                    let text = format!("{}{other}{}", &chunk[..at], &chunk[at + taken..]);
                    seen += 1;
                    let Some(begun) = glance(&text) else {
                        continue;
                    };
                    told += 1;
                    match look_closely(&event(&text)) {
                        Look::Content => assert!(begun, "{text}"),
                        Look::Lifecycle => assert!(!begun, "{text}"),
                        Look::Broken(error) => panic!("{text}: {error}"),
                    }
                }
            }
        }
    }
    assert!(told > 1000 && seen > 2 * told, "{told} of {seen}");
}
