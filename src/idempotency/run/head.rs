//! The head of an answer that is given again.

use http::{HeaderMap, Response, StatusCode, response::Parts};

use crate::{
    error::Error,
    ext::Served,
    meter::{Outcome, Tally},
};

/// The head of an answer for those who did not ask for it first.
#[derive(Clone)]
pub(in crate::idempotency) struct Head {
    status: StatusCode,
    headers: HeaderMap,
    served: Option<Served>,
    error: Option<Error>,
    tally: Option<Tally>,
}

impl Head {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            status: parts.status,
            headers: lasting(&parts.headers),
            served: parts.extensions.get().cloned(),
            error: parts.extensions.get().cloned(),
            tally: parts.extensions.get().cloned(),
        }
    }

    /// Whether the answer is one that may be given again.
    pub(super) fn is_good(&self) -> bool {
        let outcome = self.tally.as_ref().and_then(Tally::outcome);
        self.status.is_success() && !matches!(outcome, Some(Outcome::Failed(_)))
    }

    /// The head again. What counts and charges has done so by the first.
    pub(super) fn again(&self) -> Parts {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.headers.clone();
        let value = http::HeaderValue::from_static("true");
        parts.headers.insert("idempotent-replayed", value);
        if let Some(served) = &self.served {
            parts.extensions.insert(served.clone());
        }
        if let Some(error) = &self.error {
            parts.extensions.insert(error.clone());
        }
        parts
    }
}

/// What is of the answer and not of the moment: how the limits stood when it was made is not how they
/// stand when it is given again, which a layer further out tells.
fn lasting(headers: &HeaderMap) -> HeaderMap {
    let of_the_moment =
        |name: &str| name.starts_with("x-ratelimit-") || name.starts_with("ratelimit");
    let all = headers.iter();
    let lasting = all.filter(|(name, _)| !of_the_moment(name.as_str()));
    lasting
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
