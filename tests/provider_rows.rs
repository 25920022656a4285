//! Row by row: every reason to stop and every refusal of each native provider, as what it becomes;
//! streams whole, byte by byte and cut at every place.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_completions::{
    Error, Target,
    dialect::Dialect,
    error::Class,
    parse::Chat,
    provider::{
        Asked, Framing, Translate, TranslateStream, anthropic::Anthropic, bedrock::Bedrock,
        cohere::Cohere, gemini::Gemini, ollama::Ollama,
    },
    sse::{self, Decode, aws},
};

fn asked() -> Asked {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let asked = Asked::new(&chat, &Target::new("p", "m"));
    // Drawn once, so that every run has the same.
    let _ = asked.id();
    asked
}

fn decoder(framing: Framing) -> Box<dyn Decode> {
    match framing {
        Framing::JsonLines => Box::new(sse::ndjson::Decoder::new()),
        Framing::AwsEventStream => Box::new(aws::Decoder::new()),
        _ => Box::new(sse::Decoder::new()),
    }
}

/// What comes of a stream in these pieces: what was written, and the error that ended it.
fn run<T: Translate>(translate: &T, asked: &Asked, pieces: &[&[u8]]) -> (String, Option<Error>) {
    let mut stream = translate.stream(asked).expect("translated");
    let mut decoder = decoder(stream.framing());
    let mut out = BytesMut::new();
    let mut feed = || {
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next() {
                let event = event.expect("well framed");
                stream.event(event.name(), event.data(), &mut out)?;
            }
        }
        stream.finish(&mut out)
    };
    let error = feed().err();
    (String::from_utf8(out.to_vec()).expect("UTF-8"), error)
}

/// The same however it is cut.
fn streamed<T: Translate>(translate: &T, text: &[u8]) -> (String, Option<Error>) {
    let asked = asked();
    let (out, error) = run(translate, &asked, &[text]);
    let told = |error: &Option<Error>| error.as_ref().map(|it| (it.class(), it.to_string()));
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    let by_byte = run(translate, &asked, &bytes);
    assert_eq!((&by_byte.0, told(&by_byte.1)), (&out, told(&error)));
    for at in 0..text.len() {
        let cut = run(translate, &asked, &[&text[..at], &text[at..]]);
        assert_eq!((&cut.0, told(&cut.1)), (&out, told(&error)), "{at}");
    }
    (out, error)
}

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
        // As every recording of it has them; what is not specified is said later.
        let mut text = format!("data: {body}\r\n\r\n");
        if theirs == "FINISH_REASON_UNSPECIFIED" {
            let end = answer(json!({"text": ""}), "STOP");
            text += &format!("data: {end}\r\n\r\n");
        }
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
        ("malformed_model_output", "stop"),
        ("malformed_tool_use", "stop"),
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

/// A refusal: status, header, body; what it becomes: class, status, code.
type Row = (u16, &'static str, String, Class, u16, Option<&'static str>);

fn refusals<T: Translate>(translate: &T, rows: &[Row]) {
    for (status, kind, body, class, told, code) in rows {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert("x-amzn-errortype", kind.parse().expect("a header"));
        }
        let status = StatusCode::from_u16(*status).expect("a status");
        let error = translate.error(status, &headers, body.as_bytes());
        let seen = (
            error.class(),
            error.status(&Dialect::openai()).as_u16(),
            error.code(),
        );
        assert_eq!(seen, (Some(*class), *told, *code), "{status} {kind} {body}");
        // What the operator needs to know is kept.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(
            source.is_some_and(|it| it.contains("upstream answered")),
            "{status} {body}"
        );
    }
}

const UNAUTHORIZED: Option<&str> = Some("upstream_unauthorized");
const GONE: Option<&str> = Some("upstream_model_not_found");
const LIMITED: Option<&str> = Some("upstream_rate_limited");
const OVERLOADED: Option<&str> = Some("upstream_overloaded");
const BAD: Option<&str> = Some("bad_upstream_response");
const TIMEOUT: Option<&str> = Some("upstream_timeout");
const TOO_LONG: Option<&str> = Some("context_length_exceeded");

#[test]
fn anthropics_refusals() {
    let said = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"})
            .to_string()
    };
    let rows = [
        (
            400,
            "",
            said("invalid_request_error", "no"),
            Class::Caller,
            400,
            None,
        ),
        (
            400,
            "",
            said(
                "invalid_request_error",
                "prompt is too long: 9 tokens > 8 maximum",
            ),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (
            401,
            "",
            said("authentication_error", "no"),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            402,
            "",
            said("billing_error", "no"),
            Class::Quota,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "",
            said("permission_error", "no"),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            404,
            "",
            said("not_found_error", "model: m"),
            Class::ModelGone,
            502,
            GONE,
        ),
        (
            409,
            "",
            said("conflict_error", "no"),
            Class::Transient,
            502,
            BAD,
        ),
        (
            413,
            "",
            said("request_too_large", "no"),
            Class::Caller,
            400,
            None,
        ),
        (413, "", "<html>".to_owned(), Class::Caller, 400, None),
        (
            429,
            "",
            said("rate_limit_error", "no"),
            Class::RateLimit,
            429,
            LIMITED,
        ),
        (500, "", said("api_error", "no"), Class::Transient, 502, BAD),
        (
            504,
            "",
            said("timeout_error", "no"),
            Class::Transient,
            504,
            TIMEOUT,
        ),
        (
            529,
            "",
            said("overloaded_error", "no"),
            Class::Overload,
            503,
            OVERLOADED,
        ),
    ];
    let translate = Anthropic::new("http://host").expect("a URL");
    refusals(&translate, &rows);
    // The same in a stream, where the status has gone out.
    for (status, _, body, class, told, code) in rows.iter().filter(|row| row.2.starts_with('{')) {
        if *status == 409 {
            continue;
        }
        let text = format!("event: error\ndata: {body}\n\n");
        let (_, error) = streamed(&translate, text.as_bytes());
        let error = error.expect("an error");
        let seen = (
            error.class(),
            error.status(&Dialect::openai()).as_u16(),
            error.code(),
        );
        assert_eq!(seen, (Some(*class), *told, *code), "{body}");
    }
}

#[test]
fn geminis_refusals() {
    let said = |code: u16, status: &str, message: &str, details: Value| {
        json!({"error": {"code": code, "status": status, "message": message, "details": details}})
            .to_string()
    };
    let quota = |id: &str| json!([{"@type": "QuotaFailure", "violations": [{"quotaId": id}]}, {"retryDelay": "34.4s"}]);
    let key = json!([{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let none = || json!([]);
    let too_long = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
    let rows = [
        (
            400,
            "",
            said(400, "INVALID_ARGUMENT", "no", none()),
            Class::Caller,
            400,
            None,
        ),
        (
            400,
            "",
            said(400, "INVALID_ARGUMENT", "no", key),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            400,
            "",
            said(400, "INVALID_ARGUMENT", too_long, none()),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (
            400,
            "",
            said(400, "FAILED_PRECONDITION", "no", none()),
            Class::Caller,
            400,
            None,
        ),
        (
            400,
            "",
            said(400, "FAILED_PRECONDITION", "enable billing", none()),
            Class::Quota,
            502,
            UNAUTHORIZED,
        ),
        (
            401,
            "",
            said(401, "UNAUTHENTICATED", "no", none()),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "",
            said(403, "PERMISSION_DENIED", "no", none()),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            404,
            "",
            said(404, "NOT_FOUND", "no", none()),
            Class::ModelGone,
            502,
            GONE,
        ),
        (
            429,
            "",
            said(429, "RESOURCE_EXHAUSTED", "no", quota("PerMinute")),
            Class::RateLimit,
            429,
            LIMITED,
        ),
        (
            429,
            "",
            said(429, "RESOURCE_EXHAUSTED", "no", quota("RequestsPerDay")),
            Class::Quota,
            502,
            UNAUTHORIZED,
        ),
        (
            500,
            "",
            said(500, "INTERNAL", "no", none()),
            Class::Transient,
            502,
            BAD,
        ),
        (
            503,
            "",
            said(503, "UNAVAILABLE", "no", none()),
            Class::Overload,
            503,
            OVERLOADED,
        ),
        (
            504,
            "",
            said(504, "DEADLINE_EXCEEDED", "no", none()),
            Class::Transient,
            504,
            TIMEOUT,
        ),
    ];
    let translate = Gemini::new("http://host").expect("a URL");
    refusals(&translate, &rows);
    let arrays = rows.map(|(status, kind, body, class, told, code)| {
        (status, kind, format!("[{body}]"), class, told, code)
    });
    refusals(&translate, &arrays);
    let limited = translate.error(
        StatusCode::TOO_MANY_REQUESTS,
        &HeaderMap::new(),
        said(429, "RESOURCE_EXHAUSTED", "no", quota("PerMinute")).as_bytes(),
    );
    let wait = limited.retry_after().expect("a wait");
    assert_eq!(wait.as_millis(), 34_400);
}

#[test]
fn bedrocks_refusals() {
    let said = |message: &str| json!({"message": message}).to_string();
    let no = || said("no");
    let rows = [
        (
            400,
            "ValidationException:http://internal",
            no(),
            Class::Caller,
            400,
            None,
        ),
        (
            400,
            "ValidationException",
            said("Input is too long for requested model."),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (
            400,
            "ValidationException",
            said("input tokens exceeded"),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (
            400,
            "ValidationException",
            said("prompt is too long"),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (
            400,
            "ValidationException",
            said("The provided model identifier is invalid."),
            Class::ModelGone,
            502,
            GONE,
        ),
        (
            400,
            "ServiceQuotaExceededException",
            no(),
            Class::Quota,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "AccessDeniedException",
            no(),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "UnrecognizedClientException",
            no(),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "InvalidSignatureException",
            no(),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "ExpiredTokenException",
            no(),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            404,
            "ResourceNotFoundException",
            no(),
            Class::ModelGone,
            502,
            GONE,
        ),
        (
            408,
            "ModelTimeoutException",
            no(),
            Class::Transient,
            504,
            TIMEOUT,
        ),
        (424, "ModelErrorException", no(), Class::Transient, 502, BAD),
        (
            424,
            "ModelStreamErrorException",
            no(),
            Class::Transient,
            502,
            BAD,
        ),
        (
            429,
            "ThrottlingException",
            no(),
            Class::RateLimit,
            429,
            LIMITED,
        ),
        (
            429,
            "ModelNotReadyException",
            no(),
            Class::Overload,
            503,
            OVERLOADED,
        ),
        (
            500,
            "InternalServerException",
            no(),
            Class::Transient,
            502,
            BAD,
        ),
        (
            503,
            "ServiceUnavailableException",
            no(),
            Class::Overload,
            503,
            OVERLOADED,
        ),
    ];
    let translate = Bedrock::new("http://host").expect("a URL");
    refusals(&translate, &rows);
    for (name, class) in [
        ("internalServerException", Class::Transient),
        ("modelStreamErrorException", Class::Transient),
        ("validationException", Class::Caller),
        ("throttlingException", Class::RateLimit),
        ("serviceUnavailableException", Class::Overload),
    ] {
        let mut frames = BytesMut::new();
        aws::write_message(&mut frames, aws::Kind::Exception, name, no().as_bytes());
        let (out, error) = streamed(&translate, &frames);
        assert_eq!(error.expect("an error").class(), Some(class), "{name}");
        assert!(!out.contains("[DONE]"));
    }
}

#[test]
fn coheres_and_ollamas_refusals() {
    let said = |message: &str| json!({"id": "i", "message": message}).to_string();
    let rows = [
        (400, "", said("no"), Class::Caller, 400, None),
        (
            400,
            "",
            said("too many tokens: 9"),
            Class::ContextLength,
            400,
            TOO_LONG,
        ),
        (401, "", said("no"), Class::Credential, 502, UNAUTHORIZED),
        (402, "", said("no"), Class::Quota, 502, UNAUTHORIZED),
        (403, "", said("no"), Class::Credential, 502, UNAUTHORIZED),
        (404, "", said("no"), Class::ModelGone, 502, GONE),
        (422, "", said("no"), Class::Caller, 400, None),
        (429, "", said("no"), Class::RateLimit, 429, LIMITED),
        (498, "", said("no"), Class::Credential, 502, UNAUTHORIZED),
        (499, "", said("no"), Class::Transient, 502, BAD),
        (500, "", said("no"), Class::Transient, 502, BAD),
        (501, "", said("no"), Class::Transient, 502, BAD),
        (503, "", said("no"), Class::Overload, 503, OVERLOADED),
        (504, "", said("no"), Class::Transient, 504, TIMEOUT),
    ];
    refusals(&Cohere::new("http://host").expect("a URL"), &rows);
    let text = || r#"{"error":"no"}"#.to_owned();
    let rows = [
        (400, "", text(), Class::Caller, 400, None),
        (404, "", text(), Class::ModelGone, 502, GONE),
        (500, "", text(), Class::Transient, 502, BAD),
    ];
    let translate = Ollama::new("http://host").expect("a URL");
    refusals(&translate, &rows);
    let (out, error) = streamed(&translate, b"{\"error\":\"no\"}\n");
    assert_eq!(error.expect("an error").class(), Some(Class::Transient));
    assert!(out.is_empty());
}
