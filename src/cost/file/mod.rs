//! Price files, read into lists: our own, and two that others publish.

#[cfg(feature = "prices-builtin")]
mod builtin;
mod genai;
mod litellm;
mod own;
mod tree;

use std::fmt;

/// A price file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPrices(String);

impl BadPrices {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for BadPrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPrices {}

/// The first second of a day written as 2026-11-25, in Unix time.
fn day(text: &str) -> Option<u64> {
    let number = |range| {
        let digits: &str = text.get(range)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let dashes = text.len() == 10 && &text[4..5] == "-" && &text[7..8] == "-";
    if !dashes || year < 1970 {
        return None;
    }
    let days = super::calendar::days(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)?;
    u64::try_from(days).ok()?.checked_mul(86_400)
}

/// The second of a day written as 16:30, 16:30:00 or with a `Z` behind it.
fn second(text: &str) -> Option<u32> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let text = text.strip_suffix("+00:00").unwrap_or(text);
    let mut parts = text.split(':').map(|part| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok())?
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    let fits = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    fits.then_some(hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        assert_eq!(day("1970-01-02"), Some(86_400));
        assert_eq!(day("2026-11-25"), Some(1_795_564_800));
        for text in [
            "2026-02-30",
            "2026-13-01",
            "2026-1-01",
            "26-01-01",
            "2026-01-01T",
            "1969-12-31",
            "2026/01/01",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
        assert_eq!(second("16:30"), Some(59_400));
        assert_eq!(second("00:00:07Z"), Some(7));
        for text in ["24:00", "1:30", "", "12", "12:00:00:00", "12:60"] {
            assert_eq!(second(text), None, "{text}");
        }
    }
}
