use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    error::{Class, Error},
    provider::{
        openai,
        refusal::{may_blame_client, status_of_error},
    },
};

#[derive(Deserialize)]
struct Envelope {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type", default)]
    kind: String,
}

/// Reads a refusal; the shared reader knows the shape, the status follows the provider's own type.
pub(in crate::provider) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let envelope = serde_json::from_slice::<Envelope>(body);
    let kind = envelope.map(|it| it.error.kind).unwrap_or_default();
    let status = status_of(&kind, status);
    let error = openai::read_error(status, headers, body);
    match status {
        StatusCode::PAYMENT_REQUIRED => error.with_class(Class::Quota),
        _ => error,
    }
}

/// An error in a stream, whose status has gone out.
pub(super) fn in_stream(body: &[u8]) -> Error {
    read(StatusCode::OK, &HeaderMap::new(), body)
}

/// The status of a type. `api_error` says no more than that something failed, and a bad request no more than
/// that something was wrong, so that any other status of a refusal says more.
fn status_of(kind: &str, status: StatusCode) -> StatusCode {
    match kind {
        "invalid_request_error" if may_blame_client(status) => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "conflict_error" => StatusCode::CONFLICT,
        "request_too_large" if may_blame_client(status) => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
        _ => status_of_error(status),
    }
}
