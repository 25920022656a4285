//! What every provider's refusal becomes: the class decides the answer, the provider's own words go
//! to the operator, and to the caller only where the fault is the caller's.

use std::time::Duration;

use http::StatusCode;

use crate::error::{
    Class, Error, Kind, Refused,
    upstream::{Said, of_class},
};

/// The error for a refusal of a class. `body` is kept for the operator.
pub(super) fn refusal(
    class: Class,
    status: StatusCode,
    said: Said,
    after: Option<Duration>,
    body: &[u8],
) -> Error {
    let mut error = of_class(class, status, said);
    if let (Some(after), Kind::RateLimit | Kind::Overloaded) = (after, error.kind()) {
        error = error.with_retry_after(after);
    }
    error
        .with_class(class)
        .with_source(Refused::new(status, body))
}
