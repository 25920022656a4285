//! When an upstream wants to be asked again, in each of the forms that upstreams have for it.

mod families;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};
use smallvec::SmallVec;

pub(crate) use families::{FAMILIES, Family, Limit};

/// The longest wait that is believed: nobody waits longer, and a hostile value overflows nothing.
const LONGEST: f64 = 86_400.0;

/// After how long a retry is wanted: `retry-after-ms`, `retry-after` in seconds (fractions allowed),
/// as a [`duration`] or as a date, or the longest of the limits' resets whose remainder is zero, by
/// the names of every family of providers.
/// Cut to a day; a date that is over is no wait.
///
/// Dates are taken against the answer's own `date` where there is one, so that two clocks that
/// differ do no harm, else against the system's clock.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    Fields::of(headers).retry_after(headers)
}

/// The few headers of an answer that may speak of limits, found in one pass.
///
/// Some forty names are known, and most answers have none of them: looking up each in the map cost
/// more than all else that is done to an answer's head.
pub(crate) struct Fields<'a>(SmallVec<[(&'a str, &'a str); 8]>);

impl<'a> Fields<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let alike = |name: &str| {
            let name = name.as_bytes();
            matches!(name.first(), Some(b'a' | b'r' | b'x'))
                && (name.starts_with(b"retry-after")
                    || name.windows(5).any(|part| part == b"limit"))
        };
        // Filled where it is returned.
        let mut found = Self(SmallVec::new());
        for (name, value) in headers {
            if alike(name.as_str()) {
                if let Ok(text) = value.to_str() {
                    found.0.push((name.as_str(), text.trim()));
                }
            }
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, text) = self.0.iter().find(|(it, _)| *it == name)?;
        Some(text)
    }

    pub(crate) fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let text = |name: &str| self.get(name);
        let ms = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok());
        if let Some(wait) = ms.and_then(|ms| cut(ms / 1000.0)) {
            return Some(wait);
        }
        let now = || {
            let date = headers.get(header::DATE).and_then(|it| it.to_str().ok());
            date.and_then(instant).unwrap_or_else(|| {
                match SystemTime::now().duration_since(UNIX_EPOCH) {
                    Ok(since) => since.as_secs_f64(),
                    Err(_) => 0.0,
                }
            })
        };
        if let Some(after) = text(header::RETRY_AFTER.as_str()) {
            let wait = match after.parse::<f64>() {
                Ok(seconds) => cut(seconds),
                Err(_) => duration(after).or_else(|| until(instant(after)?, now())),
            };
            if wait.is_some() {
                return wait;
            }
        }
        FAMILIES
            .iter()
            .flat_map(Family::limits)
            .filter(|limit| text(limit.remaining) == Some("0"))
            .filter_map(|limit| {
                let reset = text(limit.reset)?;
                match reset.parse::<f64>() {
                    // Unix time, in milliseconds or in seconds: no limit lasts thirty years.
                    Ok(ms) if ms >= 1e12 => until(ms / 1000.0, now()),
                    Ok(seconds) if seconds >= 1e9 => until(seconds, now()),
                    Ok(_) => duration(reset),
                    Err(_) => duration(reset).or_else(|| until(instant(reset)?, now())),
                }
            })
            .max()
            .and_then(|wait| cut(wait.as_secs_f64()))
    }
}

fn cut(seconds: f64) -> Option<Duration> {
    // A negative number and NaN are no time.
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST)))
}

fn until(then: f64, now: f64) -> Option<Duration> {
    cut((then - now).max(0.0))
}

/// An instant in Unix seconds: an HTTP date in any of its three forms (RFC 9110 §5.6.7), or RFC
/// 3339 with an offset and a fraction.
#[must_use]
pub fn instant(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.as_bytes().get(4) == Some(&b'-') {
        return rfc_3339(text);
    }
    let mut words = text.split([' ', '-', ',']).filter(|word| !word.is_empty());
    let weekday = words.next()?;
    weekday
        .bytes()
        .all(|b| b.is_ascii_alphabetic())
        .then_some(())?;
    let second = words.next()?;
    let (day, month, year, time);
    if second.starts_with(|c: char| c.is_ascii_digit()) {
        (day, month, year, time) = (second, words.next()?, words.next()?, words.next()?);
        (words.next()? == "GMT").then_some(())?;
    } else {
        // asctime has the month first and the year last, and is always UTC.
        (month, day, time, year) = (second, words.next()?, words.next()?, words.next()?);
    }
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let number: i64 = year.parse().ok()?;
    let year = match year.len() {
        4 => number,
        2 if number < 70 => 2000 + number,
        2 => 1900 + number,
        _ => return None,
    };
    let days = days(year, month, day.parse().ok()?)?;
    Some((days * 86_400) as f64 + clock(time)?)
}

fn rfc_3339(text: &str) -> Option<f64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let days = days(parts.next()??, parts.next()??, parts.next()??)?;
    let (time, offset) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0.0),
        None => {
            let sign = rest.rfind(['+', '-'])?;
            let (hours, minutes) = rest[sign + 1..].split_once(':')?;
            let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
            let seconds = f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0;
            let east = rest.as_bytes()[sign] == b'+';
            (&rest[..sign], if east { seconds } else { -seconds })
        }
    };
    Some((days * 86_400) as f64 + clock(time)? - offset)
}

/// `hh:mm:ss`, with a fraction or without, in seconds.
fn clock(text: &str) -> Option<f64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds: f64 = seconds.parse().ok()?;
    // A leap second is the 61st.
    let sound = hours < 24 && minutes < 60 && (0.0..61.0).contains(&seconds);
    sound.then(|| f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0 + seconds)
}

/// Days from 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let sound = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    // Years that begin in March end with the leap day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    sound.then(|| of_years + (153 * month + 2) / 5 + day - 719_469)
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
        // One that says nothing hides none that does.
        for ms in ["-5", "nan", "soon"] {
            assert_eq!(
                read(&[("retry-after-ms", ms), ("retry-after", "9")]),
                Some(9000)
            );
        }
        let spent = [
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-remaining-requests", "4"),
            ("x-ratelimit-reset-requests", "9h"),
        ];
        assert_eq!(read(&spent), Some(360_000));
    }

    #[test]
    fn reads_instants_in_every_form() {
        for (text, unix) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777.0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777.0)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777.0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0.0)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800.0)),
            ("Fri, 31 Dec 9999 23:59:60 GMT", Some(253_402_300_800.0)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000.0)),
            ("2024-02-29T12:00:00.25+02:00", Some(1_709_200_800.25)),
            ("2024-02-29t12:00:00-00:30", Some(1_709_209_800.0)),
            ("2024-13-01T00:00:00Z", None),
            ("2024-02-29T25:00:00Z", None),
            ("2024-02-29", None),
            ("Sun, 06 Now 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("soon", None),
            ("", None),
            ("----", None),
            ("é", None),
        ] {
            assert_eq!(instant(text), unix, "{text:?}");
        }
    }

    #[test]
    fn a_date_is_taken_against_the_answers_own() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                "date",
                HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
            );
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            retry_after(&headers).map(|wait| wait.as_millis())
        };
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]),
            Some(30_000)
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1993 08:50:07 GMT")]),
            Some(0)
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 2093 08:50:07 GMT")]),
            Some(86_400_000)
        );
        for (remaining, reset, value) in [
            ("x-ratelimit-remaining", "x-ratelimit-reset", "784111787"),
            ("x-ratelimit-remaining", "x-ratelimit-reset", "10"),
            (
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
                "10s",
            ),
            ("ratelimit-remaining", "ratelimit-reset", "10"),
            (
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
                "1994-11-06T08:49:47Z",
            ),
        ] {
            let read = |left| read(&[(remaining, left), (reset, value)]);
            // 784 million is before 2001, so it counts as seconds; it is only cut.
            let want = if value.len() == 9 { 86_400_000 } else { 10_000 };
            assert_eq!(
                (read("0"), read("1")),
                (Some(want), None),
                "{reset}: {value}"
            );
        }
        // Every limit of every family makes wait.
        for limit in FAMILIES.iter().flat_map(Family::limits) {
            let spent = read(&[(limit.remaining, "0"), (limit.reset, "33.5")]);
            assert_eq!(spent, Some(33_500), "{}", limit.remaining);
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", HeaderValue::from_static("0"));
        let ahead = SystemTime::now() + Duration::from_secs(40);
        let ms = ahead
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_millis();
        headers.insert(
            "x-ratelimit-reset",
            HeaderValue::try_from(ms.to_string()).expect("digits"),
        );
        let wait = retry_after(&headers).expect("given").as_secs();
        assert!((38..=40).contains(&wait), "{wait}");
    }
}
