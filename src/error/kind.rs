//! What went wrong and where, in words that a program can tell apart.

use http::StatusCode;

/// What went wrong, which alone decides the status and the `type` of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Not JSON, or not of the required shape: 400.
    Format,
    /// A value out of range, or a rule across fields broken: 400, or 422 in dialect `strict`.
    Value,
    /// No valid key: 401.
    Authentication,
    /// The balance does not cover the request: 402.
    Balance,
    /// The key may not do this: 403.
    Permission,
    /// No such model or path: 404.
    NotFound,
    /// The path exists, the method does not: 405.
    Method,
    /// The client took too long to send its body: 408.
    Timeout,
    /// The idempotency key was used for another request: 409.
    Conflict,
    /// The body is larger than allowed: 413.
    TooLarge,
    /// Not a content type or encoding that is read here: 415.
    MediaType,
    /// A limit is reached; waiting helps: 429.
    RateLimit,
    /// The request is larger than the limit itself; waiting does not help: 429.
    NeverFits,
    /// A fault of the gateway: 500.
    Internal,
    /// The upstream answered nonsense, cut its answer or could not be reached: 502.
    BadUpstream,
    /// Overloaded, or nobody left to ask: 503.
    Overloaded,
    /// The upstream took too long: 504.
    UpstreamTimeout,
}

impl Kind {
    /// The status, the `type` and the `code` when none is given.
    pub(super) const fn row(self) -> (StatusCode, &'static str, Option<&'static str>) {
        use StatusCode as S;
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::Format => (S::BAD_REQUEST, INVALID, None),
            Self::Value => (S::BAD_REQUEST, INVALID, Some("invalid_value")),
            Self::Authentication => (
                S::UNAUTHORIZED,
                "authentication_error",
                Some("invalid_api_key"),
            ),
            Self::Balance => (
                S::PAYMENT_REQUIRED,
                "insufficient_quota",
                Some("insufficient_balance"),
            ),
            Self::Permission => (S::FORBIDDEN, "permission_error", None),
            Self::NotFound => (S::NOT_FOUND, INVALID, Some("not_found")),
            Self::Method => (S::METHOD_NOT_ALLOWED, INVALID, Some("method_not_allowed")),
            Self::Timeout => (S::REQUEST_TIMEOUT, "timeout_error", Some("request_timeout")),
            Self::Conflict => (S::CONFLICT, INVALID, Some("idempotency_conflict")),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, INVALID, Some("request_too_large")),
            Self::MediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                INVALID,
                Some("unsupported_media_type"),
            ),
            Self::RateLimit => (
                S::TOO_MANY_REQUESTS,
                "rate_limit_error",
                Some("rate_limit_exceeded"),
            ),
            Self::NeverFits => (
                S::TOO_MANY_REQUESTS,
                "rate_limit_error",
                Some("request_exceeds_limit"),
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "server_error",
                Some("internal_error"),
            ),
            Self::BadUpstream => (
                S::BAD_GATEWAY,
                "upstream_error",
                Some("bad_upstream_response"),
            ),
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                "overloaded_error",
                Some("upstream_overloaded"),
            ),
            Self::UpstreamTimeout => (
                S::GATEWAY_TIMEOUT,
                "upstream_error",
                Some("upstream_timeout"),
            ),
        }
    }

    /// Whether the same request can never succeed, which official clients must be told on the
    /// statuses that they would retry.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Balance | Self::NeverFits)
    }
}

/// Where an error arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The caller's request was wrong or not allowed.
    Client,
    /// The gateway itself.
    Gateway,
    /// An upstream provider.
    Upstream,
}

/// Why an upstream failed, as far as a router must tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Our key was refused.
    Credential,
    /// Refused to our key here, for this model or request: that says nothing of the key elsewhere.
    Forbidden,
    /// Our account is out of money or quota: waiting does not help.
    Quota,
    /// Our account's quota of this model is used up until the day or so is over: other models are served.
    ModelQuota,
    /// The provider does not know the model, or knows it no longer.
    ModelGone,
    /// Not served in this region.
    Region,
    /// Too many requests or tokens: waiting helps.
    RateLimit,
    /// The provider is overloaded.
    Overload,
    /// A fault that may pass: 500, a reset, a cut, a time-out.
    Transient,
    /// The caller's own mistake: another target would say the same.
    Caller,
    /// Refused for its content.
    ContentPolicy,
    /// Too long for this model.
    ContextLength,
    /// More than our account may send at once: waiting does not help, another's may take it.
    TooLarge,
}

/// Which of the times an upstream is given was over. All are one code to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeOut {
    /// To connect: name, TCP and the handshake of TLS.
    Connect,
    /// For one attempt, to the head of its answer.
    Attempt,
    /// To the first event of a stream.
    FirstEvent,
    /// Between two events.
    Idle,
    /// For all of it: all attempts together, or the whole answer.
    Total,
}
