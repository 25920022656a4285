use std::{sync::Arc, time::Duration};

use super::Target;
use crate::{error::Error, wire::Usage};

/// The upstreams that were asked in vain, in order. Put into the response by the router, a refusal
/// included; absent when the first one answered.
///
/// Who answered at last is in [`Served`](super::Served).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts(Arc<[Attempt]>);

impl Attempts {
    /// These attempts, the first one first.
    pub fn new(attempts: impl IntoIterator<Item = Attempt>) -> Self {
        Self(attempts.into_iter().collect())
    }
}

impl std::ops::Deref for Attempts {
    type Target = [Attempt];

    fn deref(&self) -> &[Attempt] {
        &self.0
    }
}

/// One upstream that was asked and did not answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Who was asked.
    pub target: Target,
    /// The id of the configured model that it was asked for.
    pub id: Arc<str>,
    /// From the beginning of this attempt.
    pub took: Duration,
    /// Why it failed; `None` for one that was dropped because another answered first.
    pub error: Option<Error>,
    /// What the client is charged for it; `None` for nothing. Only a hedge that lost can be charged,
    /// where the router's policy says so.
    pub used: Option<Usage>,
    /// What the `*` of the id stands for.
    pub(crate) star: Option<Arc<str>>,
}

/// Errors are compared by kind and code.
impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        let failure = |one: &Self| {
            let error = one.error.as_ref()?;
            Some((error.kind(), error.code().map(str::to_owned)))
        };
        (&self.target, &self.id, self.took) == (&other.target, &other.id, other.took)
            && self.used == other.used
            && failure(self) == failure(other)
    }
}

impl Eq for Attempt {}

impl Attempt {
    /// An attempt at `target` for the configured model `id` that was given up after so long.
    pub fn new(target: Target, id: impl Into<Arc<str>>, took: Duration) -> Self {
        Self {
            target,
            id: id.into(),
            took,
            error: None,
            used: None,
            star: None,
        }
    }

    /// Why it failed.
    #[must_use]
    pub fn with_error(mut self, error: Error) -> Self {
        self.error = Some(error);
        self
    }

    /// What the client is charged for it.
    #[must_use]
    pub fn with_used(mut self, used: Usage) -> Self {
        self.used = Some(used);
        self
    }
}
