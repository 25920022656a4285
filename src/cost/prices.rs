use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::{Price, PriceBook, PriceList};
use crate::{
    ext::{Patterns, Served, captured},
    facts::Facts,
};

/// A table of prices by model. Clones share it; it may be replaced at any time, and a request keeps
/// the prices it began with.
///
/// What is looked for, in this order: the price of the model's own name; the price of the target
/// that serves it, from the lists, by its provider and its name there. A name with a `*` is that of every
/// model that fits it and is not there by itself, and the `*` of its targets stands for the same.
///
/// ```
/// use tower_completions::cost::{Price, PriceBook, PriceList, Prices};
///
/// let list = PriceList::new().with("openai", ["gpt-4o-mini*"], Price::new("0.15", "0.60")?);
/// let prices = Prices::new()
///     .with("house/special", Price::new("1", "2")?)
///     .with_list(list)
///     .with_provider("primary", "openai")
///     .with_targets("openai/gpt-4o-mini", [("primary", "gpt-4o-mini")]);
/// assert!(prices.price("openai/gpt-4o-mini").is_some());
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone, Default)]
pub struct Prices(Arc<ArcSwap<Table>>);

#[derive(Clone, Default)]
struct Table {
    models: HashMap<Box<str>, Model, RandomState>,
    patterns: Patterns,
    /// Under which name a provider stands in the lists.
    vendors: HashMap<Box<str>, Box<str>>,
    lists: Vec<Arc<PriceList>>,
}

#[derive(Clone, Default)]
struct Model {
    price: Option<Arc<Price>>,
    targets: Vec<Target>,
    fallbacks: Vec<Box<str>>,
}

struct Target {
    provider: Box<str>,
    model: Box<str>,
    /// Looked for once in a table that no longer changes.
    price: OnceLock<Option<Arc<Price>>>,
}

impl Clone for Target {
    fn clone(&self) -> Self {
        // A clone is made to be changed: what was found may not be found there.
        Self {
            provider: self.provider.clone(),
            model: self.model.clone(),
            price: OnceLock::new(),
        }
    }
}

impl Prices {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Table)) -> Self {
        // While it is built nobody else has it, and nothing is copied; later, who reads must never
        // find less than the whole.
        let mut table = match Arc::get_mut(&mut self.0) {
            Some(alone) => alone.swap(Arc::default()),
            None => Arc::new(Table::clone(&self.0.load())),
        };
        change(Arc::make_mut(&mut table));
        self.0.store(table);
        self
    }

    /// Adds a price under a name.
    #[must_use]
    pub fn with(self, model: &str, price: Price) -> Self {
        self.change(|table| table.model(model).price = Some(Arc::new(price)))
    }

    /// Says which models may answer in a model's place.
    #[must_use]
    pub fn with_fallbacks<'a>(
        self,
        model: &str,
        fallbacks: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let fallbacks = fallbacks.into_iter().map(Into::into).collect();
        self.change(|table| table.model(model).fallbacks = fallbacks)
    }

    /// Says who serves a model, by the provider's configured name and the model's name there: so
    /// that a model without a price of its own is looked for in the lists.
    #[must_use]
    pub fn with_targets<'a>(
        self,
        model: &str,
        targets: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let target = |(provider, model): (&str, &str)| Target {
            provider: provider.into(),
            model: model.into(),
            price: OnceLock::new(),
        };
        let targets = targets.into_iter().map(target).collect();
        self.change(|table| table.model(model).targets = targets)
    }

    /// Says under which name the lists have a provider. Default: its own.
    #[must_use]
    pub fn with_provider(self, name: &str, listed_as: &str) -> Self {
        self.change(|table| {
            table.vendors.insert(name.into(), listed_as.into());
        })
    }

    /// Adds a list of prices, which is asked behind those that are there.
    #[must_use]
    pub fn with_list(self, list: PriceList) -> Self {
        self.change(|table| table.lists.push(Arc::new(list)))
    }

    /// What the lists tell of a model besides its price, by who serves it: of several targets what
    /// [either](Facts::or) may do; `None` when a target is in no list.
    ///
    /// ```
    /// use tower_completions::{cost::{PriceList, Prices}, validate::Capabilities};
    ///
    /// let file = r#"{"gpt": {"litellm_provider": "openai", "input_cost_per_token": 1e-6,
    ///     "max_input_tokens": 8000, "supports_vision": false}}"#;
    /// let prices = Prices::new()
    ///     .with_list(PriceList::litellm(file, "today")?)
    ///     .with_targets("house/gpt", [("openai", "gpt")]);
    /// let facts = prices.facts("house/gpt").expect("listed");
    /// assert_eq!(facts.max_input_tokens, Some(8000));
    /// let capabilities = Capabilities::of("gpt").filled(&facts);
    /// # Ok::<(), tower_completions::cost::BadPrices>(())
    /// ```
    #[must_use]
    pub fn facts(&self, model: &str) -> Option<Facts> {
        let table = self.0.load();
        let found = table.find(model)?;
        let facts = |target| Some(*table.target(target, found.star)?.facts());
        let all: Option<Vec<Facts>> = found.model.targets.iter().map(facts).collect();
        all?.into_iter().reduce(Facts::or)
    }

    /// Replaces the whole table by another's.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.load();
        f.debug_struct("Prices")
            .field("models", &table.models.len())
            .field("lists", &table.lists)
            .finish()
    }
}

impl PriceBook for Prices {
    fn price(&self, model: &str) -> Option<Arc<Price>> {
        self.0.load().price(model)
    }

    fn candidates(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) {
        self.0.load().candidates(model, see);
    }

    fn look_up(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) -> Option<Arc<Price>> {
        self.0.load().look_up(model, see)
    }

    fn answered(&self, served: &Served, model: Option<&str>) -> Option<Arc<Price>> {
        self.0.load().answered(served, model)
    }

    fn snapshot(&self) -> Option<Arc<dyn PriceBook>> {
        Some(self.0.load_full())
    }
}

impl PriceBook for Table {
    fn price(&self, model: &str) -> Option<Arc<Price>> {
        self.own(self.find(model)?)
    }

    fn candidates(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) {
        self.show(self.find(model), see);
    }

    fn look_up(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) -> Option<Arc<Price>> {
        let found = self.find(model);
        self.show(found, see);
        self.own(found?)
    }

    fn answered(&self, served: &Served, answered: Option<&str>) -> Option<Arc<Price>> {
        let name = served.name();
        let found = self.find(&name);
        if let Some(price) = found.and_then(|found| found.model.price.as_ref()) {
            return Some(Arc::clone(price));
        }
        // An alias is served by a dated model, a choosing model by its choice. Only a whole name is
        // looked for: patterns are for what the operator has named.
        if let Some(answered) = answered.filter(|name| *name != &*served.model) {
            let vendor = self.vendor(&served.provider);
            let found = self
                .lists
                .iter()
                .find_map(|list| list.exact(vendor, answered));
            if found.is_some() {
                return found;
            }
        }
        let targets = found.into_iter().flat_map(|found| &found.model.targets);
        let target = targets
            .filter(|it| *it.model == *served.model && *it.provider == *served.provider)
            .find_map(|target| self.target(target, None));
        match target {
            Some(price) => Some(price.into_owned()),
            None => self.listed(&served.provider, &served.model),
        }
    }
}

/// A model, and what the `*` of its name stands for.
#[derive(Clone, Copy)]
struct Found<'a> {
    model: &'a Model,
    star: Option<&'a str>,
}

impl Table {
    fn model(&mut self, name: &str) -> &mut Model {
        self.patterns.add(name);
        self.models.entry(name.into()).or_default()
    }

    fn find<'a>(&'a self, name: &'a str) -> Option<Found<'a>> {
        if let Some(model) = self.models.get(name) {
            return Some(Found { model, star: None });
        }
        let pattern = self.patterns.find(name)?;
        Some(Found {
            model: self.models.get(pattern)?,
            star: captured(pattern, name),
        })
    }

    fn vendor<'a>(&'a self, provider: &'a str) -> &'a str {
        self.vendors.get(provider).map_or(provider, |name| name)
    }

    fn listed(&self, provider: &str, model: &str) -> Option<Arc<Price>> {
        let vendor = self.vendor(provider);
        self.lists.iter().find_map(|list| list.find(vendor, model))
    }

    fn target<'a>(&self, target: &'a Target, star: Option<&str>) -> Option<Cow<'a, Arc<Price>>> {
        if let Some(star) = star.filter(|_| target.model.contains('*')) {
            let model = target.model.replacen('*', star, 1);
            return self.listed(&target.provider, &model).map(Cow::Owned);
        }
        let find = || self.listed(&target.provider, &target.model);
        target.price.get_or_init(find).as_ref().map(Cow::Borrowed)
    }

    fn targets<'a>(&'a self, of: Found<'a>) -> impl Iterator<Item = Option<Cow<'a, Arc<Price>>>> {
        let targets = of.model.targets.iter();
        targets.map(move |target| self.target(target, of.star))
    }

    /// The price of a model.
    fn own(&self, of: Found<'_>) -> Option<Arc<Price>> {
        match &of.model.price {
            Some(price) => Some(Arc::clone(price)),
            None => self
                .targets(of)
                .find_map(|price| price.map(Cow::into_owned)),
        }
    }

    /// Shows the prices of all that may answer in a model's place.
    fn show(&self, asked: Option<Found<'_>>, see: &mut dyn FnMut(Option<&Price>)) {
        let Some(asked) = asked else {
            return see(None);
        };
        let others = asked.model.fallbacks.iter().map(|name| self.find(name));
        for found in std::iter::once(Some(asked)).chain(others) {
            match found {
                Some(Found {
                    model:
                        Model {
                            price: Some(price), ..
                        },
                    ..
                }) => see(Some(price)),
                Some(found) if !found.model.targets.is_empty() => {
                    self.targets(found)
                        .for_each(|price| see(price.as_ref().map(|price| &***price)));
                }
                _ => see(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
