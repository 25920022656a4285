use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{ByPrincipal, Demand, Global, Key, KeyExtractor, Limits};
use crate::ext::Principal;

/// What requests are counted under, and the limits that hold there.
///
/// ```
/// use tower_completions::limit::{ByTeam, Limiter, Limits, Rule};
///
/// // Each key by its own limits, each team and everybody together by fixed ones.
/// let limiter = Limiter::new().rules([
///     Rule::per_principal(),
///     Rule::new("team", ByTeam, Limits::new().requests_per_minute(600)),
///     Rule::global(Limits::new().max_concurrent(500)),
/// ]);
/// ```
#[derive(Clone)]
pub struct Rule {
    pub(super) name: Arc<str>,
    pub(super) by: Arc<dyn KeyExtractor>,
    limits: Source,
}

type Asked = dyn Fn(&Parts) -> Option<Limits> + Send + Sync;

#[derive(Clone)]
enum Source {
    Principal,
    Fixed(Limits),
    Asked(Arc<Asked>),
}

impl Rule {
    /// The same limits for each key. The name tells the rule's counts from those of other rules,
    /// here and in a shared store.
    pub fn new(name: impl Into<Arc<str>>, by: impl KeyExtractor, limits: Limits) -> Self {
        Self {
            name: name.into(),
            by: Arc::new(by),
            limits: Source::Fixed(limits),
        }
    }

    /// Limits that are asked for with each request; `None` is no limit. Give out clones of one
    /// [`Limits`] rather than building it anew.
    pub fn with<F>(name: impl Into<Arc<str>>, by: impl KeyExtractor, limits: F) -> Self
    where
        F: Fn(&Parts) -> Option<Limits> + Send + Sync + 'static,
    {
        Self {
            name: name.into(),
            by: Arc::new(by),
            limits: Source::Asked(Arc::new(limits)),
        }
    }

    /// Each caller by the [`Limits`] attached to its [`Principal`]; without them, or without a
    /// principal, there is no limit.
    #[must_use]
    pub fn per_principal() -> Self {
        Self {
            name: "key".into(),
            by: Arc::new(ByPrincipal),
            limits: Source::Principal,
        }
    }

    /// All requests together.
    #[must_use]
    pub fn global(limits: Limits) -> Self {
        Self::new("global", Global::default(), limits)
    }

    /// What a request asks of it, if it concerns the request at all.
    #[inline]
    pub(super) fn demand(&self, parts: &Parts) -> Option<Demand> {
        let Source::Principal = &self.limits else {
            return self.other_demand(parts);
        };
        let caller = parts.extensions.get::<Principal>()?;
        let limits = caller.get::<Limits>()?;
        if limits.is_empty() {
            return None;
        }
        Some(Demand {
            rule: Arc::clone(&self.name),
            key: Key::new(caller.shared_id()),
            limits: limits.clone(),
        })
    }

    fn other_demand(&self, parts: &Parts) -> Option<Demand> {
        // Limits first: without any, the key need not be made.
        let limits = match &self.limits {
            Source::Principal => None,
            Source::Fixed(limits) => Some(limits.clone()),
            Source::Asked(ask) => ask(parts),
        };
        let limits = limits.filter(|limits| !limits.is_empty())?;
        Some(Demand {
            rule: Arc::clone(&self.name),
            key: self.by.key(parts)?,
            limits,
        })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
