use std::time::Duration;

use http::HeaderMap;

use crate::retry::{duration, retry_after};

/// What an upstream says of its own limits, read from the headers of any answer of its.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateHeaders {
    /// Requests that may still be sent.
    pub remaining_requests: Option<u64>,
    /// Tokens that may still be used.
    pub remaining_tokens: Option<u64>,
    /// How long until the requests are whole again.
    pub reset_requests: Option<Duration>,
    /// How long until the tokens are whole again.
    pub reset_tokens: Option<Duration>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl RateHeaders {
    /// Reads OpenAI's names, Anthropic's, and `retry-after` in milliseconds or seconds. `None` when
    /// there is none of them. Instants (RFC 3339, HTTP dates) need a clock and are left out.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let first = |names: [&str; 2]| {
            let mut names = names.into_iter();
            names.find_map(|name| headers.get(name)?.to_str().ok())
        };
        let count = |names| first(names).and_then(|text| text.parse().ok());
        let reset = |names| first(names).and_then(duration);
        // Whole names: this is read of every answer, and putting them together costs more than
        // looking them up.
        let found = Self {
            remaining_requests: count([
                "x-ratelimit-remaining-requests",
                "anthropic-ratelimit-requests-remaining",
            ]),
            remaining_tokens: count([
                "x-ratelimit-remaining-tokens",
                "anthropic-ratelimit-tokens-remaining",
            ]),
            reset_requests: reset([
                "x-ratelimit-reset-requests",
                "anthropic-ratelimit-requests-reset",
            ]),
            reset_tokens: reset([
                "x-ratelimit-reset-tokens",
                "anthropic-ratelimit-tokens-reset",
            ]),
            retry_after: retry_after(headers),
        };
        (found != Self::default()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_of_two_families() {
        let mut headers = HeaderMap::new();
        assert_eq!(RateHeaders::read(&headers), None);
        headers.insert(
            "x-ratelimit-remaining-requests",
            HeaderValue::from_static("3"),
        );
        headers.insert(
            "anthropic-ratelimit-tokens-remaining",
            HeaderValue::from_static("9"),
        );
        headers.insert(
            "retry-after",
            HeaderValue::from_static("99999999999999999999"),
        );
        let read = RateHeaders::read(&headers).expect("some");
        assert_eq!(
            (read.remaining_requests, read.remaining_tokens),
            (Some(3), Some(9))
        );
        assert_eq!(read.retry_after, Some(Duration::from_secs(86_400)));
        headers.insert("retry-after", HeaderValue::from_static("-1"));
        assert_eq!(RateHeaders::read(&headers).expect("some").retry_after, None);
    }
}
