//! One error for everything that a caller of the API can be told.
//!
//! A refusal is a response, never a service error: a layer builds an [`Error`], and
//! [`Error::response`] turns it into the status, headers and JSON of the API. On a stream that has
//! begun, [`Error::event`] gives the same JSON as one server-sent event.
//!
//! ```
//! use tower_completions::{Dialect, Error, error::Kind};
//!
//! let error = Error::new(Kind::Value, "`temperature` must be between 0 and 2, got 3.5")
//!     .with_param("temperature")
//!     .with_code("invalid_value");
//! assert_eq!(error.status(&Dialect::openai()), 400);
//! assert_eq!(error.status(&Dialect::strict()), 422);
//! ```

mod cause;
mod kind;
pub(crate) mod upstream;

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use self::cause::Source;
use crate::{body::Full, dialect::Dialect};

pub(crate) use self::cause::Refused;
pub use self::{
    cause::Causes,
    kind::{Class, Kind, Origin, TimeOut},
};

/// An error in the API's own shape: what happened, for the caller, and why, for the operator.
///
/// [`fmt::Display`] and the JSON hold only what the caller may see; hosts, keys and causes are in
/// [`source`](StdError::source), and of those [`cause`](Self::cause) tells the ones that may be logged.
#[derive(Clone)]
pub struct Error(Box<Repr>);

#[derive(Clone)]
struct Repr {
    kind: Kind,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    code: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    origin: Origin,
    class: Option<Class>,
    time_out: Option<TimeOut>,
    source: Source,
}

impl Error {
    /// An error of this kind. The message is for the person calling the API.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let origin = match kind {
            Kind::Internal => Origin::Gateway,
            Kind::BadUpstream | Kind::Overloaded | Kind::UpstreamTimeout => Origin::Upstream,
            _ => Origin::Client,
        };
        let code = kind.row().2.map(Cow::Borrowed);
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            param: None,
            code,
            retry_after: None,
            origin,
            class: None,
            time_out: None,
            source: Source::Nothing,
        }))
    }

    /// The path of the field at fault, as OpenAI writes it: `messages[1].content`.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// A code that says more than the kind's own.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// After how long a retry is worth while; sent as `retry-after` and `retry-after-ms`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Where it arose, when the kind does not say it.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.0.origin = origin;
        self
    }

    /// What a router should make of it.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Self {
        self.0.class = Some(class);
        self
    }

    /// The upstream took too long, by this measure of ours.
    #[must_use]
    pub fn timed_out(which: TimeOut) -> Self {
        let message = match which {
            TimeOut::Connect => "The upstream took too long to connect to.",
            TimeOut::Attempt => "The upstream took too long to answer.",
            TimeOut::FirstEvent => "The upstream took too long to its first event.",
            TimeOut::Idle => "The upstream sent nothing more in time.",
            TimeOut::Total => "The upstream took too long, all in all.",
        };
        let mut error = Self::new(Kind::UpstreamTimeout, message).with_class(Class::Transient);
        error.0.time_out = Some(which);
        error
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The path of the field at fault.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The machine-readable code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// After how long a retry is worth while.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Where it arose.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// What a router should make of it; `None` when it did not come from an upstream.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.0.class
    }

    /// Which time of ours an upstream exceeded; `None` when it was no time-out, or the upstream's
    /// own.
    #[must_use]
    pub fn time_out(&self) -> Option<TimeOut> {
        self.0.time_out
    }

    /// The status in a dialect.
    #[must_use]
    pub fn status(&self, dialect: &Dialect) -> StatusCode {
        match self.0.kind {
            Kind::Value => dialect.value_status,
            kind => kind.row().0,
        }
    }

    /// `{"error":{"message","type","param","code"}}`, all four members always.
    #[must_use]
    pub fn json(&self) -> Bytes {
        Bytes::from(self.write_json(Vec::with_capacity(160), b""))
    }

    /// The same JSON as one server-sent event, ending in its blank line.
    #[must_use]
    pub fn event(&self) -> Bytes {
        let mut out = self.write_json(Vec::with_capacity(168), b"data: ");
        out.extend_from_slice(b"\n\n");
        Bytes::from(out)
    }

    fn write_json(&self, mut out: Vec<u8>, before: &[u8]) -> Vec<u8> {
        out.extend_from_slice(before);
        out.extend_from_slice(br#"{"error":{"message":"#);
        write_string(&mut out, Some(&self.0.message));
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(self.0.kind.row().1.as_bytes());
        out.extend_from_slice(br#"","param":"#);
        write_string(&mut out, self.param());
        out.extend_from_slice(br#","code":"#);
        write_string(&mut out, self.code());
        out.extend_from_slice(b"}}");
        out
    }

    /// The headers that belong to it: `retry-after` (whole seconds, rounded up),
    /// `retry-after-ms` and `x-should-retry`: `false` where the same request can never succeed, and for
    /// an upstream account's quota that is used up until nobody knows when.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let spent = self.0.kind == Kind::RateLimit
            && matches!(self.0.class, Some(Class::Quota | Class::ModelQuota))
            && self.0.retry_after.is_none();
        if self.0.kind.is_final() || spent {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
            return;
        }
        if let Some(after) = self.0.retry_after {
            let ms = u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
            headers.insert("retry-after-ms", HeaderValue::from(ms));
        }
    }

    /// The whole response, with the error itself in its extensions.
    #[must_use]
    pub fn response(self, dialect: &Dialect) -> Response<Full> {
        let mut response = Response::new(Full::new(self.json()));
        *response.status_mut() = self.status(dialect);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        self.write_headers(headers);
        response.extensions_mut().insert(self);
        response
    }
}

fn write_string(out: &mut Vec<u8>, value: Option<&str>) {
    serde_json::to_writer(out, &value).expect("a string serialises into memory");
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("param", &self.0.param)
            .field("code", &self.0.code)
            .field("retry_after", &self.0.retry_after)
            .field("origin", &self.0.origin)
            .field("class", &self.0.class)
            .field("time_out", &self.0.time_out)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_all_four_members() {
        let plain = Error::new(Kind::Format, "say \"what\"");
        assert_eq!(
            plain.json(),
            r#"{"error":{"message":"say \"what\"","type":"invalid_request_error","param":null,"code":null}}"#
        );
        let full = Error::new(Kind::Value, "x")
            .with_param("n")
            .with_code("invalid_type");
        assert_eq!(
            full.event(),
            "data: {\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"invalid_type\"}}\n\n"
        );
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let mut headers = HeaderMap::new();
        Error::new(Kind::RateLimit, "later")
            .with_retry_after(Duration::from_micros(1_000_100))
            .write_headers(&mut headers);
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(headers["retry-after-ms"], "1001");
    }

    #[test]
    fn a_final_refusal_says_so() {
        for kind in [Kind::Balance, Kind::NeverFits] {
            let response = Error::new(kind, "no")
                .with_retry_after(Duration::from_secs(1))
                .response(&Dialect::openai());
            assert_eq!(response.headers()["x-should-retry"], "false");
            assert!(!response.headers().contains_key("retry-after"));
        }
    }

    #[test]
    fn a_used_up_quota_is_final_until_it_is_said_when_it_is_not() {
        let spent = Error::new(Kind::RateLimit, "no").with_class(Class::Quota);
        let mut headers = HeaderMap::new();
        spent.clone().write_headers(&mut headers);
        assert_eq!(headers["x-should-retry"], "false");
        let mut headers = HeaderMap::new();
        spent
            .with_retry_after(Duration::from_secs(7))
            .write_headers(&mut headers);
        assert_eq!(headers["retry-after"], "7");
        assert!(!headers.contains_key("x-should-retry"));
    }

    #[test]
    fn the_cause_is_not_shown() {
        let error = Error::new(Kind::BadUpstream, "could not be reached").with_source("sk-secret");
        assert!(!format!("{error} {error:?}").contains("sk-secret"));
        assert_eq!(error.source().expect("kept").to_string(), "sk-secret");
    }
}
