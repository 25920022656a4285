//! A model with its targets.

use std::sync::{Arc, OnceLock};

use super::{Balance, Candidate, candidate::ALL};
use crate::{
    ext::Target,
    router::{budget::Budget, choose::Tier, names::Names},
};

/// A model that clients may ask for: its names, its targets and what stands in for it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Model {
    pub(crate) id: Arc<str>,
    pub(in crate::router) aliases: Vec<Box<str>>,
    /// Sorted by priority.
    pub(crate) candidates: Vec<Candidate>,
    /// Made when first asked for.
    pub(in crate::router) tiers: OnceLock<Box<[Tier]>>,
    /// Whether any of them cannot do all that may be asked.
    pub(crate) limited: bool,
    pub(in crate::router) fallbacks: Vec<Box<str>>,
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
    /// all of them together. It knows 256 names of a pattern, and forgets those first that were asked for once; of
    /// one of more than 256 bytes it learns nothing.
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
    #[inline]
    pub(crate) fn tiers(&self) -> &[Tier] {
        let of = || Tier::of(&self.candidates, self.balance).into();
        self.tiers.get_or_init(of)
    }
}
