use serde_json::Value;

use crate::{
    error::{Class, Error, Kind, upstream},
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
    if event.name() == Some("error") || value.get("error").is_some_and(|error| !error.is_null()) {
        return Look::Broken(upstream::in_stream(&event.text()));
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
