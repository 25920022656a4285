use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Refusal, Report, Retry, Standing};
use crate::{
    error::{Error, Kind},
    text,
};

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
    let mut text = Text::new();
    text.duration(span);
    String::from_utf8_lossy(text.as_ref()).into_owned()
}

/// The longest value: `5124095576030430h59m59.999s`.
const LONGEST: usize = 27;

/// The two digits of each number below a hundred.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + at as u8 / 10, b'0' + at as u8 % 10];
        at += 1;
    }
    pairs
};

/// The text of all values of an answer, side by side.
struct Text {
    bytes: [u8; 6 * LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Text {
    const fn new() -> Self {
        let bytes = [0; 6 * LONGEST];
        Self { bytes, length: 0 }
    }

    fn put(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        self.bytes[self.length..end].copy_from_slice(text);
        self.length = end;
    }

    fn number(&mut self, mut number: u64) {
        let end = self.length + digits(number);
        // Two digits at a time, the last ones first.
        let mut places = self.bytes[self.length..end].rchunks_exact_mut(2);
        for place in &mut places {
            place.copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        if let [first] = places.into_remainder() {
            *first = digit(number);
        }
        self.length = end;
    }

    /// The three values of a limit; how long each of them is.
    fn standing(&mut self, standing: &Standing) -> [usize; 3] {
        let start = self.length;
        self.number(standing.limit);
        let limit = self.length;
        self.number(standing.remaining);
        let remaining = self.length;
        self.duration(standing.reset);
        [limit - start, remaining - limit, self.length - remaining]
    }

    fn duration(&mut self, span: Duration) {
        let ms = u64::from(span.subsec_nanos().div_ceil(1_000_000));
        let (seconds, fraction) = (span.as_secs().saturating_add(ms / 1000), ms % 1000);
        if seconds == 0 && fraction > 0 {
            self.number(fraction);
            return self.put(b"ms");
        }
        let minutes = seconds / 60;
        if minutes >= 60 {
            self.number(minutes / 60);
            self.put(b"h");
        }
        if minutes > 0 {
            self.number(minutes % 60);
            self.put(b"m");
        }
        self.number(seconds % 60);
        if fraction > 0 {
            self.put(b".");
            // As many of the three digits as are no zeros at the end.
            let (mut rest, mut place) = (fraction, 100);
            while rest > 0 {
                self.put(&[digit(rest / place)]);
                rest %= place;
                place /= 10;
            }
        }
        self.put(b"s");
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
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
        // An answer has few headers: comparing the names is less than a hash of one.
        let limit = TOKENS.limit;
        let told = |_: &&Standing| tokens == Tokens::Own || !headers.keys().any(|it| *it == limit);
        let tokens = report.tokens.as_ref().filter(told);
        // The text of all values in one piece.
        let mut text = Text::new();
        let requests = report.requests.as_ref().map(|it| text.standing(it));
        let of_tokens = tokens.map(|it| text.standing(it));
        if text.length == 0 {
            return;
        }
        let count = usize::from(requests.is_some()) + usize::from(of_tokens.is_some());
        headers.reserve(3 * count);
        let mut text = text::copied(text.as_ref());
        if let Some(lengths) = requests {
            insert(headers, REQUESTS, &mut text, lengths);
        }
        if let Some(lengths) = of_tokens {
            insert(headers, TOKENS, &mut text, lengths);
        }
        if self == Self::WithIetf {
            for (label, standing) in [("requests", report.requests.as_ref()), ("tokens", tokens)] {
                if let Some(standing) = standing {
                    ietf(headers, label, standing);
                }
            }
        }
    }
}

/// Takes the three values off the beginning of the text.
fn insert(headers: &mut HeaderMap, names: Names, text: &mut Bytes, lengths: [usize; 3]) {
    let names = [names.limit, names.remaining, names.reset];
    for (name, length) in names.into_iter().zip(lengths) {
        let value = HeaderValue::from_maybe_shared(text.split_to(length));
        headers.insert(name, value.expect("digits and letters"));
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

fn value(text: String) -> HeaderValue {
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
    headers.append(RATELIMIT, value(now));
    headers.append(RATELIMIT_POLICY, value(policy));
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
        value(format!("refused; limit=\"{what}\"; retry=\"{wait}\"")),
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
    use super::{super::Unit, *};

    #[test]
    fn the_largest_values_are_written_whole() {
        let most = Standing {
            unit: Unit::Requests,
            limit: u64::MAX,
            remaining: u64::MAX,
            debt: 0,
            // The most hours, minutes and seconds.
            reset: Duration::new(18_446_744_073_709_551_599, 999_000_000),
            window: Duration::MAX,
        };
        let report = Report {
            requests: Some(most),
            tokens: Some(most),
            ..Report::default()
        };
        let mut headers = HeaderMap::new();
        Fields::OpenAi.write(&mut headers, &report, Tokens::Own);
        for kind in ["requests", "tokens"] {
            let of = |what: &str| headers[&format!("x-ratelimit-{what}-{kind}")].clone();
            assert_eq!(of("limit"), "18446744073709551615");
            assert_eq!(of("remaining"), "18446744073709551615");
            assert_eq!(of("reset"), "5124095576030430h59m59.999s");
        }
        let tens = (0..20).map(|power| 10_u64.pow(power));
        let around = tens.flat_map(|ten| [ten - 1, ten, ten + 1]);
        for number in around.chain([7, 42, 1_234_567, u64::MAX]) {
            let mut text = Text::new();
            text.put(b"x");
            text.number(number);
            assert_eq!(text.as_ref(), format!("x{number}").as_bytes());
        }
    }

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
