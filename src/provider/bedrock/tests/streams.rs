use super::*;

fn everything() -> Bytes {
    frames(&[
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h\u{e9}"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "m"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": "b3A="}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"text": "Hi \""}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"text": ""}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 2, "delta": {"citation": {"title": "x"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 2})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": ""}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{\"a\":"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": "1}"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 3})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 4, "start": {"toolUse": {"toolUseId": "t2", "name": "g"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 4})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 5, "start": {"toolResult": {"toolUseId": "s"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 5, "delta": {"toolUse": {"input": "foreign"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 5})),
        ("brandNew", json!({})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 4, "outputTokens": 3, "cacheReadInputTokens": 8}, "metrics": {"latencyMs": 1}}),
        ),
    ])
}

#[test]
fn a_stream_with_everything_in_it() {
    let (text, ended, usage) = run(&[everything()]);
    ended.expect("whole");
    assert!(text.ends_with("data: [DONE]\n\n"));
    let deltas: Vec<Value> = chunks(&text)
        .into_iter()
        .map(|chunk| {
            chunk["choices"]
                .get(0)
                .map_or(Value::Null, |it| it["delta"].clone())
        })
        .collect();
    let call = |index: u8, name: &str, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let piece = |index: u8, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "h\u{e9}"}),
            json!({"reasoning_content": "m"}),
            json!({"reasoning_details": [{"index": 0, "type": "thinking", "thinking": "h\u{e9}m", "signature": "sig"}]}),
            json!({"reasoning_details": [{"index": 1, "type": "redacted_thinking", "data": "b3A="}]}),
            json!({"content": "Hi \""}),
            call(0, "f", "t1"),
            piece(0, "{\"a\":"),
            piece(0, "1}"),
            call(1, "g", "t2"),
            piece(1, "{}"),
            json!({}),
            Value::Null,
        ]
    );
    let all = chunks(&text);
    let last = all.last().expect("some");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 12);
    assert_eq!(
        all[all.len() - 2]["choices"][0]["finish_reason"],
        "tool_calls"
    );
    let same = |chunk: &Value| {
        chunk["id"] == all[0]["id"] && chunk["created"] == 7 && chunk["model"] == NOVA
    };
    assert!(all.iter().all(same));
    assert_eq!(usage.map(|it| (it.input, it.output)), Some((12, 3)));
}

#[test]
fn a_stream_however_it_is_cut() {
    let input = everything();
    let id = |text: &str| chunks(text)[0]["id"].as_str().expect("an id").to_owned();
    let plain = |pieces: &[Bytes]| {
        let (text, ended, _) = run(pieces);
        ended.expect("whole");
        text.replace(&id(&text), "ID")
    };
    let whole = plain(std::slice::from_ref(&input));
    let single: Vec<Bytes> = (0..input.len()).map(|at| input.slice(at..=at)).collect();
    assert_eq!(plain(&single), whole);
    for at in 0..input.len() {
        assert_eq!(
            plain(&[input.slice(..at), input.slice(at..)]),
            whole,
            "{at}"
        );
    }
}

#[test]
fn exceptions_and_cuts() {
    let start = ("messageStart", json!({"role": "assistant"}));
    let text = (
        "contentBlockDelta",
        json!({"contentBlockIndex": 0, "delta": {"text": "x"}}),
    );
    let stop = ("messageStop", json!({"stopReason": "end_turn"}));
    for (name, payload, class) in [
        (
            "throttlingException",
            json!({"message": "slow"}),
            Class::RateLimit,
        ),
        (
            "internalServerException",
            json!({"message": "x"}),
            Class::Transient,
        ),
        (
            "serviceUnavailableException",
            json!({"message": "x"}),
            Class::Overload,
        ),
        (
            "validationException",
            json!({"message": "Input is too long for requested model."}),
            Class::ContextLength,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "x", "originalStatusCode": 429, "originalMessage": "y"}),
            Class::RateLimit,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "x"}),
            Class::Transient,
        ),
    ] {
        let (out, ended, _) = run(&[frames(&[start.clone(), text.clone(), (name, payload)])]);
        assert_eq!(
            ended.expect_err("an exception").class(),
            Some(class),
            "{name}"
        );
        assert!(!out.contains("[DONE]"));
    }
    let mut out = BytesMut::new();
    write_message(&mut out, Kind::Error, "500", b"sorry");
    assert!(run(&[out.freeze()]).1.is_err());

    assert!(
        run(&[frames(&[start.clone(), text.clone()])]).1.is_err(),
        "cut"
    );
    assert!(run(&[Bytes::new()]).1.is_err(), "empty");
    let (out, ended, usage) = run(&[frames(&[start, text, stop])]);
    assert!(ended.is_ok() && usage.is_none() && out.ends_with("data: [DONE]\n\n"));
}

#[test]
fn blocks_that_are_written_side_by_side() {
    let delta = |index: u8, delta: Value| {
        let delta = json!({"contentBlockIndex": index, "delta": delta});
        ("contentBlockDelta", delta)
    };
    let thought = |index: u8, thought: Value| delta(index, json!({"reasoningContent": thought}));
    let begins = |index: u8, id: &str, name: &str| {
        let start = json!({"toolUse": {"toolUseId": id, "name": name}});
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": start}),
        )
    };
    let input = |index: u8, text: &str| delta(index, json!({"toolUse": {"input": text}}));
    let stop = |index: u8| ("contentBlockStop", json!({"contentBlockIndex": index}));
    let (text, ended, _) = run(&[frames(&[
        thought(0, json!({"text": "h"})),
        delta(1, json!({"text": "Hi"})),
        thought(0, json!({"text": "m"})),
        begins(2, "t1", "f"),
        stop(1),
        begins(3, "t2", "g"),
        input(2, "{\"a\":"),
        thought(0, json!({"signature": "sig"})),
        begins(4, "t3", "h"),
        input(3, "{}"),
        stop(3),
        input(2, "1}"),
        stop(0),
        stop(2),
        ("messageStop", json!({"stopReason": "tool_use"})),
    ])]);
    ended.expect("whole");
    assert_eq!(
        testing::deltas(&chunks(&text)),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "h"}),
            json!({"content": "Hi"}),
            json!({"reasoning_content": "m"}),
            testing::call(0, "t1", "f"),
            testing::call(1, "t2", "g"),
            testing::piece(0, "{\"a\":"),
            testing::call(2, "t3", "h"),
            testing::piece(1, "{}"),
            testing::piece(0, "1}"),
            json!({"reasoning_details": [{"index": 0, "type": "thinking", "thinking": "hm", "signature": "sig"}]}),
            // Without a stop, and without arguments.
            testing::piece(2, "{}"),
            json!({}),
        ]
    );
    let many = (0..200).map(|index| begins(index, "t", "f"));
    assert!(run(&[frames(&many.collect::<Vec<_>>())]).1.is_err());
}

#[test]
fn an_image_that_is_none_or_has_no_end_is_an_error() {
    let start = |index: u64| {
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": {"image": {"format": "png"}}}),
        )
    };
    let piece = |index: u64, data: &str| {
        let delta = json!({"image": {"source": {"bytes": data}}});
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    let (_, ended, _) = run(&[frames(&[start(0), piece(0, "!")])]);
    ended.expect_err("no base64");
    // Also where it is more than one that is open.
    let third = "A".repeat(15 << 20);
    for last in [0, 1] {
        let pieces = [piece(0, &third), piece(0, &third), piece(last, &third)];
        let events = [&[start(0), start(1)][..], &pieces[..]].concat();
        let (_, ended, _) = run(&[frames(&events)]);
        let error = ended.expect_err("too long");
        assert!(format!("{error:?}").contains("too large"), "{error:?}");
    }
}
