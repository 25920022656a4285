use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Refusal, Report, Retry, Standing};
use crate::error::{Error, Kind};

/// A slot's holder ends when it ends: this is when to look again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Which headers tell of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fields {
    /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as OpenAI writes them.
    #[default]
    OpenAi,
    /// Those, and `RateLimit` and `RateLimit-Policy` of the IETF draft
    /// (draft-ietf-httpapi-ratelimit-headers-10, read 2026-11-21).
    WithIetf,
    /// None; only refusals say when to come again.
    None,
}

/// A span of time as Go prints it, rounded up to the millisecond: `6m0s`, `1.5s`, `120ms`, `0s`.
pub(super) fn go_duration(span: Duration) -> String {
    let mut out = Vec::with_capacity(12);
    put_duration(&mut out, span);
    String::from_utf8(out).expect("digits and letters")
}

fn put_duration(out: &mut impl BufMut, span: Duration) {
    let ms = u64::from(span.subsec_nanos().div_ceil(1_000_000));
    let (seconds, fraction) = (span.as_secs().saturating_add(ms / 1000), ms % 1000);
    if seconds == 0 && fraction > 0 {
        put_number(out, fraction);
        out.put_slice(b"ms");
        return;
    }
    let minutes = seconds / 60;
    if minutes >= 60 {
        put_number(out, minutes / 60);
        out.put_u8(b'h');
    }
    if minutes > 0 {
        put_number(out, minutes % 60);
        out.put_u8(b'm');
    }
    put_number(out, seconds % 60);
    if fraction > 0 {
        out.put_u8(b'.');
        // As many of the three digits as are no zeros at the end.
        let (mut rest, mut place) = (fraction, 100);
        while rest > 0 {
            out.put_u8(digit(rest / place));
            rest %= place;
            place /= 10;
        }
    }
    out.put_u8(b's');
}

fn put_number(out: &mut impl BufMut, mut number: u64) {
    // 2^64 has twenty digits.
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&text[at..]);
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};

const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

const SHADOW: HeaderName = HeaderName::from_static("x-ratelimit-shadow");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Fields {
    /// Writes how the limits stand. What a layer further in has written of tokens stands: it knows
    /// what it has reserved since.
    pub(super) fn write(self, headers: &mut HeaderMap, report: &Report, tokens: Tokens) {
        if self == Self::None {
            return;
        }
        let report = match tokens {
            Tokens::Absent if report.tokens.is_some() && headers.contains_key(TOKENS.limit) => {
                &Report {
                    tokens: None,
                    ..*report
                }
            }
            _ => report,
        };
        let told = [(REQUESTS, &report.requests), (TOKENS, &report.tokens)];
        let count = told
            .iter()
            .filter(|(_, standing)| standing.is_some())
            .count();
        if count == 0 {
            return;
        }
        headers.reserve(3 * count);
        // One allocation for the text of all values.
        let mut text = BytesMut::with_capacity(64 * count);
        for (names, standing) in told {
            if let Some(standing) = standing {
                put_number(&mut text, standing.limit);
                headers.insert(names.limit, cut(&mut text));
                put_number(&mut text, standing.remaining);
                headers.insert(names.remaining, cut(&mut text));
                put_duration(&mut text, standing.reset);
                headers.insert(names.reset, cut(&mut text));
            }
        }
        if self == Self::WithIetf {
            for (label, standing) in [("requests", &report.requests), ("tokens", &report.tokens)] {
                if let Some(standing) = standing {
                    ietf(headers, label, standing);
                }
            }
        }
    }
}

/// Whose word on tokens counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    /// This layer's: it counts them.
    Own,
    /// That of a layer further in, when it has said anything.
    Absent,
}

/// What has been written since the last cut, as a value.
fn cut(text: &mut BytesMut) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.split().freeze()).expect("digits and letters")
}

fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and letters")
}

/// A list of two members when both layers have written: each appends its own.
fn ietf(headers: &mut HeaderMap, label: &str, standing: &Standing) {
    let seconds = |span: Duration| span.as_nanos().div_ceil(1_000_000_000);
    let now = format!(
        "\"{label}\";r={};t={}",
        standing.remaining,
        seconds(standing.reset)
    );
    let policy = format!(
        "\"{label}\";q={};w={}",
        standing.limit,
        seconds(standing.window)
    );
    headers.append(RATELIMIT, text(now));
    headers.append(RATELIMIT_POLICY, text(policy));
}

/// Announces what would have been refused.
pub(super) fn announce(headers: &mut HeaderMap, refusal: &Refusal) {
    let wait = match refusal.retry {
        Retry::After(wait) => go_duration(wait),
        Retry::Release => go_duration(LOOK_AGAIN),
        Retry::Never => "never".to_owned(),
    };
    let what = refusal
        .unit
        .map_or("concurrent requests", |unit| unit.name());
    headers.insert(
        SHADOW,
        text(format!("refused; limit=\"{what}\"; retry=\"{wait}\"")),
    );
}

/// Announces that the limits could not be asked.
pub(super) fn announce_unasked(headers: &mut HeaderMap) {
    headers.insert(SHADOW, HeaderValue::from_static("unavailable"));
}

/// The refusal as the caller reads it.
pub(super) fn error(refusal: &Refusal) -> Error {
    let what = refusal
        .unit
        .map_or("concurrent requests", |unit| unit.name());
    let rule = &refusal.rule;
    let wait = match refusal.retry {
        Retry::After(wait) => wait,
        Retry::Release => LOOK_AGAIN,
        Retry::Never => {
            return Error::new(
                Kind::NeverFits,
                format!(
                    "The request is larger than the limit on {what} ({rule}); waiting does not help."
                ),
            );
        }
    };
    // Whoever comes at the very millisecond told must be admitted.
    let wait = Duration::from_millis(
        u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
    );
    let message = format!(
        "Rate limit reached on {what} ({rule}). Please try again in {}.",
        go_duration(wait)
    );
    Error::new(Kind::RateLimit, message).with_retry_after(wait)
}

/// What goes with every refusal that waiting helps against.
pub(super) fn should_retry(headers: &mut HeaderMap, refusal: &Refusal) {
    if refusal.retry != Retry::Never {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120_000_000, "120ms"),
            (1_000_000_000, "1s"),
            (8_640_000_000, "8.64s"),
            (59_999_000_000, "59.999s"),
            (90_500_000_000, "1m30.5s"),
            (360_000_000_000, "6m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (86_400_050_000_000, "24h0m0.05s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(ns)), text);
        }
    }
}
