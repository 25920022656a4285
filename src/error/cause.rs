//! Why an error arose, as far as a log may have it.

use std::{error::Error as StdError, fmt, sync::Arc};

use http::StatusCode;

use super::Error;

/// What is behind an error.
#[derive(Clone)]
pub(super) enum Source {
    Nothing,
    /// It may quote what was asked or answered.
    Quoting(Arc<dyn StdError + Send + Sync>),
    /// It quotes neither.
    Cause(Arc<dyn StdError + Send + Sync>),
}

impl Source {
    pub(super) fn get(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Nothing => None,
            Self::Quoting(source) | Self::Cause(source) => Some(&**source),
        }
    }
}

impl Error {
    /// The cause, for the operator only; it may quote what was asked or answered. Spans do not have it:
    /// see [`with_cause`](Self::with_cause).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Source::Quoting(Arc::from(source.into()));
        self
    }

    /// A cause that quotes neither what was asked nor what was answered, nor a key: a connection that
    /// was refused, say. It is the error's [`source`](StdError::source), and spans have it too.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Source::Cause(Arc::from(cause.into()));
        self
    }

    /// The causes behind it that may be logged, from the outermost to the root; of an upstream's
    /// refusal the status alone. `None` where there are none.
    #[must_use]
    pub fn cause(&self) -> Option<Causes<'_>> {
        let first = match &self.0.source {
            Source::Nothing => return None,
            Source::Cause(cause) => &**cause as &(dyn StdError + 'static),
            Source::Quoting(source) => source.downcast_ref::<Refused>()?,
        };
        Some(Causes { first })
    }
}

/// Errors one behind the other, as [`Error::cause`] tells them.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a> {
    first: &'a (dyn StdError + 'static),
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self.first);
        let mut before = "";
        while let Some(error) = next {
            f.write_str(before)?;
            before = ": ";
            next = match (
                error.downcast_ref::<Refused>(),
                error.downcast_ref::<Error>(),
            ) {
                (Some(refused), _) => return refused.status(f),
                // One of ours knows which of its own causes may be told.
                (None, Some(ours)) => {
                    write!(f, "{ours}")?;
                    ours.cause().map(|causes| causes.first)
                }
                (None, None) => {
                    write!(f, "{error}")?;
                    error.source()
                }
            };
        }
        Ok(())
    }
}

/// An upstream's refusal: its status, and the beginning of what it said.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    code: String,
    text: String,
}

impl Refused {
    /// The most that is kept of what was said, in bytes.
    const MOST: usize = 1024;

    pub(crate) fn new(status: StatusCode, body: &[u8]) -> Self {
        Self::with_code(status, "", body)
    }

    pub(crate) fn with_code(status: StatusCode, code: &str, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(Self::MOST)]);
        Self {
            status,
            code: code.to_owned(),
            text: text.into_owned(),
        }
    }

    fn status(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream answered {}", self.status)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status(f)?;
        if !self.code.is_empty() {
            write!(f, ", {}", self.code)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl StdError for Refused {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Kind;

    fn error() -> Error {
        Error::new(Kind::BadUpstream, "It failed.")
    }

    #[test]
    fn what_quotes_nothing_is_told_to_the_root() {
        let refused = Refused::with_code(StatusCode::BAD_GATEWAY, "code", b"canary");
        let words = refused.to_string();
        assert_eq!(words, "upstream answered 502 Bad Gateway, code: canary");
        let io = || io::Error::other("connect 10.0.0.1:443 refused");
        for (error, told) in [
            (error(), None),
            (error().with_source("canary"), None),
            (error().with_source(error().with_cause(io())), None),
            (
                error().with_source(refused),
                Some("upstream answered 502 Bad Gateway"),
            ),
            (
                error().with_cause(io()),
                Some("connect 10.0.0.1:443 refused"),
            ),
            (
                error().with_cause(error().with_cause(io())),
                Some("It failed.: connect 10.0.0.1:443 refused"),
            ),
            (
                error().with_cause(error().with_source("canary")),
                Some("It failed."),
            ),
        ] {
            let cause = error.cause().map(|cause| cause.to_string());
            assert_eq!(cause.as_deref(), told);
        }
    }
}
