//! Row by row: every reason to stop of each native provider, as what it becomes; streams whole, byte
//! by byte and cut at every place.

#[path = "support/rows.rs"]
mod rows;

use bytes::BytesMut;

use rows::{asked, streamed};
use serde_json::{Value, json};
use tower_completions::{
    provider::{
        Translate, anthropic::Anthropic, bedrock::Bedrock, cohere::Cohere, gemini::Gemini,
        ollama::Ollama,
    },
    sse::aws,
};

/// The reason that a stream ends with.
fn reason(out: &str) -> Value {
    let chunks = out.split_terminator("\n\n").filter_map(|event| {
        serde_json::from_str::<Value>(event.strip_prefix("data: ").expect("an event")).ok()
    });
    let mut reasons: Vec<Value> = chunks
        .map(|chunk| chunk["choices"][0]["finish_reason"].clone())
        .filter(|reason| !reason.is_null())
        .collect();
    assert_eq!(reasons.len(), 1, "{out}");
    reasons.remove(0)
}

fn whole<T: Translate>(translate: &T, body: &Value) -> Value {
    let answer = translate.answer(&asked(), body.to_string().into());
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
    answer["choices"][0]["finish_reason"].clone()
}

fn events(all: &[Value]) -> String {
    all.iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

#[test]
fn anthropics_reasons() {
    let translate = Anthropic::new("http://host").expect("a URL");
    for (theirs, ours) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "length"),
        ("compaction", "length"),
        ("something_new", "stop"),
    ] {
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let body = json!({"id": "m", "type": "message", "model": "c", "content": [call],
            "stop_reason": theirs, "usage": {"input_tokens": 1, "output_tokens": 1}});
        assert_eq!(whole(&translate, &body), ours, "{theirs}");
        let text = events(&[
            json!({"type": "message_start", "message": {"id": "m", "model": "c"}}),
            json!({"type": "content_block_start", "index": 0, "content_block": call}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": theirs}, "usage": {"output_tokens": 1}}),
            json!({"type": "message_stop"}),
        ]);
        let (out, error) = streamed(&translate, text.as_bytes());
        assert!(error.is_none(), "{theirs}");
        assert_eq!(reason(&out), ours, "{theirs}");
    }
}

#[test]
fn geminis_reasons() {
    let translate = Gemini::new("http://host").expect("a URL");
    let answer = |part: Value, reason: &str| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": reason}],
            "responseId": "r", "modelVersion": "g"})
    };
    let text = json!({"text": "x"});
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    let filtered = [
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_OTHER",
        "NO_IMAGE",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
        "MODEL_ARMOR",
        "OTHER",
    ];
    let rows = filtered
        .iter()
        .map(|theirs| (*theirs, &text, "content_filter"));
    let rows = rows.chain([
        ("STOP", &text, "stop"),
        ("STOP", &call, "tool_calls"),
        ("MAX_TOKENS", &text, "length"),
        ("MAX_TOKENS", &call, "length"),
        ("CONTINUATION", &text, "length"),
        ("SOMETHING_NEW", &text, "stop"),
        ("FINISH_REASON_UNSPECIFIED", &text, "stop"),
    ]);
    for (theirs, part, ours) in rows {
        let body = answer(part.clone(), theirs);
        assert_eq!(whole(&translate, &body), ours, "{theirs}");
        // As every recording of it has them.
        let text = format!("data: {body}\r\n\r\n");
        let (out, error) = streamed(&translate, text.as_bytes());
        assert!(error.is_none(), "{theirs}");
        assert_eq!(reason(&out), ours, "{theirs}");
    }
    for theirs in [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    ] {
        let body = answer(text.clone(), theirs);
        assert!(
            translate.answer(&asked(), body.to_string().into()).is_err(),
            "{theirs}"
        );
        let (out, error) = streamed(&translate, events(&[body]).as_bytes());
        assert!(error.is_some() && !out.contains("[DONE]"), "{theirs}");
    }
    for theirs in [
        "SAFETY",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
        "JAILBREAK",
    ] {
        let body = json!({"promptFeedback": {"blockReason": theirs}, "responseId": "r", "modelVersion": "g"});
        assert_eq!(whole(&translate, &body), "content_filter", "{theirs}");
        let (out, _) = streamed(&translate, events(&[body]).as_bytes());
        assert_eq!(reason(&out), "content_filter", "{theirs}");
    }
}

#[test]
fn bedrocks_reasons() {
    let translate = Bedrock::new("http://host").expect("a URL");
    for (theirs, ours) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ] {
        let call = json!({"toolUseId": "t", "name": "f"});
        let message = json!({"role": "assistant", "content": [{"text": "x"}, {"toolUse": call}]});
        let body = json!({"output": {"message": message}, "stopReason": theirs,
            "usage": {"inputTokens": 1, "outputTokens": 1}});
        assert_eq!(whole(&translate, &body), ours, "{theirs}");
        let mut frames = BytesMut::new();
        for (name, payload) in [
            ("messageStart", json!({"role": "assistant", "p": "ab"})),
            (
                "contentBlockDelta",
                json!({"contentBlockIndex": 0, "delta": {"text": "x"}, "p": "abc"}),
            ),
            ("contentBlockStop", json!({"contentBlockIndex": 0})),
            (
                "contentBlockStart",
                json!({"contentBlockIndex": 1, "start": {"toolUse": call}}),
            ),
            ("contentBlockStop", json!({"contentBlockIndex": 1})),
            ("messageStop", json!({"stopReason": theirs})),
            (
                "metadata",
                json!({"usage": {"inputTokens": 1, "outputTokens": 1}}),
            ),
        ] {
            aws::write_message(
                &mut frames,
                aws::Kind::Event,
                name,
                payload.to_string().as_bytes(),
            );
        }
        let (out, error) = streamed(&translate, &frames);
        assert!(error.is_none(), "{theirs}");
        assert_eq!(reason(&out), ours, "{theirs}");
    }
}

#[test]
fn coheres_reasons() {
    let translate = Cohere::new("http://host").expect("a URL");
    for (theirs, ours) in [
        ("COMPLETE", Some("stop")),
        ("STOP_SEQUENCE", Some("stop")),
        ("MAX_TOKENS", Some("length")),
        ("TOOL_CALL", Some("tool_calls")),
        ("ERROR_TOXIC", Some("content_filter")),
        ("SOMETHING_NEW", Some("stop")),
        ("ERROR", None),
        ("TIMEOUT", None),
    ] {
        let body = json!({"id": "c", "message": {"content": [{"type": "text", "text": "x"}]}, "finish_reason": theirs});
        let text = events(&[
            json!({"type": "message-start", "id": "c"}),
            json!({"type": "content-delta", "delta": {"message": {"content": {"text": "x"}}}}),
            json!({"type": "message-end", "delta": {"finish_reason": theirs}}),
        ]) + "data: [DONE]\n\n";
        let (out, error) = streamed(&translate, text.as_bytes());
        match ours {
            Some(ours) => {
                assert_eq!(whole(&translate, &body), ours, "{theirs}");
                assert_eq!(reason(&out), ours, "{theirs}");
            }
            None => {
                assert!(
                    translate.answer(&asked(), body.to_string().into()).is_err(),
                    "{theirs}"
                );
                assert!(error.is_some() && !out.contains("[DONE]"), "{theirs}");
            }
        }
    }
}

#[test]
fn ollamas_reasons() {
    let translate = Ollama::new("http://host").expect("a URL");
    let call = json!({"function": {"name": "f", "arguments": {}}});
    for (theirs, calls, ours) in [
        (json!("stop"), json!([]), "stop"),
        (json!("stop"), json!([call]), "tool_calls"),
        (json!("length"), json!([]), "length"),
        (json!("load"), json!(null), "stop"),
        (json!("unload"), json!(null), "stop"),
        (json!(null), json!(null), "stop"),
    ] {
        let body = json!({"message": {"role": "assistant", "content": "x", "tool_calls": calls},
            "done": true, "done_reason": theirs});
        assert_eq!(whole(&translate, &body), ours, "{theirs}");
        let start = json!({"message": {"role": "assistant", "content": "x"}, "done": false});
        let (out, error) = streamed(&translate, format!("{start}\n{body}\n").as_bytes());
        assert!(error.is_none(), "{theirs}");
        assert_eq!(reason(&out), ours, "{theirs}");
    }
}
