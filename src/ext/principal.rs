use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

use super::matches;

/// Who is calling. Put into the request by `Auth`, or by the application's own authentication.
///
/// Beside its id it carries whatever the application attaches by type: limits, an account, a plan.
///
/// ```
/// use tower_completions::Principal;
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Plan(u8);
///
/// let caller = Principal::new("acme").with_team("research").attach(Plan(2));
/// assert_eq!(caller.id(), "acme");
/// assert_eq!(caller.get::<Plan>(), Some(&Plan(2)));
/// ```
#[derive(Clone)]
pub struct Principal(Arc<Caller>);

#[derive(Clone)]
struct Caller {
    id: Arc<str>,
    team: Option<Arc<str>>,
    models: Option<Arc<[Box<str>]>>,
    /// A handful at most, which are found faster than they are hashed.
    attached: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

impl Principal {
    /// A caller of this id, which names its account and its limits. Never the secret key itself.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Caller {
            id: id.into(),
            team: None,
            models: None,
            attached: Vec::new(),
        }))
    }

    /// The team that it shares limits and budgets with.
    #[must_use]
    pub fn with_team(mut self, team: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).team = Some(team.into());
        self
    }

    /// The models it may use, as patterns with `*` for any run of characters. Default: all.
    #[must_use]
    pub fn with_models<I>(mut self, patterns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let patterns = patterns.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.0).models = Some(patterns);
        self
    }

    /// Attaches a value of any type, replacing an earlier one of the same type.
    #[must_use]
    pub fn attach<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let attached = &mut Arc::make_mut(&mut self.0).attached;
        attached.retain(|(kind, _)| *kind != TypeId::of::<T>());
        attached.push((TypeId::of::<T>(), Arc::new(value)));
        self
    }

    /// The caller's id: the name of its account and of its limits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The same, shared: for who keeps it, at no copy.
    #[must_use]
    pub fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.0.id)
    }

    /// The team that it shares limits and budgets with; `None` when it has none.
    #[must_use]
    pub fn team(&self) -> Option<&str> {
        self.0.team.as_deref()
    }

    /// The team, shared.
    pub(crate) fn shared_team(&self) -> Option<Arc<str>> {
        self.0.team.clone()
    }

    /// Whether it may use a model of this name: one that fits a pattern of
    /// [`with_models`](Self::with_models), or any where it was given none.
    #[must_use]
    #[inline]
    pub fn may_use(&self, model: &str) -> bool {
        match &self.0.models {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| matches(pattern, model)),
        }
    }

    /// The value of this type, if one was [attached](Self::attach).
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let kind = TypeId::of::<T>();
        let (_, value) = self.0.attached.iter().find(|(of, _)| *of == kind)?;
        value.downcast_ref()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_shows_no_attachment() {
        let caller = Principal::new("a").attach(String::from("sk-secret"));
        assert!(!format!("{caller:?}").contains("sk-secret"));
        assert_eq!(
            caller.clone().attach(7_u8).get::<String>().expect("kept"),
            "sk-secret"
        );
        assert!(Principal::new("a").with_models(["x/*"]).may_use("x/y"));
        assert!(!Principal::new("a").with_models(["x/*"]).may_use("y/y"));
    }
}
