//! What layers leave for one another in the extensions of a request or a response.
//!
//! No layer fails because one is missing: without a [`Principal`] a request is anonymous, without a
//! [`Target`] the provider asks for the model that the client named.

use std::{
    any::{Any, TypeId},
    borrow::Cow,
    fmt,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{error::Error, id, wire::Usage};

mod payers;
mod sending;

pub(crate) use payers::{Joint, Payer};
pub use sending::Sending;

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

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Its id, shared.
    #[must_use]
    pub fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.0.id)
    }

    /// Its team.
    #[must_use]
    pub fn team(&self) -> Option<&str> {
        self.0.team.as_deref()
    }

    /// The team, shared.
    pub(crate) fn shared_team(&self) -> Option<Arc<str>> {
        self.0.team.clone()
    }

    /// Whether it may use a model.
    #[must_use]
    #[inline]
    pub fn may_use(&self, model: &str) -> bool {
        match &self.0.models {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| matches(pattern, model)),
        }
    }

    /// The attached value of a type.
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

/// The id of a request: what its answer has as `x-request-id`. Put into the request by
/// [`RequestIdLayer`](crate::stack::RequestIdLayer), and so by `Gateway`: what is inside may log it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallId(HeaderValue);

impl CallId {
    /// An id of this text; `None` unless it is 1 to 128 visible ASCII characters.
    #[must_use]
    pub fn new(id: HeaderValue) -> Option<Self> {
        let is_id = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        is_id.then_some(Self(id))
    }

    /// One that has not been: `req_` and 24 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(id::request_value())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made of visible ASCII only.
        self.0.to_str().unwrap_or_default()
    }

    /// As a header has it.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl From<CallId> for HeaderValue {
    fn from(id: CallId) -> Self {
        id.0
    }
}

/// Whether `name` fits `pattern`, where `*` stands for any run of characters.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut rest = rest;
    // Every piece between two stars is taken where it first occurs; only the last must end the name.
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(at) = name.find(piece) else {
            return false;
        };
        name = &name[at + piece.len()..];
        rest = after;
    }
    name.ends_with(rest)
}

/// Names with a `*` in them, by which a table knows what it does not hold by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Box<str>>);

impl Patterns {
    /// Adds a name, if it has a `*`.
    pub(crate) fn add(&mut self, name: &str) {
        if name.contains('*') && !self.0.iter().any(|known| **known == *name) {
            let at = self.0.partition_point(|known| known.len() >= name.len());
            self.0.insert(at, name.into());
        }
    }

    /// The longest that fits a name.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let mut patterns = self.0.iter().map(|pattern| &**pattern);
        patterns.find(|pattern| captured(pattern, name).is_some())
    }
}

/// What the one `*` of a pattern stands for in a name, if it fits.
pub(crate) fn captured<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (head, tail) = pattern.split_once('*')?;
    name.strip_prefix(head)?.strip_suffix(tail)
}

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

/// The client's headers that are to go upstream. Put into the request by the router.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded(pub(crate) HeaderMap);

/// What an upstream's service says of itself, so that a router need not be told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a provider's service",
    label = "does not tell how many keys it has",
    note = "a `Provider` is one, and what `boxed()` makes of it; any other service goes in by `Builder::service`"
)]
pub trait KeyPool {
    /// How many keys a [`Target`] may name by its index: 1 where there is one credential, or none,
    /// and 0 where nothing is to be remembered of it when it is refused.
    fn keys(&self) -> usize;

    /// Whether it reads the head of a request: its method and address, the client's headers, and of the
    /// extensions others than the [`Target`]. One that does not is spared a copy of them with every
    /// attempt. Default: it does.
    fn reads_head(&self) -> bool {
        true
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

/// The answer was given before and is given again: nobody was asked for it. Put into the response by
/// `Cache`; `Cost` takes nothing for such an answer, and `TokenLimit` counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cached;

/// The answer is what a request may cost, and nobody was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate;

/// The upstreams that were asked in vain, in order. Put into the response by the router, a refusal
/// included; absent when the first one answered.
///
/// Who answered at last is in [`Served`].
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

pub(crate) const DRY_RUN: HeaderName = HeaderName::from_static("x-dry-run");

/// Whether the client asks for the estimate only, by `x-dry-run: 1`: such a request uses nothing.
pub(crate) fn is_dry_run(headers: &HeaderMap) -> bool {
    let value = headers.get(DRY_RUN).map(HeaderValue::as_bytes);
    value.is_some_and(|value| value == b"1" || value.eq_ignore_ascii_case(b"true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "openai/gpt", true),
            ("openai/*", "openai/gpt", true),
            ("openai/*", "openai", false),
            ("openai/gpt", "openai/gpt", true),
            ("openai/gpt", "openai/gpt-4", false),
            ("*mini", "gpt-4o-mini", true),
            ("*mini", "gpt-4o-mini-x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn only_one_and_true_ask_for_an_estimate() {
        for (value, dry) in [("1", true), ("True", true), ("0", false), ("no", false)] {
            let mut headers = HeaderMap::new();
            assert!(!is_dry_run(&headers));
            headers.insert("x-dry-run", HeaderValue::from_static(value));
            assert_eq!(is_dry_run(&headers), dry, "{value}");
        }
    }

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
