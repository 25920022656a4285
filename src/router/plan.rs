use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use http::request::Parts;
use smallvec::SmallVec;

use super::{
    ask::{Needs, Sticky},
    choose::Tier,
    keys::Keys,
    state::State,
};
use crate::{
    error::{Error, Kind},
    ext::{Principal, Target},
};

/// Which targets a request may go to, in order.
///
/// The built-in one is [`Table`], or [`Live`] to replace it while it runs.
pub trait Route: Send + Sync + 'static {
    /// The plan for a request that names `model`.
    ///
    /// # Errors
    /// What the client is told when there is none: `model_not_found`, say.
    fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error>;

    /// All models there are, for who looks at their targets or probes them. Default: none.
    fn models(&self) -> Vec<Arc<Model>> {
        Vec::new()
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
    /// The less loaded of two taken at random: requests in flight times the time to the first
    /// event, divided by the weight.
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
    /// A model at a provider. A `*` in its name becomes what the `*` of the model's id stood for.
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
        router: u64,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        if let Some((known, pool)) = self.pool.get() {
            if *known == router {
                return Some(pool);
            }
        }
        self.pool_by_name(router, keys)
    }

    #[cold]
    fn pool_by_name<'c, 'k: 'c>(
        &'c self,
        router: u64,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        let pool = keys(&self.target.provider)?;
        let _ = self.pool.set((router, Arc::clone(pool)));
        Some(pool)
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
    aliases: Vec<Box<str>>,
    /// Sorted by priority.
    pub(crate) candidates: Vec<Candidate>,
    /// Made when first asked for.
    tiers: OnceLock<Box<[Tier]>>,
    /// Whether any of them cannot do all that may be asked.
    pub(crate) limited: bool,
    fallbacks: Vec<Box<str>>,
    pub(crate) balance: Balance,
}

impl Model {
    /// A model of this id, which may hold one `*` for any run of characters.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            aliases: Vec::new(),
            candidates: Vec::new(),
            tiers: OnceLock::new(),
            limited: false,
            fallbacks: Vec::new(),
            balance: Balance::default(),
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

    /// The id or alias of a model to try after this one's targets, in the order given.
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

/// A mistake in a table of models.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// Two models answer to this name.
    Duplicate(Box<str>),
    /// A fallback names no model of the table, or a pattern.
    UnknownFallback(Box<str>),
    /// This model has no target.
    NoTarget(Box<str>),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name) => write!(f, "two models answer to `{name}`"),
            Self::UnknownFallback(name) => write!(f, "the fallback `{name}` is no model"),
            Self::NoTarget(id) => write!(f, "the model `{id}` has no target"),
        }
    }
}

impl std::error::Error for TableError {}

/// Models by id, alias or pattern. An exact name is found first, then the longest pattern.
#[derive(Clone, Debug, Default)]
pub struct Table {
    chains: Vec<Arc<[Arc<Model>]>>,
    names: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    patterns: Vec<usize>,
}

impl Table {
    /// A table of these models. Targets of one provider and model share what is known of them.
    ///
    /// # Errors
    /// The first mistake found: see [`TableError`].
    pub fn new(models: impl IntoIterator<Item = Model>) -> Result<Self, TableError> {
        Self::build(models, &mut HashMap::new())
    }

    fn build(
        models: impl IntoIterator<Item = Model>,
        known: &mut HashMap<Target, Arc<State>>,
    ) -> Result<Self, TableError> {
        let mut table = Self::default();
        let mut built = Vec::new();
        for (at, mut model) in models.into_iter().enumerate() {
            if model.candidates.is_empty() {
                return Err(TableError::NoTarget((*model.id).into()));
            }
            model.tiers = OnceLock::new();
            for candidate in &mut model.candidates {
                let state = known.entry(candidate.target.clone());
                candidate.state = Arc::clone(state.or_insert_with(|| Arc::clone(&candidate.state)));
            }
            if model.id.contains('*') {
                table.patterns.push(at);
            }
            for name in model.aliases.iter().map(|name| &**name).chain([&*model.id]) {
                if table.names.insert(name.into(), at).is_some() {
                    return Err(TableError::Duplicate(name.into()));
                }
            }
            // Now, and not by the first request.
            model.tiers();
            built.push(Arc::new(model));
        }
        let longest_first = |at: &usize| std::cmp::Reverse(built[*at].id.len());
        table.patterns.sort_by_key(longest_first);
        for model in &built {
            let mut chain = vec![Arc::clone(model)];
            for name in &model.fallbacks {
                let Some(at) = table.names.get(name) else {
                    return Err(TableError::UnknownFallback(name.clone()));
                };
                chain.push(Arc::clone(&built[*at]));
            }
            table.chains.push(chain.into());
        }
        Ok(table)
    }
}

impl Route for Table {
    fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error> {
        let exact = self.names.get(model).map(|at| (*at, None));
        let found = exact.or_else(|| {
            self.patterns.iter().find_map(|at| {
                let star = captured(&self.chains[*at][0].id, model)?;
                Some((*at, Some(Arc::from(star))))
            })
        });
        let Some((at, captured)) = found else {
            return Err(Error::new(
                Kind::NotFound,
                format!("The model `{model}` does not exist"),
            )
            .with_param("model")
            .with_code("model_not_found"));
        };
        let groups = &self.chains[at];
        let allowed = parts.extensions.get::<Principal>().is_none_or(|caller| {
            caller.may_use(model) || captured.is_none() && caller.may_use(&groups[0].id)
        });
        if !allowed {
            let message = format!("This key may not use the model `{model}`");
            return Err(Error::new(Kind::Permission, message)
                .with_param("model")
                .with_code("model_not_allowed"));
        }
        let mut plan = Plan {
            groups: Arc::clone(groups),
            captured: SmallVec::new(),
        };
        if let Some(star) = captured {
            plan.captured.push((0, star));
        }
        Ok(plan)
    }

    fn models(&self) -> Vec<Arc<Model>> {
        self.chains
            .iter()
            .map(|chain| Arc::clone(&chain[0]))
            .collect()
    }
}

fn captured<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (head, tail) = pattern.split_once('*')?;
    name.strip_prefix(head)?.strip_suffix(tail)
}

/// A table that may be replaced while requests run. What is known of targets that stay is kept.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<Table>>);

impl Live {
    /// Starts with a table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// Replaces the models. Requests under way go on with the old ones.
    ///
    /// # Errors
    /// The first mistake found; nothing is replaced then.
    pub fn replace(&self, models: impl IntoIterator<Item = Model>) -> Result<(), TableError> {
        let old = self.0.load();
        let mut known = HashMap::new();
        for candidate in old.chains.iter().flat_map(|chain| &chain[0].candidates) {
            known.insert(candidate.target.clone(), Arc::clone(&candidate.state));
        }
        self.0.store(Arc::new(Table::build(models, &mut known)?));
        Ok(())
    }
}

impl Route for Live {
    fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error> {
        self.0.load().plan(model, parts)
    }

    fn models(&self) -> Vec<Arc<Model>> {
        self.0.load().models()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        http::Request::new(()).into_parts().0
    }

    fn model(id: &str) -> Model {
        Model::new(id).target(Candidate::new("p", "*"))
    }

    #[test]
    fn finds_by_name_then_by_the_longest_pattern() {
        let table = Table::new([
            model("*"),
            model("openai/*"),
            model("openai/gpt").alias("gpt").fallback("b"),
            model("b"),
        ])
        .expect("sound");
        for (asked, ids, star) in [
            ("gpt", "openai/gpt b", None),
            ("openai/gpt", "openai/gpt b", None),
            ("openai/x/y", "openai/*", Some("x/y")),
            ("z", "*", Some("z")),
        ] {
            let plan = table.plan(asked, &parts()).expect("found");
            let found: Vec<_> = plan.groups.iter().map(|model| &*model.id).collect();
            assert_eq!(
                (found.join(" ").as_str(), plan.star(0).map(|star| &**star)),
                (ids, star)
            );
        }
    }

    #[test]
    fn refuses_mistakes() {
        let name = || Box::from("a");
        let error = |models: Vec<Model>| Table::new(models).expect_err("a mistake");
        assert_eq!(
            error(vec![model("a"), model("a")]),
            TableError::Duplicate(name())
        );
        assert_eq!(error(vec![Model::new("a")]), TableError::NoTarget(name()));
        assert_eq!(
            error(vec![model("b").fallback("a")]),
            TableError::UnknownFallback(name())
        );
    }

    #[test]
    fn says_who_may_use_what() {
        let table = Table::new([model("a").alias("b"), model("c")]).expect("sound");
        let code = |asked, caller: &[&str]| {
            let mut parts = parts();
            let caller = Principal::new("k").with_models(caller.iter().copied());
            parts.extensions.insert(caller);
            table
                .plan(asked, &parts)
                .err()
                .and_then(|error| error.code().map(str::to_owned))
        };
        assert_eq!(code("a", &["a"]), None);
        assert_eq!(code("b", &["a"]), None);
        assert_eq!(code("c", &["a"]).as_deref(), Some("model_not_allowed"));
        assert_eq!(code("d", &["a"]).as_deref(), Some("model_not_found"));
    }

    #[test]
    fn a_replaced_table_keeps_what_is_known() {
        let live = Live::new(Table::new([model("a")]).expect("sound"));
        let state = |asked| {
            let plan = live.plan(asked, &parts()).expect("found");
            Arc::clone(&plan.groups[0].candidates[0].state)
        };
        let before = state("a");
        live.replace([model("b")]).expect("sound");
        assert!(Arc::ptr_eq(&before, &state("b")));
        assert!(live.plan("a", &parts()).is_err());
    }
}
