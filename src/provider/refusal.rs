//! What every provider's refusal becomes: the class decides the answer, the provider's own words go
//! to the operator, and to the caller only where the fault is the caller's.

use std::time::Duration;

use http::StatusCode;

use crate::error::{
    Class, Error, Kind, Refused,
    upstream::{Said, of_class},
};

/// Whether a word that puts the blame on the client can hold: only a status that leaves it room blames the client too, or
/// one that is none of a refusal, as an error has in a stream or in the place of an answer.
pub(super) fn may_blame_client(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 422) || is_bare(status)
}

/// Whether an error came without a status of a refusal.
fn is_bare(status: StatusCode) -> bool {
    !status.is_client_error() && !status.is_server_error()
}

/// The status of an error: that of a failure where it came without one.
pub(super) fn status_of_error(status: StatusCode) -> StatusCode {
    if is_bare(status) {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        status
    }
}

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
