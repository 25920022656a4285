use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasherDefault,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use http::request::Parts;
use smallvec::SmallVec;

use super::{
    budget::Budget,
    names::Names,
    plan::{Fnv, Model, Plan, Route},
    state::State,
};
use crate::{
    error::{Error, Kind},
    ext::{Target, captured},
};

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
    /// An id with more than one `*`, or an alias with one.
    BadPattern(Box<str>),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name) => write!(f, "two models answer to `{name}`"),
            Self::UnknownFallback(name) => write!(f, "the fallback `{name}` is no model"),
            Self::NoTarget(id) => write!(f, "the model `{id}` has no target"),
            Self::BadPattern(name) => {
                write!(f, "`{name}`: only an id may hold a `*`, and only one")
            }
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

/// What is known of targets and models already.
#[derive(Default)]
struct Known {
    states: HashMap<Target, Arc<State>>,
    patterns: HashMap<Arc<str>, Arc<Model>>,
    budgets: HashMap<Arc<str>, Arc<Budget>>,
}

impl Table {
    /// A table of these models. Targets of one provider and model share what is known of them.
    ///
    /// # Errors
    /// The first mistake found: see [`TableError`].
    pub fn new(models: impl IntoIterator<Item = Model>) -> Result<Self, TableError> {
        Self::build(models, Known::default())
    }

    fn build(
        models: impl IntoIterator<Item = Model>,
        mut known: Known,
    ) -> Result<Self, TableError> {
        let mut table = Self::default();
        let mut built = Vec::new();
        for (at, mut model) in models.into_iter().enumerate() {
            if model.candidates.is_empty() {
                return Err(TableError::NoTarget((*model.id).into()));
            }
            model.tiers = OnceLock::new();
            for candidate in &mut model.candidates {
                let state = known.states.entry(candidate.target.clone());
                candidate.state = Arc::clone(state.or_insert_with(|| Arc::clone(&candidate.state)));
            }
            if let Some(budget) = known.budgets.remove(&model.id) {
                model.budget = budget;
            }
            model.names = Names::default();
            if let Some(old) = known.patterns.remove(&model.id) {
                model.names.take_over(&model, &old);
            }
            let starred = model.aliases.iter().find(|alias| alias.contains('*'));
            let stars = model.id.matches('*').count();
            match starred {
                Some(alias) => return Err(TableError::BadPattern(alias.clone())),
                None if stars > 1 => return Err(TableError::BadPattern((*model.id).into())),
                None if stars == 1 => table.patterns.push(at),
                None => {}
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
                let at = table.names.get(name);
                // Nothing says what the `*` of a pattern would stand for.
                let Some(at) = at.filter(|at| !table.patterns.contains(at)) else {
                    return Err(TableError::UnknownFallback(name.clone()));
                };
                let other = &built[*at];
                if !chain.iter().any(|known| Arc::ptr_eq(known, other)) {
                    chain.push(Arc::clone(other));
                }
            }
            table.chains.push(chain.into());
        }
        Ok(table)
    }
}

impl Route for Table {
    fn plan(&self, asked: &str, _: &Parts) -> Result<Plan, Error> {
        let exact = self.names.get(asked).map(|at| (*at, None));
        let found = exact.or_else(|| {
            self.patterns.iter().find_map(|at| {
                let star = captured(&self.chains[*at][0].id, asked)?;
                Some((*at, Some(star)))
            })
        });
        let Some((at, captured)) = found else {
            return Err(Error::new(
                Kind::NotFound,
                format!("The model `{asked}` does not exist"),
            )
            .with_param("model")
            .with_code("model_not_found"));
        };
        let plan = Plan {
            groups: Arc::clone(&self.chains[at]),
            captured: SmallVec::new(),
        };
        Ok(match captured {
            Some(star) => plan.of_name(star),
            None => plan,
        })
    }

    fn models(&self) -> Vec<Arc<Model>> {
        self.chains
            .iter()
            .map(|chain| Arc::clone(&chain[0]))
            .collect()
    }
}

/// A table that may be replaced while requests run. What is known of targets that stay is kept, and so are
/// the retries that models which stay may still spend.
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
        let mut known = Known::default();
        for model in old.chains.iter().map(|chain| &chain[0]) {
            let (id, budget) = (Arc::clone(&model.id), Arc::clone(&model.budget));
            known.budgets.insert(id, budget);
            if model.is_pattern() {
                let id = Arc::clone(&model.id);
                known.patterns.insert(id, Arc::clone(model));
            }
            for candidate in &model.candidates {
                let state = Arc::clone(&candidate.state);
                known.states.insert(candidate.target.clone(), state);
            }
        }
        self.0.store(Arc::new(Table::build(models, known)?));
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
    use crate::{ext::Principal, router::plan::Candidate};

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
    fn no_model_stands_in_twice() {
        let own = model("a").alias("b").fallback("b").fallback("c");
        let table = Table::new([own.fallback("c"), model("c")]).expect("sound");
        let plan = table.plan("a", &parts()).expect("found");
        let ids: Vec<_> = plan.groups.iter().map(|model| &*model.id).collect();
        assert_eq!(ids, ["a", "c"]);
    }

    #[test]
    fn a_pattern_is_an_id_with_one_star_and_stands_in_for_nobody() {
        let error = |models: Vec<Model>| Table::new(models).expect_err("a mistake");
        for fallback in ["p/*", "alias"] {
            let pattern = model("p/*").alias("alias");
            assert_eq!(
                error(vec![pattern, model("b").fallback(fallback)]),
                TableError::UnknownFallback(fallback.into())
            );
        }
        for (wrong, name) in [
            (model("p/*/x*"), "p/*/x*"),
            (model("p").alias("q/*"), "q/*"),
        ] {
            assert_eq!(error(vec![wrong]), TableError::BadPattern(name.into()));
        }
        let twice = error(vec![model("p/*"), model("p/*")]);
        assert_eq!(twice, TableError::Duplicate("p/*".into()));
    }

    #[test]
    fn says_who_may_use_what() {
        let table = Table::new([model("a").alias("b"), model("c")]).expect("sound");
        let code = |asked, caller: &[&str]| {
            let mut parts = parts();
            let caller = Principal::new("k").with_models(caller.iter().copied());
            parts.extensions.insert(caller);
            let plan = table.plan(asked, &parts);
            plan.and_then(|plan| plan.admit(asked, parts.extensions.get()).map(|()| plan))
                .err()
                .and_then(|error| error.code().map(str::to_owned))
        };
        assert_eq!(code("a", &["a"]), None);
        assert_eq!(code("b", &["a"]), None);
        // One of its names is enough, whichever is asked for.
        assert_eq!(code("a", &["b"]), None);
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
