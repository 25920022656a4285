//! What a body is, by its head.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The content type as it was said: the first one. An answer has few headers, and comparing their names
/// is less than a look-up, which is a hash.
pub(crate) fn kind(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = headers.iter();
    let found = all.find(|(name, _)| **name == header::CONTENT_TYPE);
    found.map(|(_, kind)| kind)
}

/// The content type without its parameters.
pub(crate) fn essence(headers: &HeaderMap) -> Option<&[u8]> {
    let kind = kind(headers)?.as_bytes();
    let end = memchr::memchr(b';', kind).unwrap_or(kind.len());
    Some(kind[..end].trim_ascii())
}

/// Whether it is a stream of server-sent events.
pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    // What is shorter is not looked at at all: JSON.
    let split = kind(headers).and_then(|kind| kind.as_bytes().split_at_checked(EVENTS.len()));
    split.is_some_and(|(essence, rest)| {
        essence.eq_ignore_ascii_case(EVENTS) && matches!(rest, [] | [b';' | b' ' | b'\t', ..])
    })
}

/// Whether a header is there: for names that few answers have.
pub(crate) fn has(headers: &HeaderMap, wanted: &HeaderName) -> bool {
    headers.keys().any(|name| name == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_told_by_its_type_alone() {
        for (value, events) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-streams", false),
            ("application/json; of=text/event-stream", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!is_events(&headers));
            headers.insert("age", HeaderValue::from_static("1"));
            headers.insert("content-type", HeaderValue::from_static(value));
            assert_eq!(is_events(&headers), events, "{value}");
            assert_eq!(kind(&headers), headers.get("content-type"));
            assert!(has(&headers, &header::AGE) && !has(&headers, &header::DATE));
        }
    }
}
