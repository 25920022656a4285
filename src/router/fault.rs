use http::{HeaderMap, Response, StatusCode};

use crate::{
    error::{Class, Error, Kind},
    retry::retry_after,
};

/// What an attempt failed with, in the words for the client; `None` when it has not failed.
///
/// A service that understands its upstream has left an [`Error`] in the response's extensions.
/// Without one the status alone decides.
pub(crate) fn of_response<B>(response: &mut Response<B>) -> Option<Error> {
    if let Some(error) = response.extensions_mut().remove::<Error>() {
        return Some(error);
    }
    if response.status().is_success() {
        return None;
    }
    Some(of_status(response.status(), response.headers()))
}

/// The class of an error, read from its kind when nobody said it.
pub(crate) fn class(error: &Error) -> Class {
    error.class().unwrap_or(match error.kind() {
        Kind::BadUpstream | Kind::UpstreamTimeout | Kind::Internal => Class::Transient,
        Kind::Overloaded => Class::Overload,
        Kind::RateLimit => Class::RateLimit,
        _ => Class::Caller,
    })
}

fn of_status(status: StatusCode, headers: &HeaderMap) -> Error {
    let unauthorized = |class| {
        Error::new(
            Kind::BadUpstream,
            "The upstream refused the gateway's credentials.",
        )
        .with_code("upstream_unauthorized")
        .with_class(class)
    };
    match status.as_u16() {
        401 => unauthorized(Class::Credential),
        // Nothing says that it is meant of the key.
        403 => unauthorized(Class::Forbidden),
        402 => unauthorized(Class::Quota),
        404 => Error::new(Kind::BadUpstream, "The upstream does not know the model.")
            .with_code("upstream_model_not_found")
            .with_class(Class::ModelGone),
        408 | 504 => Error::new(Kind::UpstreamTimeout, "The upstream took too long.")
            .with_class(Class::Transient),
        429 => {
            let error = Error::new(Kind::RateLimit, "The upstream's rate limit is reached.")
                .with_code("upstream_rate_limited")
                .with_class(Class::RateLimit);
            later(error, headers)
        }
        503 | 529 | 498 => {
            let error = Error::new(Kind::Overloaded, "The upstream is overloaded.");
            later(error.with_class(Class::Overload), headers)
        }
        400 | 413 | 422 => Error::new(Kind::Format, "The upstream refused the request.")
            .with_code("invalid_request")
            .with_class(Class::Caller),
        _ => Error::new(Kind::BadUpstream, "The upstream failed.").with_class(Class::Transient),
    }
}

fn later(error: Error, headers: &HeaderMap) -> Error {
    match retry_after(headers) {
        Some(after) => error.with_retry_after(after),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bare_status_decides() {
        let dialect = crate::dialect::Dialect::openai();
        for (status, class_, answer, code) in [
            (400, Class::Caller, 400, "invalid_request"),
            (401, Class::Credential, 502, "upstream_unauthorized"),
            (402, Class::Quota, 502, "upstream_unauthorized"),
            (403, Class::Forbidden, 502, "upstream_unauthorized"),
            (404, Class::ModelGone, 502, "upstream_model_not_found"),
            (408, Class::Transient, 504, "upstream_timeout"),
            (413, Class::Caller, 400, "invalid_request"),
            (422, Class::Caller, 400, "invalid_request"),
            (429, Class::RateLimit, 429, "upstream_rate_limited"),
            (500, Class::Transient, 502, "bad_upstream_response"),
            (302, Class::Transient, 502, "bad_upstream_response"),
            (503, Class::Overload, 503, "upstream_overloaded"),
            (504, Class::Transient, 504, "upstream_timeout"),
            (529, Class::Overload, 503, "upstream_overloaded"),
        ] {
            let status = StatusCode::from_u16(status).expect("valid");
            let error = of_status(status, &HeaderMap::new());
            assert_eq!(class(&error), class_, "{status}");
            assert_eq!(error.status(&dialect), answer, "{status}");
            assert_eq!(error.code(), Some(code), "{status}");
        }
    }

    #[test]
    fn an_exhausted_limit_says_when_it_resets() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining-tokens", "0".parse().expect("valid"));
        headers.insert("x-ratelimit-reset-tokens", "6m0s".parse().expect("valid"));
        headers.insert("x-ratelimit-reset-requests", "9h".parse().expect("valid"));
        let error = of_status(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(360)));
        headers.insert("retry-after-ms", "20".parse().expect("valid"));
        let error = of_status(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(20)));
    }
}
