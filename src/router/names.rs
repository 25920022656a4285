//! What is known of the models behind a pattern: of each by its name.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    iter,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;

use super::{
    plan::{Balance, Model},
    state::State,
};

/// Sets by a hash, and names in each: so many are known of one pattern. Clients may ask for any name at all.
const SETS: usize = 16;
const WAYS: usize = 16;

/// A name of more bytes is of no model, and nothing is kept of it.
const LONGEST: usize = 256;

/// The models behind a pattern. None before the first is asked for.
#[derive(Default)]
pub(crate) struct Names(OnceLock<Box<Sets>>);

#[derive(Default)]
struct Sets {
    hasher: RandomState,
    sets: [ArcSwap<Vec<Entry>>; SETS],
}

#[derive(Clone)]
struct Entry {
    hash: u64,
    name: Arc<Name>,
}

/// One of them.
pub(crate) struct Name {
    /// What the `*` stands for.
    pub(crate) star: Arc<str>,
    pub(crate) model: Arc<Model>,
    /// The models of a plan, this one in the place of its pattern.
    groups: OnceLock<Arc<[Arc<Model>]>>,
    /// It was asked for more than once.
    again: AtomicBool,
}

impl Names {
    /// The one of a name; made when it is first asked for.
    pub(crate) fn find(&self, pattern: &Model, star: &str) -> Arc<Name> {
        if star.len() > LONGEST {
            return Arc::new(Name::new(pattern, star, None));
        }
        let all = self.0.get_or_init(Box::default);
        let hash = all.hasher.hash_one(star);
        let set = all.set(hash);
        let found = found(&set.load(), hash, star);
        found.unwrap_or_else(|| insert(set, hash, star, || Name::new(pattern, star, None)))
    }

    /// Takes over what is known of another pattern's names, as far as it has the same targets.
    pub(crate) fn take_over(&self, pattern: &Model, old: &Model) {
        for known in old.names.all() {
            let star = &*known.star;
            let all = self.0.get_or_init(Box::default);
            let hash = all.hasher.hash_one(star);
            let name = || Name::new(pattern, star, Some(&known.model));
            insert(all.set(hash), hash, star, name);
        }
    }

    /// All there are, by their names.
    pub(crate) fn all(&self) -> Vec<Arc<Name>> {
        let sets = self.0.get().into_iter().flat_map(|all| &all.sets);
        let names = sets.flat_map(|set| Vec::clone(&set.load()));
        let mut names: Vec<_> = names.map(|entry| entry.name).collect();
        names.sort_unstable_by(|one, other| one.star.cmp(&other.star));
        names
    }
}

impl Sets {
    fn set(&self, hash: u64) -> &ArcSwap<Vec<Entry>> {
        &self.sets[hash as usize % SETS]
    }
}

fn found(set: &[Entry], hash: u64, star: &str) -> Option<Arc<Name>> {
    let is = |entry: &&Entry| entry.hash == hash && *entry.name.star == *star;
    let name = &set.iter().find(is)?.name;
    // Nearly always it is known, and to look is no more than a read.
    if !name.again.load(Ordering::Relaxed) {
        name.again.store(true, Ordering::Relaxed);
    }
    Some(Arc::clone(name))
}

#[cold]
fn insert(
    set: &ArcSwap<Vec<Entry>>,
    hash: u64,
    star: &str,
    name: impl FnOnce() -> Name,
) -> Arc<Name> {
    let new = Arc::new(name());
    let mut here = Arc::clone(&new);
    set.rcu(|old| {
        if let Some(known) = found(old, hash, star) {
            here = known;
            return Vec::clone(old);
        }
        here = Arc::clone(&new);
        let mut all = Vec::clone(old);
        if all.len() >= WAYS {
            all.remove(to_forget(&all));
        }
        let name = Arc::clone(&new);
        all.push(Entry { hash, name });
        all
    });
    here
}

/// The oldest that was asked for once. Where there is none all begin anew.
fn to_forget(all: &[Entry]) -> usize {
    let once = |entry: &Entry| !entry.name.again.load(Ordering::Relaxed);
    all.iter().position(once).unwrap_or_else(|| {
        for entry in all {
            entry.name.again.store(false, Ordering::Relaxed);
        }
        0
    })
}

impl Name {
    /// Targets whose names have a `*` in them are others by each name, with what `old` knows of them; those
    /// without are the pattern's own.
    fn new(pattern: &Model, star: &str, old: Option<&Model>) -> Self {
        let star: Arc<str> = star.into();
        let mut model = pattern.clone();
        model.star = Some(Arc::clone(&star));
        for at in 0..model.candidates.len() {
            let general = &pattern.candidates[at];
            if !general.target.model.contains('*') {
                continue;
            }
            // What two of them share, they share by each name too.
            let mut before = pattern.candidates[..at].iter();
            let twin = before.position(|it| Arc::ptr_eq(&it.state, &general.state));
            let mut olds = old.iter().flat_map(|old| &old.candidates);
            let state = match (twin, olds.find(|it| it.target == general.target)) {
                (Some(twin), _) => Arc::clone(&model.candidates[twin].state),
                (None, Some(known)) => Arc::clone(&known.state),
                (None, None) => Arc::new(State::within(&general.state)),
            };
            model.candidates[at].know(state);
        }
        // How fast each is stands in there, and is another's.
        if matches!(model.balance, Balance::Fastest) {
            model.tiers = OnceLock::new();
        }
        Self {
            star,
            model: Arc::new(model),
            groups: OnceLock::new(),
            again: AtomicBool::new(false),
        }
    }

    /// A plan's models, this one in the place of the first.
    pub(crate) fn groups(&self, plan: &[Arc<Model>]) -> Arc<[Arc<Model>]> {
        let rest = plan.get(1..).unwrap_or_default();
        let is_same = |known: &&Arc<[Arc<Model>]>| {
            let mut both = known[1..].iter().zip(rest);
            known.len() == 1 + rest.len() && both.all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(known) = self.groups.get().filter(is_same) {
            return Arc::clone(known);
        }
        let first = iter::once(&self.model);
        let groups: Arc<[_]> = first.chain(rest).cloned().collect();
        // Two patterns that stand in for one another are not to keep each other for ever.
        if !rest.iter().any(|model| model.is_pattern()) {
            let _ = self.groups.set(Arc::clone(&groups));
        }
        groups
    }
}

/// A copy of a pattern begins with no names.
impl Clone for Names {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        f.debug_list()
            .entries(all.iter().map(|it| &it.star))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{
        ask::Needs, breaker::Breaking, choose::Choice, plan::Candidate, state::Can,
    };

    /// Of so many the best is noted beforehand.
    #[test]
    fn the_fastest_is_another_by_each_name() {
        let targets = (0..20).map(|n| Candidate::new(format!("p{n}"), "*"));
        let pattern = targets.fold(Model::new("*"), Model::target);
        let pattern = pattern.balance(Balance::Fastest);
        pattern.tiers();
        let [x, y] = ["x", "y"].map(|star| pattern.names.find(&pattern, star));
        // Of the one the first is fast, of the other the last.
        for at in 0..20 {
            for (name, micros) in [(&x, 1_000 << at), (&y, 1_000 << (19 - at))] {
                name.model.candidates[at].state.took(micros, 0);
                name.model.note(at);
            }
        }
        let breaking = Breaking::default();
        let choice = Choice {
            balance: Balance::Fastest,
            random: 7,
            now: 0,
            needs: &Needs::default(),
            affinity: None,
            breaking: &breaking,
        };
        let fastest = [x, y].map(|name| {
            let model = &name.model;
            let can = |_| Some(Can::Yes(None));
            choice.choose(&model.candidates, &model.tiers()[0], can)
        });
        assert_eq!(fastest, [Some((0, None)), Some((19, None))]);
    }
}
