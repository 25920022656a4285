use std::{borrow::Cow, sync::Arc};

use super::Attempts;

/// Which upstream a request goes to. Put into the request by the router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// The provider's configured name.
    pub provider: Arc<str>,
    /// The model's name at that provider.
    pub model: Arc<str>,
    /// Which of the provider's keys to use, from 0; it wraps round.
    pub key: usize,
}

impl Target {
    /// A model at a provider.
    pub fn new(provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            key: 0,
        }
    }

    /// The key to use, by its place in the provider's pool.
    #[must_use]
    pub fn with_key(mut self, key: usize) -> Self {
        self.key = key;
        self
    }
}

/// Who answered. Put into the response by the router.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// The provider's configured name.
    pub provider: Arc<str>,
    /// The model's name at that provider.
    pub model: Arc<str>,
    /// The id of the configured model that was served: another one than asked for after a fallback. A pattern
    /// where one was, so that there are no more of them than are configured; see [`name`](Self::name).
    pub id: Arc<str>,
    /// How many upstreams were asked, this one included.
    pub attempts: u32,
    /// Those that were asked in vain before, if any were.
    pub tried: Option<Attempts>,
    /// What the `*` of the id stands for.
    pub(crate) star: Option<Arc<str>>,
}

impl Served {
    /// The first attempt, at this target, for the configured model `id`.
    pub fn new(target: &Target, id: impl Into<Arc<str>>) -> Self {
        Self {
            provider: Arc::clone(&target.provider),
            model: Arc::clone(&target.model),
            id: id.into(),
            attempts: 1,
            tried: None,
            star: None,
        }
    }

    /// What the `*` of the id stands for, where it is a pattern. Default: not known.
    #[must_use]
    pub fn with_star(mut self, star: impl Into<Arc<str>>) -> Self {
        self.star = Some(star.into());
        self
    }

    /// The name of the model that was served: its id, with what its `*` stands for where that is known. By it
    /// prices are found.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match &self.star {
            Some(star) => Cow::Owned(self.id.replacen('*', star, 1)),
            None => Cow::Borrowed(&self.id),
        }
    }

    /// Who was asked in vain before.
    #[must_use]
    pub fn with_tried(mut self, tried: Attempts) -> Self {
        self.tried = Some(tried);
        self
    }

    /// The number of attempts, this one included.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}
