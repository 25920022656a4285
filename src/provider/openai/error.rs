use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use memchr::memmem::Finder;
use serde_json::Value;

pub use crate::error::upstream::classify;
use crate::{
    error::{
        Error,
        upstream::{self, Said},
    },
    provider::refusal::refusal,
    retry::retry_after,
};

/// Reads a refusal of any provider of the family: the provider's code before the status.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let said = Said::read(body);
    let class = classify(
        status,
        said.code.as_deref(),
        said.kind.as_deref(),
        said.message.as_deref(),
    );
    refusal(class, status, said, retry_after(headers), body)
}

/// A whole answer must at least be an object, and not an error under a 200.
pub(in crate::provider) fn check(body: Bytes) -> Result<Bytes, Error> {
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    let bad = |why| crate::provider::nonsense(why);
    let trimmed = body.trim_ascii();
    let error = || upstream::in_stream(&String::from_utf8_lossy(trimmed));
    // Some put their error into an array.
    if trimmed.starts_with(b"[") && WORD.find(trimmed).is_some() {
        return Err(error());
    }
    if !trimmed.starts_with(b"{") || !trimmed.ends_with(b"}") {
        return Err(bad("it is not a JSON object"));
    }
    static MESSAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message\""));
    // Only a short one can be nothing but an error; a long one is looked at when it is re-framed.
    let is_short = trimmed.len() < 16 << 10;
    if is_short && (WORD.find(trimmed).is_some() || MESSAGE.find(trimmed).is_none()) {
        let value: Value = serde_json::from_slice(trimmed)
            .map_err(|error| bad("it is not JSON").with_source(error))?;
        let has_error = |value: &Value| value.get("error").is_some_and(|error| !error.is_null());
        let Some(choices) = value.get("choices").and_then(Value::as_array) else {
            return Err(if has_error(&value) {
                error()
            } else {
                bad("it has no choices")
            });
        };
        if choices.is_empty() {
            return Err(bad("it has no choices"));
        }
        let failed = |choice: &Value| has_error(choice) || choice["finish_reason"] == "error";
        if choices.iter().any(failed) {
            return Err(bad("a choice of it has failed"));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Kind};

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
                Some("upstream_rate_limited"),
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
            // xAI's refusal of a key.
            (
                400,
                r#"{"code":"invalid-argument","error":"Incorrect API key provided: xa***bc."}"#,
                Class::Credential,
                Some("upstream_unauthorized"),
            ),
            // Google's, where it is compatible.
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
                Class::Credential,
                Some("upstream_unauthorized"),
            ),
            // Anthropic's of an account.
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
                Class::Quota,
                Some("upstream_unauthorized"),
            ),
            // Moonshot's.
            (
                429,
                r#"{"error":{"type":"exceeded_current_quota_error","message":"check your plan"}}"#,
                Class::Quota,
                Some("upstream_rate_limited"),
            ),
            // Together's and Perplexity's of a prompt that is too long.
            (
                403,
                r#"{"error":{"message":"This is beyond the maximum context length of 8 tokens"}}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"error":{"type":"too_many_prompt_tokens","code":400,"message":"no"}}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            // Those of others.
            (
                400,
                r#"{"error":{"code":"invalid_request_error","message":"This model's maximum context length is 8 tokens"}}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 1 + 2 > 2"}}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (
                422,
                r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2","error_type":"validation"}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"error":{"code":"string_above_max_length","message":"x"}}"#,
                Class::ContextLength,
                Some("string_above_max_length"),
            ),
            // Groq's flex tier.
            (
                498,
                r#"{"error":{"message":"Flex tier capacity exceeded"}}"#,
                Class::Overload,
                Some("upstream_overloaded"),
            ),
            // Z.ai's numbers before its statuses: 429 stands for all of these but the last.
            (
                429,
                r#"{"error":{"code":"1113","message":"in arrears"}}"#,
                Class::Quota,
                Some("upstream_rate_limited"),
            ),
            (
                429,
                r#"{"error":{"code":"1308","message":"used up until tomorrow"}}"#,
                Class::Quota,
                Some("upstream_rate_limited"),
            ),
            (
                429,
                r#"{"error":{"code":1302,"message":"too many at once"}}"#,
                Class::RateLimit,
                Some("upstream_rate_limited"),
            ),
            (
                429,
                r#"{"error":{"code":"1312","message":"busy"}}"#,
                Class::Overload,
                Some("upstream_overloaded"),
            ),
            (
                400,
                r#"{"error":{"code":"1211","message":"no such model"}}"#,
                Class::ModelGone,
                Some("upstream_model_not_found"),
            ),
            (
                400,
                r#"{"error":{"code":"1261","message":"too long"}}"#,
                Class::ContextLength,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"error":{"code":"1301","message":"sensitive"}}"#,
                Class::ContentPolicy,
                None,
            ),
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
        // OpenRouter's, and of Google's compatible endpoint.
        for (body, class, code) in [
            (
                r#"{"error":{"code":429,"message":"x"},"user_id":"u"}"#,
                Class::RateLimit,
                "upstream_rate_limited",
            ),
            (
                r#"[{ "error":{"code":503,"status":"UNAVAILABLE"}}]"#,
                Class::Overload,
                "upstream_overloaded",
            ),
            (
                r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#,
                Class::ContextLength,
                "context_length_exceeded",
            ),
        ] {
            let error = check(Bytes::from_static(body.as_bytes())).expect_err("it is one");
            assert_eq!(
                (error.class(), error.code()),
                (Some(class), Some(code)),
                "{body}"
            );
        }
        for body in [
            r#"{}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":null,"usage":{}}"#,
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"},"error"]}"#,
            r#"{"choices":[{"index":0,"error":{"code":502}}]}"#,
        ] {
            let error = check(Bytes::from_static(body.as_bytes())).expect_err("no answer");
            assert_eq!(error.class(), Some(Class::Transient), "{body}");
        }
        for body in [
            r#" {"choices":[{"message":{}}],"error":null} "#,
            r#"{"choices":[{"message":{"content":"\"error\""},"error":null}]}"#,
        ] {
            assert!(check(Bytes::from_static(body.as_bytes())).is_ok(), "{body}");
        }
    }
}
