use std::time::Duration;

use http::{HeaderMap, header};

use crate::retry::{Fields, duration, instant};

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

/// The names that a family of providers has for the same four things.
struct Names {
    remaining_requests: &'static str,
    remaining_tokens: &'static str,
    reset_requests: &'static str,
    reset_tokens: &'static str,
}

// Source: the vendors' API references, read 2026-11.
const FAMILIES: &[Names] = &[
    // OpenAI, Azure, Groq, xAI, OpenRouter's upstreams, Fireworks, vLLM behind a gateway.
    Names {
        remaining_requests: "x-ratelimit-remaining-requests",
        remaining_tokens: "x-ratelimit-remaining-tokens",
        reset_requests: "x-ratelimit-reset-requests",
        reset_tokens: "x-ratelimit-reset-tokens",
    },
    Names {
        remaining_requests: "anthropic-ratelimit-requests-remaining",
        remaining_tokens: "anthropic-ratelimit-tokens-remaining",
        reset_requests: "anthropic-ratelimit-requests-reset",
        reset_tokens: "anthropic-ratelimit-tokens-reset",
    },
    // Cerebras: by the minute for tokens, by the day for requests.
    Names {
        remaining_requests: "x-ratelimit-remaining-requests-day",
        remaining_tokens: "x-ratelimit-remaining-tokens-minute",
        reset_requests: "x-ratelimit-reset-requests-day",
        reset_tokens: "x-ratelimit-reset-tokens-minute",
    },
    Names {
        remaining_requests: "x-ratelimit-remaining-req-10-second",
        remaining_tokens: "x-ratelimit-remaining-tokens-minute",
        reset_requests: "x-ratelimit-reset-req-10-second",
        reset_tokens: "x-ratelimit-reset-tokens-minute",
    },
    // OpenRouter's own, Together, Hugging Face, GitHub: requests only.
    Names {
        remaining_requests: "x-ratelimit-remaining",
        remaining_tokens: "x-tokenlimit-remaining",
        reset_requests: "x-ratelimit-reset",
        reset_tokens: "x-tokenlimit-reset",
    },
];

impl RateHeaders {
    /// Reads the names of every family, and `retry-after` in each of its forms. `None` when there is
    /// none of them. An instant (RFC 3339, as Anthropic writes them) is taken as so long after the
    /// answer's own `date`; without that it is left out, for there is no clock here.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let fields = Fields::of(headers);
        if fields.is_empty() {
            return None;
        }
        let count = |name| fields.get(name).and_then(|text| text.parse().ok());
        let reset = |name| {
            let text = fields.get(name)?;
            duration(text)
                .filter(|wait| wait.as_secs() < 1_000_000_000)
                .or_else(|| until(text, headers))
        };
        let mut found = Self {
            retry_after: fields.retry_after(headers),
            ..Self::default()
        };
        for names in FAMILIES {
            // Some share a name: one that is found already stays.
            found.remaining_requests = count(names.remaining_requests);
            found.remaining_tokens = found.remaining_tokens.or(count(names.remaining_tokens));
            found.reset_requests = found.reset_requests.or(reset(names.reset_requests));
            found.reset_tokens = found.reset_tokens.or(reset(names.reset_tokens));
            if found.remaining_requests.is_some() {
                break;
            }
        }
        (found != Self::default()).then_some(found)
    }
}

/// How long an instant is after the answer's `date`; not at all when it has passed.
fn until(end: &str, headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    Duration::try_from_secs_f64((instant(end)? - instant(date)?).max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<RateHeaders> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        RateHeaders::read(&headers)
    }

    #[test]
    fn every_family_has_its_names() {
        assert_eq!(read(&[]), None);
        for names in FAMILIES {
            let found = read(&[
                (names.remaining_requests, "3"),
                (names.remaining_tokens, "9"),
                (names.reset_requests, "1m0s"),
                (names.reset_tokens, "7"),
            ])
            .expect("some");
            assert_eq!(
                found.remaining_requests,
                Some(3),
                "{}",
                names.remaining_requests
            );
            assert_eq!(found.remaining_tokens, Some(9));
            assert_eq!(found.reset_requests, Some(Duration::from_secs(60)));
            assert_eq!(found.reset_tokens, Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn names_that_only_look_alike_say_nothing() {
        assert_eq!(read(&[("x-request-id", "3"), ("retry-later", "3")]), None);
        assert_eq!(read(&[("x-ratelimit-remaining-request", "3")]), None);
        assert_eq!(read(&[("x-limit", "3"), ("age", "3")]), None);
    }

    #[test]
    fn an_instant_is_counted_from_the_answers_date() {
        for (instant, wait) in [
            ("2026-11-25T17:00:30Z", Some(30.0)),
            ("2026-11-25T17:00:30.75Z", Some(30.75)),
            ("2026-11-25T18:00:30+01:00", Some(30.0)),
            ("2026-11-25T16:59:00Z", Some(0.0)),
            ("2027-03-01T17:00:00Z", Some(96.0 * 86_400.0)),
            ("2026-13-25T17:00:30Z", None),
            ("2026-11-25", None),
            ("T::Z", None),
        ] {
            let name = "anthropic-ratelimit-tokens-reset";
            let left = ("anthropic-ratelimit-tokens-remaining", "1");
            let dated = read(&[
                left,
                (name, instant),
                ("date", "Wed, 25 Nov 2026 17:00:00 GMT"),
            ]);
            let wait = wait.map(Duration::from_secs_f64);
            assert_eq!(dated.expect("some").reset_tokens, wait, "{instant}");
            let undated = read(&[left, (name, instant)]);
            assert_eq!(undated.expect("some").reset_tokens, None);
        }
    }

    #[test]
    fn waits_are_believed_for_a_day() {
        let wait = |text| read(&[("retry-after", text)]).and_then(|it| it.retry_after);
        assert_eq!(
            wait("99999999999999999999"),
            Some(Duration::from_secs(86_400))
        );
        assert_eq!(wait("-1"), None);
    }
}
