use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    error::{Class, Error, Kind, Origin},
    retry::retry_after,
};

/// The longest message of an upstream that is passed on, in characters.
const LONGEST: usize = 500;

/// What a provider says of its refusal, in whichever of the family's shapes.
#[derive(Debug, Default)]
struct Said {
    message: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    code: Option<String>,
}

impl Said {
    /// `{"error":{…}}`, `{"error":"…"}`, `{"detail":…}`, a flat object, or an array of one of them.
    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let outer = value
            .as_array()
            .and_then(|items| items.first())
            .unwrap_or(&value);
        let inner = outer
            .get("error")
            .or_else(|| outer.get("detail"))
            .unwrap_or(outer);
        if let Some(message) = inner.as_str() {
            return Self {
                message: Some(message.to_owned()),
                ..Self::default()
            };
        }
        let text = |name: &str| match inner.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self {
            message: text("message").or_else(|| text("msg")),
            kind: text("type"),
            param: text("param"),
            code: text("code"),
        }
    }
}

/// Reads a refusal of any provider of the family: the provider's code before the status.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let said = Said::read(body);
    let class = classify(
        status,
        said.code.as_deref(),
        said.kind.as_deref(),
        said.message.as_deref(),
    );
    let after = retry_after(headers);
    let mut error = of_class(class, status, said);
    if let (Some(after), Kind::RateLimit | Kind::Overloaded) = (after, error.kind()) {
        error = error.with_retry_after(after);
    }
    error.with_class(class).with_source(source(status, body))
}

/// What a refusal means for the next attempt.
#[must_use]
pub fn classify(
    status: StatusCode,
    code: Option<&str>,
    kind: Option<&str>,
    message: Option<&str>,
) -> Class {
    for word in [code, kind].into_iter().flatten() {
        match word {
            "context_length_exceeded" | "string_above_max_length" => return Class::ContextLength,
            "content_filter" | "content_policy_violation" | "moderation_blocked" => {
                return Class::ContentPolicy;
            }
            "insufficient_quota"
            | "credit_balance_exhausted"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "organization_usage_limit_exceeded" => return Class::Quota,
            "model_not_found" | "model_decommissioned" | "DeploymentNotFound" => {
                return Class::ModelGone;
            }
            "unsupported_country_region_territory" => return Class::Region,
            "invalid_api_key" | "authentication_error" => return Class::Credential,
            "rate_limit_exceeded" => return Class::RateLimit,
            "server_is_overloaded" | "slow_down" | "overloaded_error" => return Class::Overload,
            _ => {}
        }
    }
    match status.as_u16() {
        401 | 403 => Class::Credential,
        402 => Class::Quota,
        404 | 410 => Class::ModelGone,
        429 => Class::RateLimit,
        503 | 529 => Class::Overload,
        400 | 413 | 422 if message.is_some_and(is_context_length) => Class::ContextLength,
        408 => Class::Transient,
        400..=499 => Class::Caller,
        _ => Class::Transient,
    }
}

fn is_context_length(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "maximum context length",
        "context length exceeded",
        "prompt is too long",
        "context window",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The answer that the caller gets if no other attempt is made.
fn of_class(class: Class, status: StatusCode, said: Said) -> Error {
    let upstream = |kind, code: &'static str, message: &'static str| {
        Error::new(kind, message)
            .with_code(code)
            .with_origin(Origin::Upstream)
    };
    match class {
        Class::Credential | Class::Quota | Class::Region => upstream(
            Kind::BadUpstream,
            "upstream_unauthorized",
            "The upstream refused the gateway's credentials or account.",
        ),
        Class::ModelGone => upstream(
            Kind::BadUpstream,
            "upstream_model_not_found",
            "The upstream does not know the model it was asked for.",
        ),
        Class::RateLimit => upstream(
            Kind::RateLimit,
            "upstream_rate_limited",
            "The upstream's rate limit is reached; retry later.",
        ),
        Class::Overload => upstream(
            Kind::Overloaded,
            "upstream_overloaded",
            "The upstream is overloaded.",
        ),
        Class::Caller | Class::ContentPolicy | Class::ContextLength
            if matches!(status.as_u16(), 400 | 413 | 422) =>
        {
            let message = said.message.map_or_else(
                || "The upstream refused the request.".to_owned(),
                |message| passed_on(&message),
            );
            let mut error = Error::new(Kind::Format, message).with_origin(Origin::Client);
            if let Some(param) = said.param {
                error = error.with_param(param);
            }
            match said.code {
                Some(code) => error.with_code(code),
                None if class == Class::ContextLength => error.with_code("context_length_exceeded"),
                None => error,
            }
        }
        _ if matches!(status.as_u16(), 408 | 504) => upstream(
            Kind::UpstreamTimeout,
            "upstream_timeout",
            "The upstream took too long.",
        ),
        _ => upstream(
            Kind::BadUpstream,
            "bad_upstream_response",
            "The upstream failed to answer the request.",
        ),
    }
}

/// An upstream's own words, short, and with everything that looks like a key or a URL cut out.
fn passed_on(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let secret = bare.contains("://")
            || ["sk-", "sk_", "gsk_", "xai-", "AIza", "key-", "Bearer"]
                .iter()
                .any(|prefix| bare.starts_with(prefix) && bare.len() > prefix.len() + 3);
        if secret { "[…]" } else { word }
    });
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// For the operator: the status and the beginning of what was said.
fn source(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    format!("upstream answered {status}: {text}")
}

/// A whole answer must at least be an object, and not an error under a 200.
pub(in crate::provider) fn check(body: Bytes) -> Result<Bytes, Error> {
    let bad = |why| crate::provider::nonsense(why);
    let trimmed = body.trim_ascii();
    if !trimmed.starts_with(b"{") || !trimmed.ends_with(b"}") {
        return Err(bad("it is not a JSON object"));
    }
    // Only a short one can be nothing but an error; a long one is looked at when it is re-framed.
    if trimmed.len() < 16 << 10 && memchr::memmem::find(trimmed, b"\"error\"").is_some() {
        let value: Value = serde_json::from_slice(trimmed)
            .map_err(|error| bad("it is not JSON").with_source(error))?;
        let failed = value.get("error").is_some_and(|error| !error.is_null());
        if failed && value.get("choices").is_none() {
            return Err(bad("it is an error with the status of a success")
                .with_source(source(StatusCode::OK, trimmed)));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).expect("a status");
        read(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn classes() {
        for (status, body, class, code) in [
            (401, "no", Class::Credential, Some("upstream_unauthorized")),
            (402, "{}", Class::Quota, Some("upstream_unauthorized")),
            (
                404,
                r#"{"error":{"code":"model_not_found"}}"#,
                Class::ModelGone,
                Some("upstream_model_not_found"),
            ),
            (
                429,
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                Class::RateLimit,
                Some("upstream_rate_limited"),
            ),
            (
                429,
                r#"{"error":{"type":"insufficient_quota"}}"#,
                Class::Quota,
                Some("upstream_unauthorized"),
            ),
            (
                500,
                "<html>",
                Class::Transient,
                Some("bad_upstream_response"),
            ),
            (503, "", Class::Overload, Some("upstream_overloaded")),
            (529, "", Class::Overload, Some("upstream_overloaded")),
            (504, "", Class::Transient, Some("upstream_timeout")),
            (408, "", Class::Transient, Some("upstream_timeout")),
            (
                400,
                r#"{"error":{"message":"bad","param":"n","code":"invalid_value"}}"#,
                Class::Caller,
                Some("invalid_value"),
            ),
            (
                400,
                r#"{"error":"This model's maximum context length is 8"}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (422, r#"[{"detail":"nope"}]"#, Class::Caller, None),
        ] {
            let error = error(status, body);
            assert_eq!(
                (error.class(), error.code()),
                (Some(class), code),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn the_callers_fault_is_told_without_our_secrets() {
        let error = error(
            400,
            r#"{"error":{"message":"bad key sk-abcdef123 at https://host/v1, see n","param":"n"}}"#,
        );
        assert_eq!(error.message(), "bad key […] at […] see n");
        assert_eq!((error.param(), error.kind()), (Some("n"), Kind::Format));
    }

    #[test]
    fn an_error_under_200_is_one() {
        assert!(check(Bytes::from_static(b"{\"error\":{\"message\":\"x\"}}")).is_err());
        assert!(check(Bytes::from_static(b"<html>")).is_err());
        assert!(check(Bytes::from_static(b" {\"choices\":[],\"error\":null} ")).is_ok());
    }
}
