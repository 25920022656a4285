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

/// A whole answer is larger than this many bytes.
pub(super) fn too_large(limit: usize) -> Error {
    let message = format!("The provider's answer is larger than {limit} bytes.");
    Error::new(Kind::BadUpstream, message).with_class(Class::Transient)
}
