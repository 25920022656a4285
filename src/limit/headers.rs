use std::{fmt::Write as _, time::Duration};

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
    let ms = span.as_nanos().div_ceil(1_000_000);
    let mut out = String::with_capacity(12);
    let (seconds, fraction) = (ms / 1000, ms % 1000);
    let written = match (seconds, fraction) {
        (0, 0) => write!(out, "0s"),
        (0, ms) => write!(out, "{ms}ms"),
        _ => {
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let head = if hours > 0 {
                write!(out, "{hours}h{minutes}m")
            } else if minutes > 0 {
                write!(out, "{minutes}m")
            } else {
                Ok(())
            };
            head.and_then(|()| {
                if fraction == 0 {
                    return write!(out, "{seconds}s");
                }
                let digits = format!("{fraction:03}");
                write!(out, "{seconds}.{}s", digits.trim_end_matches('0'))
            })
        }
    };
    written.expect("a string takes everything");
    out
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
    /// Writes how the limits stand.
    pub(super) fn write(self, headers: &mut HeaderMap, report: &Report) {
        if self == Self::None {
            return;
        }
        for (names, standing) in [(REQUESTS, &report.requests), (TOKENS, &report.tokens)] {
            if let Some(standing) = standing {
                headers.insert(names.limit, standing.limit.into());
                headers.insert(names.remaining, standing.remaining.into());
                headers.insert(names.reset, text(go_duration(standing.reset)));
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
