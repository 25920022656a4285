use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::{
    error::{Error, Refused},
    provider::openai,
};

/// Reads a refusal: `{id, message, error_type?}`.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["message"].as_str().unwrap_or_default();
    let kind = said["error_type"].as_str().unwrap_or_default();
    let long = kind.eq_ignore_ascii_case("too_many_tokens") || message.contains("too many tokens");
    let (status, code) = match status.as_u16() {
        _ if long => (StatusCode::BAD_REQUEST, Some("context_length_exceeded")),
        // The key's token is not one; the client's own connection was not this one.
        498 => (StatusCode::UNAUTHORIZED, Some("invalid_api_key")),
        499 => (StatusCode::INTERNAL_SERVER_ERROR, None),
        404 => (status, Some("model_not_found")),
        _ => (status, None),
    };
    let shaped = json!({ "error": { "message": message, "code": code } }).to_string();
    openai::read_error(status, headers, shaped.as_bytes()).with_source(Refused::new(status, body))
}

/// An answer that ended in failure.
pub(super) fn failed(reason: &str, body: &[u8]) -> Error {
    let status = if reason == "TIMEOUT" {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    read(status, &HeaderMap::new(), body)
}
