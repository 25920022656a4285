//! Answers that come whole, and what is converted.

use super::*;
use crate::wire::{Counting, Usage, json::Cursor};

#[tokio::test]
async fn a_whole_answer_is_made_canonical() {
    let (a, b) = WHOLE.split_at(50);
    let (good, _) = answer(
        &layer(),
        "",
        "application/json",
        vec![step("\n"), step(a), Step::Pause, step(b)],
    )
    .await;
    let tally = good.extensions().get::<Tally>().expect("a tally").clone();
    assert_eq!(frames(good).await, [WHOLE]);
    assert_eq!(tally.usage().map(|usage| usage.total()), Some(3));
    assert!(matches!(tally.outcome(), Some(Outcome::Complete)));

    let odd = r#"{"choices":[{"message":{"content":"Hi","reasoning":"hm","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"eos"}],"model":"other"}"#;
    let (odd, _) = answer(
        &ReframeLayer::new(Dialect::onysoft()),
        "",
        "application/json",
        vec![step(odd)],
    )
    .await;
    let made: serde_json::Value = serde_json::from_str(&frames(odd).await.concat()).expect("JSON");
    assert!(made["id"].as_str().is_some_and(|id| id.starts_with("req_")));
    assert_eq!(made["model"], "asked");
    assert_eq!(made["object"], "chat.completion");
    assert_eq!(made["usage"]["estimated"], true);
    let choice = &made["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["reasoning_content"], "hm");
    assert_eq!(choice["message"]["tool_calls"][0]["type"], "function");
    assert!(choice["message"]["tool_calls"][0].get("index").is_none());
}

/// What is told is what is charged: the estimate where the provider's count cannot be.
#[tokio::test]
async fn a_usage_that_cannot_be_is_told_as_it_is_charged() {
    const SOUND: &str = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
    assert!(WHOLE.contains(SOUND), "{WHOLE}");
    for (usage, told) in [
        (
            r#"{"prompt_tokens":-5,"completion_tokens":2,"total_tokens":-3}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":2.5,"total_tokens":3.5}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":1e30,"total_tokens":1e30}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":900000000,"total_tokens":900000001}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":"2","total_tokens":3}"#,
            None,
        ),
        (r#"{"prompt_tokens":1}"#, None),
        // What is in the total alone is of the count that is none.
        (
            r#"{"prompt_tokens":0,"completion_tokens":2,"total_tokens":9}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":-3}"#,
            Some((1, 2)),
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":50}}"#,
            Some((1, 2)),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":2,"num_search_queries":4,
                "prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":7,"audio_tokens":1},
                "completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":1,"image_tokens":2}}"#,
            Some((9, 2)),
        ),
    ] {
        let text = WHOLE.replace(SOUND, usage);
        let (whole, _) = answer(&layer(), "", "application/json", vec![step(&text)]).await;
        let tally = whole.extensions().get::<Tally>().expect("a tally").clone();
        let made = frames(whole).await.concat();
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        let used = tally.used(0).expect("noted");
        let (input, output) = (used.input, used.output);
        let sums = ["prompt_tokens", "completion_tokens", "total_tokens"];
        let sums = sums.map(|name| made["usage"][name].as_u64());
        let wanted = [input, output, input + output].map(Some);
        assert_eq!(sums, wanted, "{usage}");
        assert_eq!(made["usage"]["estimated"], true, "{usage}");
        // Its parts, too.
        let spelled = made["usage"].to_string();
        let read = Usage::read(&mut Cursor::new(&spelled), Counting::Plain).expect("JSON");
        let told_as = Usage {
            estimated: used.estimated,
            clamped: used.clamped,
            ..read.expect("counts")
        };
        assert_eq!(told_as, used, "{usage}");
        assert!(input > 0 && output > 0, "{usage}");
        if let Some(told) = told {
            assert_eq!((input, output), told, "{usage}");
        }
    }
    // What can be stays as it is spelled, also with a total of the vendor's own.
    let own = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":9, "x":1.0}"#;
    let text = WHOLE.replace(SOUND, own);
    let (whole, _) = answer(&layer(), "", "application/json", vec![step(&text)]).await;
    assert_eq!(frames(whole).await, [text]);
}

#[tokio::test]
async fn a_whole_answer_that_was_broken_off_is_none() {
    for reason in [
        "error",
        "abort",
        "insufficient_system_resource",
        "network_error",
    ] {
        let broken = WHOLE.replace("\"stop\"", &format!("\"{reason}\""));
        let (told, _) = answer(&layer(), "", "application/json", vec![step(&broken)]).await;
        assert_eq!(told.status(), 502, "{reason}");
    }
}

#[tokio::test]
async fn the_calls_of_a_whole_answer_are_each_for_themselves() {
    let call = |id: &str, name: &str| {
        let function = format!(r#"{{"name":"{name}","arguments":"{{}}"}}"#);
        format!(r#"{{"id":{id},"type":"function","function":{function}}}"#)
    };
    for (calls, ids) in [
        ([call("\"0\"", "f"), call("\"0\"", "g")], ["0", "call_"]),
        ([call("\"0\"", "f"), call("\"0\"", "f")], ["0", "call_"]),
        ([call("0", "f"), call("\"\"", "g")], ["call_", "call_"]),
        ([call("\"a\"", "f"), call("\"b\"", "f")], ["a", "b"]),
        (
            [call("\"a\"", "f"), call("\"b\"", "f")]
                .map(|it| it.replace(r#""type":"function""#, r#""type":"""#)),
            ["a", "b"],
        ),
    ] {
        let calls = calls.join(",");
        let sent = WHOLE.replace(r#""content":"Hi""#, &format!(r#""tool_calls":[{calls}]"#));
        let (told, _) = answer(&layer(), "", "application/json", vec![step(&sent)]).await;
        let told: serde_json::Value =
            serde_json::from_str(&frames(told).await.concat()).expect("JSON");
        let told = &told["choices"][0]["message"]["tool_calls"];
        for (at, id) in ids.into_iter().enumerate() {
            let own = told[at]["id"].as_str().unwrap_or_default();
            assert!(
                own == id || (id == "call_" && own.starts_with(id)),
                "{told}"
            );
            assert_eq!(told[at]["type"], "function");
            assert!(told[at]["function"]["name"].is_string(), "{told}");
        }
        assert_ne!(told[0]["id"], told[1]["id"]);
    }
}

#[tokio::test]
async fn usage_stands_at_the_top_of_a_whole_answer() {
    const USAGE: &str = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
    let without = WHOLE.replace(&format!(r#","usage":{USAGE}"#), "");
    let in_choice = format!(r#""index":0,"usage":{USAGE}"#);
    let in_choice = without.replace(r#""index":0"#, &in_choice);
    let own_member = format!(r#"{{"x_groq":{{"id":"r","usage":{USAGE}}},"#);
    let own_member = without.replacen('{', &own_member, 1);
    for sent in [
        in_choice.clone(),
        in_choice.replacen('{', r#"{"usage":null,"#, 1),
        in_choice.replacen('{', r#"{"usage":{},"#, 1),
        own_member.clone(),
        own_member.replacen("}]", &format!(r#"}}],"usage":{USAGE}"#), 1),
    ] {
        let (told, _) = answer(&layer(), "", "application/json", vec![step(&sent)]).await;
        let tally = told.extensions().get::<Tally>().expect("a tally").clone();
        let told = frames(told).await.concat();
        let value: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let usage: serde_json::Value = serde_json::from_str(USAGE).expect("JSON");
        assert_eq!(value["usage"], usage, "{told}");
        assert_eq!(
            told.matches(r#""usage":"#).count(),
            if sent.contains("x_groq") { 2 } else { 1 },
            "{told}"
        );
        assert_eq!(value["choices"][0]["usage"], serde_json::Value::Null);
        assert_eq!(tally.usage().map(|usage| usage.total()), Some(3));
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_none_is_refused() {
    let small = layer().max_answer_bytes(100);
    for (layer, steps) in [
        (&layer(), vec![step(&WHOLE[..99])]),
        (&layer(), vec![step("{}")]),
        (&layer(), vec![step(r#"{"error":{"message":"secret"}}"#)]),
        (&layer(), vec![step(&WHOLE[..99]), Step::Break]),
        (&small, vec![step(WHOLE)]),
    ] {
        let (bad, _) = answer(layer, "", "application/json", steps).await;
        assert_eq!(bad.status(), 502);
        let tally = bad.extensions().get::<Tally>().expect("a tally");
        assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
        assert!(bad.extensions().get::<Error>().is_some());
        let told = frames(bad).await.concat();
        assert!(!told.contains("secret"));
        let large = std::ptr::eq(layer, &small);
        assert_eq!(told.contains("larger than 100 bytes"), large);
    }
}

#[tokio::test]
async fn what_is_not_ours_to_read_passes() {
    for (asked, kind, body) in [
        ("", "audio/mpeg", "x"),
        (STREAM, "text/html", "<p>"),
        (STREAM, "application/json", WHOLE),
        ("", SSE, FIRST),
    ] {
        let (passed, _) = answer(&layer(), asked, kind, vec![step(body)]).await;
        assert_eq!(passed.headers()["content-type"], kind);
        assert_eq!(passed.headers()["content-length"], "7");
        assert_eq!(frames(passed).await, [body]);
    }
    let inner = tower::service_fn(|_: Request<ChatBody>| {
        let refusal = Error::new(Kind::Overloaded, "later").response(&Dialect::openai());
        std::future::ready(Ok::<_, Infallible>(refusal))
    });
    let refused = layer()
        .layer(inner)
        .oneshot(ask(STREAM))
        .await
        .expect("infallible");
    assert_eq!(refused.status(), 503);
    assert!(refused.extensions().get::<Tally>().is_none());
}

#[tokio::test]
async fn a_stream_with_a_blank_behind_its_type_is_one() {
    let kind = "text/event-stream charset=utf-8";
    let (stream, _) = answer(&layer(), STREAM, kind, vec![step(FIRST), step(LAST)]).await;
    assert!(stream.extensions().get::<Tally>().is_some());
    let out = frames(stream).await.concat();
    assert!(out.ends_with("data: [DONE]\n\n"), "{out}");
    // Cut, it is no longer passed on as if it were whole.
    let (stream, _) = answer(&layer(), STREAM, kind, vec![step(FIRST)]).await;
    let out = frames(stream).await.concat();
    assert!(
        out.contains("\"error\"") && !out.contains("[DONE]"),
        "{out}"
    );
}

#[tokio::test]
async fn what_was_not_asked_for_is_converted_when_told_to() {
    let both = layer().convert();
    let (stream, _) = answer(&both, STREAM, "application/json", vec![step(WHOLE)]).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let out = frames(stream).await.concat();
    assert!(out.contains(r#""content":"Hi""#) && out.ends_with("data: [DONE]\n\n"));
    assert!(!out.contains("usage"));

    let (one, _) = answer(&both, "", SSE, vec![step(FIRST), step(LAST)]).await;
    assert_eq!(one.headers()["content-type"], "application/json");
    let out: serde_json::Value = serde_json::from_str(&frames(one).await.concat()).expect("JSON");
    assert_eq!(out["choices"][0]["message"]["content"], "Hi");

    let (cut, _) = answer(&both, "", SSE, vec![step(FIRST)]).await;
    assert_eq!(cut.status(), 502);

    let slow = step(r#"{"error":{"code":429,"message":"slow"}}"#);
    let (slow, _) = answer(&both, STREAM, "application/json", vec![slow]).await;
    assert_eq!(slow.status(), 429);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_has_its_time_from_the_request_on() {
    let inner = tower::service_fn(|_: Request<ChatBody>| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let body = Script {
            steps: vec![Step::Hang].into_iter(),
            sleep: None,
            dropped: Arc::default(),
        };
        Ok::<_, Infallible>(Response::new(body))
    });
    let start = tokio::time::Instant::now();
    let service = layer().total_timeout(Duration::from_secs(7)).layer(inner);
    let response = service.oneshot(ask("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), start.elapsed().as_secs()),
        (504, 7)
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_a_stream_is_refused() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let deep = WHOLE.replacen('{', &format!(r#"{{"deep":{deep},"#), 1);
    let both = layer().convert();
    for asked in [STREAM, ""] {
        let (bad, _) = answer(&both, asked, "application/json", vec![step(&deep)]).await;
        assert_eq!(bad.status(), 502, "{asked}");
        let tally = bad.extensions().get::<Tally>().expect("a tally");
        assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
    }
}

/// It is whole by its braces; only a stream must say that it has ended.
#[tokio::test]
async fn a_whole_answer_needs_no_reason_to_end() {
    for reason in ["\"finish_reason\":null", "\"other\":null"] {
        let sent = WHOLE.replace(r#""finish_reason":"stop""#, reason);
        assert_ne!(sent, WHOLE);
        let (told, _) = answer(&layer(), "", "application/json", vec![step(&sent)]).await;
        assert_eq!(told.status(), 200, "{reason}");
        assert_eq!(frames(told).await, [sent]);
    }
}

#[tokio::test]
async fn a_value_that_is_refused_within_has_the_status_of_the_dialect() {
    for (dialect, kind, status) in [
        (Dialect::openai(), Kind::Value, 400),
        (Dialect::strict(), Kind::Value, 422),
        (Dialect::strict(), Kind::Format, 400),
        (Dialect::strict(), Kind::BadUpstream, 502),
    ] {
        for asked in ["", STREAM] {
            let inner = tower::service_fn(|_: Request<ChatBody>| {
                let refusal = Error::new(kind, "no").response(&Dialect::openai());
                std::future::ready(Ok::<_, Infallible>(refusal))
            });
            let service = ReframeLayer::new(dialect.clone()).layer(inner);
            let response = service.oneshot(ask(asked)).await.expect("infallible");
            assert_eq!(response.status(), status, "{kind:?}");
            assert!(response.extensions().get::<Error>().is_some());
        }
    }
}
