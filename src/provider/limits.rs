use std::time::Duration;

use http::{HeaderMap, header};

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

/// The names that a family of providers has for the same four things.
struct Names {
    remaining_requests: &'static str,
    remaining_tokens: &'static str,
    reset_requests: &'static str,
    reset_tokens: &'static str,
}

// Whole names: this is read of every answer, and putting them together costs more than looking them
// up. Source: the vendors' API references, read 2026-11.
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
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let count = |name| text(name).and_then(|text| text.parse().ok());
        let reset = |name| {
            let text = text(name)?;
            duration(text)
                .filter(|wait| wait.as_secs() < 1_000_000_000)
                .or_else(|| until(text, headers))
        };
        let mut found = Self {
            retry_after: retry_after(headers),
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
fn until(instant: &str, headers: &HeaderMap) -> Option<Duration> {
    let end = rfc3339(instant)?;
    let date = http_date(headers.get(header::DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(u64::try_from(end - date).unwrap_or(0)))
}

/// Seconds since 1970 of `2026-11-25T17:00:00Z`, or with a fraction or an offset.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let offset = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(offset);
    let shift = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let (hours, minutes) = zone.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let seconds = day_seconds(clock.split('.').next()?)?;
    Some(days(year, month, day)? * 86_400 + seconds - shift * 60)
}

/// Seconds since 1970 of `Wed, 25 Nov 2026 17:00:00 GMT` (RFC 9110 §5.6.7, the form that is sent).
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = parts.next()?.parse().ok()?;
    let seconds = day_seconds(parts.next()?)?;
    Some(days(year, i64::try_from(month).ok()? + 1, day)? * 86_400 + seconds)
}

fn day_seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let fits =
        (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..=60).contains(&seconds);
    fits.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their odd day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468)
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
    fn an_instant_is_counted_from_the_answers_date() {
        for (instant, wait) in [
            ("2026-11-25T17:00:30Z", Some(30)),
            ("2026-11-25T17:00:30.75Z", Some(30)),
            ("2026-11-25T18:00:30+01:00", Some(30)),
            ("2026-11-25T16:59:00Z", Some(0)),
            ("2027-03-01T17:00:00Z", Some(96 * 86_400)),
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
            let wait = wait.map(Duration::from_secs);
            assert_eq!(dated.expect("some").reset_tokens, wait, "{instant}");
            let undated = read(&[left, (name, instant)]);
            assert_eq!(undated.expect("some").reset_tokens, None);
        }
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1));
        assert_eq!(rfc3339("2000-02-29T00:00:00Z"), Some(951_782_400));
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
