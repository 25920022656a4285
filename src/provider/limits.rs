use std::time::Duration;

use http::{HeaderMap, HeaderValue};

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

/// `retry-after-ms`, else `retry-after` in seconds, fractions allowed. Values beyond a day are cut
/// to a day: nobody waits longer, and a hostile value must not overflow anything.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = headers
        .get("retry-after-ms")
        .and_then(number)
        .map(|ms| ms / 1000.0)
        .or_else(|| headers.get(http::header::RETRY_AFTER).and_then(number))?;
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(86_400.0)))
}

/// A Go duration (`6m0s`, `120ms`), or plain seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let mut total = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .bytes()
            .take_while(|byte| !byte.is_ascii_digit() && *byte != b'.')
            .count();
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                "" if digits == text.len() => 1.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty() && total.is_finite()).then(|| Duration::from_secs_f64(total.min(1e7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1h2m3.5s", Some(3_723_500)),
            ("7", Some(7_000)),
            ("0s", Some(0)),
            ("", None),
            ("soon", None),
            ("5x", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        }
    }

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
