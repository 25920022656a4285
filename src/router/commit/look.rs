use serde_json::Value;

use crate::{
    error::{Class, Error, Kind},
    sse::Event,
};

/// What an event says of the stream that it begins.
#[derive(Debug)]
pub(crate) enum Look {
    /// Something for the client to read, or the regular end: the answer has begun.
    Content,
    /// A role, an id, an empty delta: nothing yet.
    Lifecycle,
    /// It is no answer.
    Broken(Error),
}

/// Looks at one event.
pub(crate) fn look(event: &Event) -> Look {
    let data = event.data();
    if data.starts_with(b"[DONE]") {
        return Look::Content;
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        let error = Error::new(Kind::BadUpstream, "the upstream sent what is no JSON");
        return Look::Broken(error.with_class(Class::Transient));
    };
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return Look::Broken(fault(error));
    }
    if event.name() == Some("error") {
        return Look::Broken(fault(&value));
    }
    let choices = value.get("choices").and_then(Value::as_array);
    let begun = choices.into_iter().flatten().any(|choice| {
        choice.get("finish_reason").is_some_and(says) || choice.get("delta").is_some_and(speaks)
    });
    if begun {
        Look::Content
    } else {
        Look::Lifecycle
    }
}

/// Whether a value is neither null nor empty.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

fn speaks(delta: &Value) -> bool {
    let members = delta.as_object().into_iter().flatten();
    members
        .into_iter()
        .any(|(name, value)| name != "role" && says(value))
}

/// The error of a stream that says it failed, by its code or type. Its text stays with the operator.
fn fault(error: &Value) -> Error {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = ["code", "status_code"].iter().find_map(|name| {
        error
            .get(name)?
            .as_u64()
            .or_else(|| error.get(name)?.as_str()?.parse().ok())
    });
    let words = format!("{} {}", text("code"), text("type"));
    let has = |word: &str| words.contains(word);
    let made = |kind, class, message| Error::new(kind, message).with_class(class);
    let error = if has("context_length") {
        let message = "the messages are too long for the model";
        made(Kind::Format, Class::ContextLength, message).with_code("context_length_exceeded")
    } else if number == Some(429) || has("rate_limit") {
        made(
            Kind::RateLimit,
            Class::RateLimit,
            "the upstream's rate limit is reached",
        )
        .with_code("upstream_rate_limited")
    } else if matches!(number, Some(503 | 529)) || has("overloaded") || has("slow_down") {
        made(
            Kind::Overloaded,
            Class::Overload,
            "the upstream is overloaded",
        )
    } else if matches!(number, Some(408 | 504 | 524)) || has("timeout") {
        made(
            Kind::UpstreamTimeout,
            Class::Transient,
            "the upstream took too long",
        )
    } else {
        made(Kind::BadUpstream, Class::Transient, "the upstream failed")
    };
    error.with_source(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Decoder;

    #[test]
    fn tells_content_from_what_precedes_it() {
        for (data, want) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
                "Lifecycle",
            ),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":null,"refusal":null}}]}"#,
                "Lifecycle",
            ),
            (r#"{"choices":[]}"#, "Lifecycle"),
            (r#"{"choices":[{"delta":{"content":"a"}}]}"#, "Content"),
            (r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#, "Content"),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
                "Content",
            ),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
                "Content",
            ),
            ("[DONE]", "Content"),
            ("nonsense", "Transient"),
            (r#"{"error":{"code":429}}"#, "RateLimit"),
            (r#"{"error":{"code":"429"}}"#, "RateLimit"),
            (r#"{"error":{"type":"overloaded_error"}}"#, "Overload"),
            (
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                "ContextLength",
            ),
            (r#"{"error":"text"}"#, "Transient"),
        ] {
            let mut decoder = Decoder::new();
            decoder.push(format!("data: {data}\n\n").into());
            let event = decoder.next().expect("whole").expect("sound");
            let seen = match look(&event) {
                Look::Broken(error) => format!("{:?}", error.class().expect("given")),
                other => format!("{other:?}"),
            };
            assert_eq!(seen, want, "{data}");
        }
    }
}
