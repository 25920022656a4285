//! Row by row: every refusal of each native provider, as what it becomes.

#[path = "support/rows.rs"]
mod rows;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use rows::streamed;
use serde_json::{Value, json};
use tower_completions::{
    dialect::Dialect,
    error::Class,
    provider::{
        Translate, anthropic::Anthropic, bedrock::Bedrock, cohere::Cohere, gemini::Gemini,
        ollama::Ollama,
    },
    sse::aws,
};

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
            Class::Forbidden,
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
            Class::Forbidden,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "",
            said(
                403,
                "PERMISSION_DENIED",
                "Your API key was reported as leaked.",
                none(),
            ),
            Class::Credential,
            502,
            UNAUTHORIZED,
        ),
        (
            403,
            "",
            said(
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access the File abc or it may not exist.",
                none(),
            ),
            Class::Caller,
            400,
            None,
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
            429,
            LIMITED,
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
            429,
            LIMITED,
        ),
        (
            403,
            "AccessDeniedException",
            no(),
            Class::Forbidden,
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
        (403, "", said("no"), Class::Forbidden, 502, UNAUTHORIZED),
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
