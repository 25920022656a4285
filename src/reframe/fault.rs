//! How the re-framing of an answer ends when it does not end well.

use crate::error::{Class, Error, Kind};

/// The answer broke off.
pub(super) fn cut() -> Error {
    Error::new(
        Kind::BadUpstream,
        "The provider's stream ended before the answer was finished.",
    )
    .with_class(Class::Transient)
}

/// It is not what an answer looks like.
pub(super) fn nonsense(message: &'static str) -> Error {
    Error::new(Kind::BadUpstream, message).with_class(Class::Transient)
}
