//! What a body is, by its head.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The content type as it was said: the first one. An answer has few headers, and comparing their names
/// is less than a look-up, which is a hash.
pub(crate) fn kind(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = headers.iter();
    let found = all.find(|(name, _)| **name == header::CONTENT_TYPE);
    found.map(|(_, kind)| kind)
}

/// The content type without its parameters. It ends at a blank, too: some servers write one in place of
/// the `;`, and a stream is one for every layer or for none.
pub(crate) fn essence(headers: &HeaderMap) -> Option<&[u8]> {
    Some(alone(kind(headers)?.as_bytes()))
}

/// Whether it is a stream of server-sent events.
pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    // What is shorter is not looked at at all: JSON.
    let kind = kind(headers).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.len() >= EVENTS.len() && alone(kind).eq_ignore_ascii_case(EVENTS))
}

fn alone(kind: &[u8]) -> &[u8] {
    let kind = kind.trim_ascii_start();
    let end = memchr::memchr3(b';', b' ', b'\t', kind).unwrap_or(kind.len());
    &kind[..end]
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
        for (value, type_alone, events) in [
            ("text/event-stream", "text/event-stream", true),
            ("text/event-stream;charset=utf-8", "text/event-stream", true),
            (
                "Text/Event-Stream ; charset=utf-8",
                "Text/Event-Stream",
                true,
            ),
            ("text/event-stream charset=utf-8", "text/event-stream", true),
            (
                "text/event-stream\t; charset=utf-8",
                "text/event-stream",
                true,
            ),
            (" text/event-stream", "text/event-stream", true),
            ("text/event-streams", "text/event-streams", false),
            ("text/event-stream, text/plain", "text/event-stream,", false),
            (
                "application/json; of=text/event-stream",
                "application/json",
                false,
            ),
            ("application/json charset=utf-8", "application/json", false),
            ("", "", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!is_events(&headers));
            headers.insert("age", HeaderValue::from_static("1"));
            headers.insert("content-type", HeaderValue::from_static(value));
            assert_eq!(is_events(&headers), events, "{value}");
            let alone = essence(&headers).map(<[u8]>::to_vec);
            assert_eq!(alone.as_deref(), Some(type_alone.as_bytes()), "{value}");
            assert_eq!(kind(&headers), headers.get("content-type"));
            assert!(has(&headers, &header::AGE) && !has(&headers, &header::DATE));
        }
    }
}
