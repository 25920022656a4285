use std::sync::Arc;

use http::request::Parts;
use smallvec::SmallVec;

mod candidate;
mod model;

pub(super) use self::candidate::Fnv;
pub use self::{candidate::Candidate, model::Model};
use super::{ask::Sticky, names::Name};
use crate::{
    error::{Error, Kind},
    ext::Principal,
};

/// Which targets a request may go to, in order.
///
/// The built-in one is [`Table`](super::Table), or [`Live`](super::Live) to replace it while it runs. A
/// closure is one too:
///
/// ```
/// use std::sync::Arc;
/// use http::request::Parts;
/// use tower_completions::{
///     mock::Upstream,
///     provider::{Provider, openai::OpenAi},
///     router::{Candidate, Model, Plan, Router},
/// };
///
/// let [eu, us] = ["eu", "us"].map(|at| Arc::new(Model::new("m").target(Candidate::new(at, "m"))));
/// let by_region = move |_: &str, parts: &Parts| {
///     let european = parts.headers.get("x-region").is_some_and(|region| region == "eu");
///     Ok(Plan::new([Arc::clone(if european { &eu } else { &us })]))
/// };
/// let provider = Provider::new("eu", Upstream::new(), OpenAi::new("http://upstream/v1")?);
/// let router = Router::builder(by_region)
///     .provider("eu", provider.clone())
///     .provider("us", provider)
///     .build()?;
/// # let _ = router;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not plan routes",
    label = "not a `Route`",
    note = "`router::Table` is one, and `router::Live` to replace it while it runs"
)]
pub trait Route: Send + Sync + 'static {
    /// The plan for a request that names `model`.
    ///
    /// Whether the caller may use the model need not be asked here: the router refuses it (403
    /// `model_not_allowed`) to a [`Principal`] whose models have neither the name asked for nor, where
    /// the plan has no [star](Plan::with_star), the id or an alias of the plan's first model.
    ///
    /// Models are made once and kept: what is known of targets is theirs, and so are the retries that requests
    /// for them may spend.
    ///
    /// # Errors
    /// What the client is told when there is none: `model_not_found`, say.
    fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error>;

    /// All models there are, for who looks at their targets or probes them. Default: none.
    fn models(&self) -> Vec<Arc<Model>> {
        Vec::new()
    }
}

impl<F> Route for F
where
    F: Fn(&str, &Parts) -> Result<Plan, Error> + Send + Sync + 'static,
{
    fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error> {
        self(model, parts)
    }
}

/// The models to try for one request, the one asked for first.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) groups: Arc<[Arc<Model>]>,
    /// What the `*` of a pattern stood for, and which group it is of.
    pub(crate) captured: SmallVec<[(usize, Arc<str>); 1]>,
}

impl Plan {
    /// These models, one after another. Keep them from request to request: what is learned of
    /// their targets is kept in them.
    pub fn new(models: impl IntoIterator<Item = Arc<Model>>) -> Self {
        Self {
            groups: models.into_iter().collect(),
            captured: SmallVec::new(),
        }
    }

    /// What the `*` of the first model's pattern stood for: it takes the place of the `*` in the names of
    /// that model's [candidates](Candidate::new), which go upstream as they are without it. A caller must
    /// then be allowed the very name that it asked for.
    ///
    /// What is learned of those candidates' models is learned of each by this name.
    #[must_use]
    pub fn with_star(mut self, star: impl Into<Arc<str>>) -> Self {
        self.captured.retain(|(group, _)| *group != 0);
        let star = star.into();
        if let Some(pattern) = self.pattern() {
            let name = pattern.names.find(pattern, &star);
            return self.named(&name);
        }
        self.captured.push((0, star));
        self
    }

    /// The same of a plan that has none yet.
    pub(crate) fn of_name(mut self, star: &str) -> Self {
        if let Some(pattern) = self.pattern() {
            let name = pattern.names.find(pattern, star);
            return self.named(&name);
        }
        self.captured.push((0, star.into()));
        self
    }

    fn pattern(&self) -> Option<&Arc<Model>> {
        self.groups.first().filter(|model| model.is_pattern())
    }

    fn named(mut self, name: &Name) -> Self {
        self.groups = name.groups(&self.groups);
        self.captured.push((0, Arc::clone(&name.star)));
        self
    }

    /// Whether the caller may use the model that was asked for, by any of its names.
    #[inline(always)]
    pub(crate) fn admit(&self, asked: &str, caller: Option<&Principal>) -> Result<(), Error> {
        let by_another_name = |caller: &Principal| {
            let first = self.groups.first().filter(|_| self.star(0).is_none());
            first.is_some_and(|model| {
                let mut aliases = model.aliases.iter();
                caller.may_use(&model.id) || aliases.any(|name| caller.may_use(name))
            })
        };
        let allowed = |caller: &Principal| caller.may_use(asked) || by_another_name(caller);
        if caller.is_none_or(allowed) {
            Ok(())
        } else {
            Err(not_allowed(asked))
        }
    }

    /// This plan, and after it what of others is not in it yet.
    pub(crate) fn then(self, others: Vec<Self>) -> Self {
        if others.is_empty() {
            return self;
        }
        let mut groups = self.groups.to_vec();
        let mut captured = self.captured;
        for other in others {
            for (at, model) in other.groups.iter().enumerate() {
                let star = other.star(at);
                let known = groups.iter().any(|known| Arc::ptr_eq(known, model));
                if known && star.is_none() {
                    continue;
                }
                captured.extend(star.map(|star| (groups.len(), Arc::clone(star))));
                groups.push(Arc::clone(model));
            }
        }
        Self {
            groups: groups.into(),
            captured,
        }
    }

    pub(crate) fn star(&self, group: usize) -> Option<&Arc<str>> {
        let mut captured = self.captured.iter();
        captured.find(|(at, _)| *at == group).map(|(_, star)| star)
    }
}

/// How one of a model's targets is chosen among those of the same priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// At random, by weight.
    #[default]
    Weighted,
    /// The less loaded of two different ones taken at random: requests in flight times the time to
    /// the first event, divided by the weight.
    LeastLoad,
    /// The one where this request costs least, by the [`price`](Candidate::price) of each; of equal
    /// ones the less loaded.
    Cheapest,
    /// The one with the least time to the first event.
    Fastest,
    /// The same one for requests that belong together, as long as it can be asked and has no more
    /// than a quarter above its share in flight.
    Sticky(Sticky),
}

#[cold]
fn not_allowed(model: &str) -> Error {
    let message = format!("This key may not use the model `{model}`");
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_allowed")
}
