use std::time::Duration;

use http::{HeaderMap, header};

use crate::retry::{FAMILIES, Fields, Limit, duration, instant};

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
    /// Reads the names of every family, and `retry-after` in each of its forms. `None` when there is
    /// none of them. An instant (RFC 3339, as Anthropic writes them) is taken as so long after the
    /// answer's own `date`; without that it is left out, for there is no clock here.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let fields = Fields::of(headers);
        if fields.is_empty() {
            return None;
        }
        let count = |limit: &Limit| fields.get(limit.remaining)?.parse().ok();
        let reset = |limit: &Limit| {
            let text = fields.get(limit.reset)?;
            duration(text)
                .filter(|wait| wait.as_secs() < 1_000_000_000)
                .or_else(|| until(text, headers))
        };
        let mut found = Self {
            retry_after: fields.retry_after(headers),
            ..Self::default()
        };
        for family in FAMILIES {
            let (requests, tokens) = (&family.requests, family.tokens.as_ref());
            // Some share a name: one that is found already stays.
            found.remaining_requests = count(requests);
            found.remaining_tokens = found.remaining_tokens.or(tokens.and_then(count));
            found.reset_requests = found.reset_requests.or(reset(requests));
            found.reset_tokens = found.reset_tokens.or(tokens.and_then(reset));
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
        for family in FAMILIES {
            let requests = &family.requests;
            let mut pairs = vec![(requests.remaining, "3"), (requests.reset, "1m0s")];
            if let Some(tokens) = &family.tokens {
                pairs.extend([(tokens.remaining, "9"), (tokens.reset, "7")]);
            }
            let found = read(&pairs).expect("some");
            assert_eq!(found.remaining_requests, Some(3), "{}", requests.remaining);
            assert_eq!(found.reset_requests, Some(Duration::from_secs(60)));
            let told = family.tokens.is_some();
            assert_eq!(found.remaining_tokens, told.then_some(9));
            assert_eq!(found.reset_tokens, told.then_some(Duration::from_secs(7)));
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
