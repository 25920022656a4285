//! When an upstream wants to be asked again, in each of the forms that upstreams have for it.

use std::time::Duration;

use http::{HeaderMap, header};

/// The longest wait that is believed: nobody waits longer, and a hostile value overflows nothing.
const LONGEST: f64 = 86_400.0;

/// After how long a retry is wanted: `retry-after-ms`, `retry-after` in seconds (fractions allowed)
/// or as a [`duration`], or the longest of the `x-ratelimit-reset-*` whose remainder is zero. Cut to
/// a day. A `retry-after` that is a date needs a clock and is left out.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return cut(ms / 1000.0);
    }
    if let Some(after) = text(header::RETRY_AFTER.as_str()) {
        let wait = match after.parse::<f64>() {
            Ok(seconds) => cut(seconds),
            Err(_) => duration(after),
        };
        if wait.is_some() {
            return wait;
        }
    }
    [
        (
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ),
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ]
    .into_iter()
    .filter(|(remaining, _)| text(remaining) == Some("0"))
    .filter_map(|(_, reset)| text(reset).and_then(duration))
    .max()
    .and_then(|wait| cut(wait.as_secs_f64()))
}

fn cut(seconds: f64) -> Option<Duration> {
    // A negative number and NaN are no time.
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST)))
}

/// A duration as upstreams write it: seconds (`7`, `7.66`), or Go's form (`6m0s`, `20ms`, `1h2m`).
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(value * seconds).ok()?)?;
        rest = &rest[unit..];
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reads_durations_in_every_form() {
        for (text, ms) in [
            ("7", Some(7000)),
            ("7.5", Some(7500)),
            ("6m0s", Some(360_000)),
            ("1h2m", Some(3_720_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("20ms", Some(20)),
            ("1.5s", Some(1500)),
            ("0s", Some(0)),
            ("", None),
            ("-1", None),
            ("nan", None),
            ("soon", None),
            ("s", None),
            ("5x", None),
            ("1.2.3s", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_wait_is_read_from_whatever_says_it_and_never_longer_than_a_day() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            retry_after(&headers).map(|wait| wait.as_millis())
        };
        let day = Some(86_400_000);
        assert_eq!(read(&[]), None);
        assert_eq!(
            read(&[("retry-after-ms", "20"), ("retry-after", "9")]),
            Some(20)
        );
        assert_eq!(read(&[("retry-after", "1.5")]), Some(1500));
        assert_eq!(read(&[("retry-after", "6m0s")]), Some(360_000));
        assert_eq!(read(&[("retry-after", "-1")]), None);
        assert_eq!(read(&[("retry-after", "99999999999999999999")]), day);
        assert_eq!(read(&[("retry-after-ms", "inf")]), day);
        assert_eq!(read(&[("retry-after-ms", "nan")]), None);
        let spent = [
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-remaining-requests", "4"),
            ("x-ratelimit-reset-requests", "9h"),
        ];
        assert_eq!(read(&spent), Some(360_000));
    }
}
