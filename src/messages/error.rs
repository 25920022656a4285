use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::paths::Paths;

/// A refusal in Anthropic's shape: its status, and its body. A member that its message names has the
/// name that it had in the client's request.
pub(super) fn refusal(
    status: StatusCode,
    body: &[u8],
    request_id: Option<&str>,
    paths: Option<&Paths>,
) -> (StatusCode, Bytes) {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["error"]["message"].as_str();
    let message = message.unwrap_or("The request was refused.");
    let param = said["error"]["param"].as_str();
    let own = paths.and_then(|paths| paths.translate(message, param));
    let message = own.as_deref().unwrap_or(message);
    let kind = by_status(status);
    let status = match status {
        // What an overload is there.
        StatusCode::SERVICE_UNAVAILABLE => StatusCode::from_u16(529).unwrap_or(status),
        status => status,
    };
    let error = json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": request_id,
    });
    (status, error.to_string().into())
}

fn by_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// An error event's type, by the one that the stream's error has.
pub(super) fn by_type(kind: &str) -> &'static str {
    match kind {
        "invalid_request_error" => "invalid_request_error",
        "authentication_error" => "authentication_error",
        "insufficient_quota" => "billing_error",
        "permission_error" => "permission_error",
        "rate_limit_error" => "rate_limit_error",
        "timeout_error" => "timeout_error",
        "overloaded_error" => "overloaded_error",
        _ => "api_error",
    }
}
