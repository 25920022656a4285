use std::{
    hash::Hasher,
    sync::{Arc, OnceLock},
};

use http::request::Parts;
use smallvec::SmallVec;

use super::{
    ask::{Needs, Sticky},
    budget::Budget,
    choose::Tier,
    keys::Keys,
    names::{Name, Names},
    rules::Rules,
    state::State,
};
use crate::{
    error::{Error, Kind},
    ext::{Principal, Target},
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

/// One target of a model, and what is known of it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Candidate {
    pub(crate) target: Target,
    pub(crate) weight: u32,
    pub(crate) priority: u8,
    pub(crate) limit: u32,
    pub(crate) state: Arc<State>,
    /// What it draws its number from, where requests stick to targets.
    pub(crate) spot: u64,
    /// The keys of its provider, and the router that they are of.
    pool: OnceLock<(u64, Arc<Keys>)>,
    /// It was told that no router has its provider.
    unknown: OnceLock<()>,
    can: Capabilities,
    pub(crate) price: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Capabilities {
    tools: bool,
    images: bool,
    audio: bool,
    context: u64,
}

const ALL: Capabilities = Capabilities {
    tools: true,
    images: true,
    audio: true,
    context: u64::MAX,
};

impl Candidate {
    /// A model at a provider. A `*` in its name becomes what the `*` of the model's id stood for: a
    /// [`Table`](super::Table) knows it, a route of one's own says it ([`Plan::with_star`]).
    pub fn new(provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        let target = Target::new(provider, model);
        Self {
            spot: spot(&target),
            target,
            weight: 1,
            priority: 0,
            limit: u32::MAX,
            state: Arc::default(),
            pool: OnceLock::new(),
            unknown: OnceLock::new(),
            can: ALL,
            price: None,
        }
    }

    /// Its share of the requests. Default: 1; 0 takes part only when no other is left.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Lower ones are tried before higher ones. Default: 0.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// How many requests it serves at once, bodies included. Default: any number.
    pub fn max_concurrent(mut self, requests: std::num::NonZeroU32) -> Self {
        self.limit = requests.get();
        self
    }

    /// It knows no tools: it is passed by for requests that offer some, if another target can.
    pub fn without_tools(mut self) -> Self {
        self.can.tools = false;
        self
    }

    /// It sees no images.
    pub fn without_images(mut self) -> Self {
        self.can.images = false;
        self
    }

    /// It hears no sound.
    pub fn without_audio(mut self) -> Self {
        self.can.audio = false;
        self
    }

    /// How many tokens it takes, prompt and answer together. Default: any number.
    pub fn context(mut self, tokens: u64) -> Self {
        self.can.context = tokens;
        self
    }

    /// What a token costs there, of the prompt and of the answer, in any unit that is the same for
    /// all targets. Default: unknown, which counts as dearer than all others. It decides the choice
    /// by [`Balance::Cheapest`], and nothing that is charged.
    pub fn price(mut self, input: u64, output: u64) -> Self {
        self.price = Some((input, output));
        self
    }

    pub(crate) fn serves(&self, needs: &Needs) -> bool {
        (self.can.tools || !needs.tools)
            && (self.can.images || !needs.images)
            && (self.can.audio || !needs.audio)
            && needs.input_tokens.saturating_add(needs.output_tokens) <= self.can.context
    }

    /// The keys of its provider. They are looked for by name once, but for a table that several
    /// routers share.
    pub(crate) fn pool<'c, 'k: 'c>(
        &'c self,
        rules: &Rules,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        if let Some((known, pool)) = self.pool.get() {
            if *known == rules.id {
                return Some(pool);
            }
        }
        self.pool_by_name(rules, keys)
    }

    #[cold]
    fn pool_by_name<'c, 'k: 'c>(
        &'c self,
        rules: &Rules,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        let Some(pool) = keys(&self.target.provider) else {
            if self.unknown.set(()).is_ok() {
                unknown(&self.target);
            }
            return None;
        };
        // It may have come after the router was built, or by a route that tells of no models.
        if let Some(adaptive) = &rules.adaptive {
            self.state.start_adaptive(adaptive);
        }
        let _ = self.pool.set((rules.id, Arc::clone(pool)));
        Some(pool)
    }

    /// Another state to learn into, of another router's targets maybe.
    pub(super) fn know(&mut self, state: Arc<State>) {
        self.state = state;
        self.pool = OnceLock::new();
    }

    /// How long it takes to answer, as a number to compare: one that gets no requests of its own
    /// comes after all others.
    pub(crate) fn pace(&self) -> u64 {
        if self.weight == 0 {
            return u64::MAX - 1;
        }
        self.state.pace()
    }
}

#[cold]
fn not_allowed(model: &str) -> Error {
    let message = format!("This key may not use the model `{model}`");
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_allowed")
}

/// A provider that no router has: a mistake that only the operator can mend.
#[cold]
fn unknown(target: &Target) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "tower_completions",
        provider = &*target.provider,
        model = &*target.model,
        "the router has no provider of this name: this target is never asked"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = target;
}

/// A number of its own for each target, the same in every process.
fn spot(target: &Target) -> u64 {
    let mut hasher = Fnv::default();
    hasher.write(target.provider.as_bytes());
    hasher.write(b"/");
    hasher.write(target.model.as_bytes());
    hasher.0
}

/// FNV-1a: the names of providers and models are short and the operator's own, so nobody can choose
/// them to collide.
#[derive(Debug)]
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The table takes its tags from the topmost bits, where FNV mixes least.
        self.0 ^ (self.0 << 32)
    }
}

/// A model that clients may ask for: its names, its targets and what stands in for it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Model {
    pub(crate) id: Arc<str>,
    pub(super) aliases: Vec<Box<str>>,
    /// Sorted by priority.
    pub(crate) candidates: Vec<Candidate>,
    /// Made when first asked for.
    pub(super) tiers: OnceLock<Box<[Tier]>>,
    /// Whether any of them cannot do all that may be asked.
    pub(crate) limited: bool,
    pub(super) fallbacks: Vec<Box<str>>,
    pub(crate) balance: Balance,
    /// What retries of requests for it may be spent, whoever answers them.
    pub(crate) budget: Arc<Budget>,
    /// Of a pattern: what stands behind it.
    pub(crate) names: Names,
    /// Of one of those: what the pattern's `*` stands for.
    pub(crate) star: Option<Arc<str>>,
}

impl Model {
    /// A model of this id, which may hold one `*` for any run of characters.
    ///
    /// Of models behind a pattern the router learns by their names, as if each had been listed: one that is
    /// down, slow or used up says nothing of the others. [`max_concurrent`](Candidate::max_concurrent) is of
    /// all of them together. It knows 256 names of a pattern, and forgets those first that were asked for once.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            aliases: Vec::new(),
            candidates: Vec::new(),
            tiers: OnceLock::new(),
            limited: false,
            fallbacks: Vec::new(),
            balance: Balance::default(),
            budget: Arc::default(),
            names: Names::default(),
            star: None,
        }
    }

    /// Another name for it.
    pub fn alias(mut self, alias: impl Into<Box<str>>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Adds a target.
    pub fn target(mut self, candidate: Candidate) -> Self {
        let after = |other: &Candidate| other.priority <= candidate.priority;
        let at = self.candidates.partition_point(after);
        self.limited |= candidate.can != ALL;
        self.candidates.insert(at, candidate);
        self.tiers = OnceLock::new();
        self
    }

    /// The id or alias of a model to try after this one's targets, in the order given. One that is there
    /// already, this one among them, is not tried twice.
    pub fn fallback(mut self, model: impl Into<Box<str>>) -> Self {
        self.fallbacks.push(model.into());
        self
    }

    /// How a target is chosen. Default: by weight.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self.tiers = OnceLock::new();
        self
    }

    /// Whether names with a `*` in them among its targets' are to be filled in.
    pub(crate) fn is_pattern(&self) -> bool {
        let mut all = self.candidates.iter();
        self.star.is_none() && all.any(|it| it.target.model.contains('*'))
    }

    /// A target, its name filled in where it is known.
    pub(crate) fn target_of(&self, at: usize) -> Target {
        let mut target = self.candidates[at].target.clone();
        if let Some(star) = &self.star {
            target.model = target.model.replacen('*', star, 1).into();
        }
        target
    }

    /// Notes that what is known of the speed of one has changed.
    pub(crate) fn note(&self, at: usize) {
        let tiers = self.tiers.get().into_iter().flatten();
        if let Some(tier) = tiers.into_iter().find(|tier| at < tier.until) {
            tier.note(at, &self.candidates[at]);
        }
    }

    /// Its candidates by priority.
    pub(crate) fn tiers(&self) -> &[Tier] {
        let of = || Tier::of(&self.candidates, self.balance).into();
        self.tiers.get_or_init(of)
    }
}
