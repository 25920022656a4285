//! Streams of messages' events.

use super::*;

const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hé\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":1}\n\n\
data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":2}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n\
data: {\"type\":\"news\"}\n\n\
data: {\"type\":\"message_stop\"}\n\n";

#[test]
fn a_stream_however_it_is_cut() {
    let bytes = STREAM.as_bytes();
    let (end, whole, stream) = run(&[bytes]);
    end.expect("whole");
    for words in [
        r#""reasoning_content":"hm""#,
        r#""signature":"sig""#,
        r#""content":"Hé""#,
        r#""arguments":"{}""#,
        r#""finish_reason":"tool_calls""#,
        r#""cached_tokens":7"#,
        r#""prompt_tokens":15"#,
    ] {
        assert_eq!(whole.matches(words).count(), 1, "{words} in {whole}");
    }
    assert!(whole.ends_with("data: [DONE]\n\n"));
    let usage = stream.usage().expect("counted");
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.cache_write,
            usage.output
        ),
        (15, 7, 3, 9)
    );
    for at in 0..bytes.len() {
        assert_eq!(run(&[&bytes[..at], &bytes[at..]]).1, whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(&single).1, whole);
}

#[test]
fn calls_that_are_written_side_by_side() {
    let event = |event: Value| format!("data: {event}\n\n");
    let begins = |index: u8, input: Value| {
        event(
            json!({"type": "content_block_start", "index": index, "content_block":
            {"type": "tool_use", "id": format!("id{index}"), "name": "f", "input": input}}),
        )
    };
    let piece = |index: u8, text: &str| {
        event(json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": text}}))
    };
    let ends = |index: u8| event(json!({"type": "content_block_stop", "index": index}));
    let text = [
        begins(1, json!({})),
        begins(2, json!({})),
        // What it begins with is all of its arguments.
        begins(5, json!({"c": [3, "ü"]})),
        piece(1, "{\"a\""),
        piece(2, "{\"b\""),
        piece(1, ":1}"),
        ends(1),
        piece(2, ":2}"),
        ends(5),
        ends(2),
        // Not closed; of a block that never began.
        begins(6, json!({})),
        begins(7, json!({})),
        piece(9, "lost"),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})),
        event(json!({"type": "message_stop"})),
    ]
    .concat();
    let (end, text, _) = run(&[text.as_bytes()]);
    end.expect("whole");
    let mut calls = vec![String::new(); 5];
    for delta in testing::deltas(&chunks(&text)) {
        let call = &delta["tool_calls"][0];
        if let Some(piece) = call["function"]["arguments"].as_str() {
            let at = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            calls[at].push_str(piece);
        }
    }
    assert_eq!(
        calls,
        ["{\"a\":1}", "{\"b\":2}", "{\"c\":[3,\"ü\"]}", "{}", "{}"]
    );
}

#[test]
fn what_is_thought_later_says_where_it_stands() {
    let event = |event: Value| format!("data: {event}\n\n");
    let block = |index: u8, block: Value, delta: Value| {
        let begins = json!({"type": "content_block_start", "index": index, "content_block": block});
        let goes_on = json!({"type": "content_block_delta", "index": index, "delta": delta});
        let ends = json!({"type": "content_block_stop", "index": index});
        [begins, goes_on, ends].map(event).concat()
    };
    let thought = |index, signature: &str| {
        let delta = json!({"type": "signature_delta", "signature": signature});
        block(index, json!({"type": "thinking", "thinking": "t"}), delta)
    };
    let text = [
        thought(0, "a"),
        block(
            1,
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": "h\u{e9}\u{1f600}\""}),
        ),
        thought(2, "b"),
        block(
            3,
            json!({"type": "tool_use", "id": "i", "name": "f", "input": {}}),
            json!({"type": "none"}),
        ),
        block(
            4,
            json!({"type": "redacted_thinking", "data": "c"}),
            json!({"type": "none"}),
        ),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})),
        event(json!({"type": "message_stop"})),
    ]
    .concat();
    let (end, text, _) = run(&[text.as_bytes()]);
    end.expect("whole");
    let deltas = testing::deltas(&chunks(&text));
    let details = deltas.iter().filter_map(|it| it.get("reasoning_details"));
    let details: Vec<Value> = details.cloned().collect();
    assert_eq!(
        details,
        [
            json!([{"index": 0, "type": "thinking", "thinking": "t", "signature": "a"}]),
            json!([{"index": 1, "type": "thinking", "thinking": "t", "signature": "b", "x_after": [4, 0]}]),
            json!([{"index": 2, "type": "redacted_thinking", "data": "c", "x_after": [4, 1]}]),
        ]
    );
}

#[test]
fn an_answer_by_a_tool_that_comes_at_once() {
    let text = format!(
        "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"{}\",\"input\":{{\"a\":\"b\"}}}}}}\n\n\
         data: {{\"type\":\"message_stop\"}}\n\n",
        crate::provider::structured::ANSWER
    );
    let (end, text, _) = run(&[text.as_bytes()]);
    end.expect("whole");
    let said = testing::deltas(&chunks(&text));
    assert!(said.iter().any(|delta| delta["content"] == r#"{"a":"b"}"#));
}

#[test]
fn a_cut_stream_is_an_error() {
    let cut = STREAM
        .rfind("data: {\"type\":\"message_stop")
        .expect("there");
    let (end, text, _) = run(&[&STREAM.as_bytes()[..cut]]);
    assert_eq!(end.expect_err("cut").class(), Some(Class::Transient));
    assert!(!text.contains("[DONE]"));
}

#[test]
fn an_overloaded_stream_is_one() {
    let error = r#""error":{"type":"overloaded_error","message":"Overloaded"}"#;
    for event in [
        format!("data: {{\"type\":\"error\",{error}}}"),
        format!("data: {{{error}}}"),
        format!("event: error\ndata: {{{error}}}"),
    ] {
        let whole = format!("{event}\n\ndata: {{\"type\":\"message_stop\"}}\n\n");
        let (end, text, _) = run(&[whole.as_bytes()]);
        assert_eq!(
            end.expect_err("error").class(),
            Some(Class::Overload),
            "{event}"
        );
        assert!(!text.contains("[DONE]"), "{event}");
    }
    let nameless =
        "event: error\ndata: {\"message\":\"Overloaded\"}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    run(&[nameless.as_bytes()])
        .0
        .expect_err("an error by its name");
}

#[test]
fn lists_can_be_put_together_by_index() {
    let event = |event: Value| format!("data: {event}\n\n");
    let begins = |index: u8, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let hidden = |index: u8, data: &str| {
        let block = json!({"type": "redacted_thinking", "data": data});
        let ends = json!({"type": "content_block_stop", "index": index});
        begins(index, block) + &event(ends)
    };
    let cited = |url: &str| {
        let citation = json!({"type": "web_search_result_location", "url": url, "title": "A"});
        event(
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "citations_delta", "citation": citation}}),
        )
    };
    let text = [
        hidden(0, "a"),
        hidden(1, "b"),
        begins(2, json!({"type": "text", "text": "Hi"})),
        cited("https://a"),
        cited("https://b"),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})),
        event(json!({"type": "message_stop"})),
    ]
    .concat();
    let (end, text, _) = run(&[text.as_bytes()]);
    end.expect("whole");
    let deltas = testing::deltas(&chunks(&text));
    let hidden = |data: &str| json!({"type": "redacted_thinking", "data": data});
    assert_eq!(
        testing::lists(&deltas, "reasoning_details"),
        [hidden("a"), hidden("b")]
    );
    let cited = testing::lists(&deltas, "annotations");
    let urls: Vec<_> = cited.iter().map(|it| &it["url_citation"]["url"]).collect();
    assert_eq!(urls, ["https://a", "https://b"]);
}
