//! What an upstream says has gone wrong within a stream, as an error of ours.

use serde_json::Value;

use crate::error::{Class, Error, Kind};

/// Reads the value of an `error` member, or the data of an `error` event, in any of its shapes.
pub(super) fn upstream(text: &str) -> Error {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let inner = match &value["error"] {
        Value::Null => &value,
        inner => inner,
    };
    let said = [
        &inner["message"],
        &inner["detail"],
        inner,
        &value["message"],
    ]
    .into_iter()
    .find_map(Value::as_str);
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let status = ["status_code", "code", "status"]
        .into_iter()
        .find_map(|member| number(&inner[member]));
    let word = |member: &str| inner[member].as_str().unwrap_or_default();
    let names = |name: &str| word("type").contains(name) || word("code").contains(name);
    let (kind, class, message) = match status {
        Some(429) => rate_limited(),
        Some(503 | 529) => overloaded(),
        Some(408 | 504 | 524) => (
            Kind::UpstreamTimeout,
            Class::Transient,
            "The provider took too long.",
        ),
        _ if names("rate_limit") => rate_limited(),
        _ if names("overloaded") || names("unavailable") => overloaded(),
        Some(400 | 413 | 422) | None if names("context_length") => (
            Kind::Value,
            Class::ContextLength,
            "The request is too long for this model.",
        ),
        _ => (
            Kind::BadUpstream,
            Class::Transient,
            "The provider ended the stream with an error.",
        ),
    };
    let error = Error::new(kind, message)
        .with_origin(crate::error::Origin::Upstream)
        .with_class(class);
    let error = match (kind, class) {
        (Kind::RateLimit, _) => error.with_code("upstream_rate_limited"),
        (_, Class::ContextLength) => error.with_code("context_length_exceeded"),
        _ => error,
    };
    match said {
        Some(said) => error.with_source(said.to_owned()),
        None => error,
    }
}

fn rate_limited() -> (Kind, Class, &'static str) {
    let message = "The provider limits our rate.";
    (Kind::RateLimit, Class::RateLimit, message)
}

fn overloaded() -> (Kind, Class, &'static str) {
    let message = "The provider is overloaded.";
    (Kind::Overloaded, Class::Overload, message)
}

/// The answer broke off.
pub(super) fn cut() -> Error {
    Error::new(
        Kind::BadUpstream,
        "The provider's stream ended before the answer was finished.",
    )
    .with_class(Class::Transient)
}
