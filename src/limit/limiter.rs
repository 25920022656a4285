use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::request::Parts;

use super::{Ask, Decision, Demand, Memory, Report, Rule, Store, UNITS, Weights, few::Few};
use crate::{error::Error, ext::Principal, hint::Hint};

/// The rules and the store that they count in; what layers share.
///
/// A clone is the same limiter. [`RateLimitLayer`](super::RateLimitLayer) and
/// [`TokenLimitLayer`](super::TokenLimitLayer) may share one; then [`standing`](Self::standing)
/// shows all limits of a caller together.
pub struct Limiter<St = Memory> {
    store: St,
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    counts: Counts,
    hints: Hints,
}

/// What is told when limits do not do what they may seem to.
#[derive(Default)]
pub(super) struct Hints {
    /// No rule concerns a request of nobody.
    pub(super) unconcerned: Hint,
    /// Money is limited, and nobody says what a request costs.
    pub(super) unpriced: Hint,
}

/// The rules: those it was made with, until others were set.
///
/// A flag tells the two apart, so that a limiter whose rules never change asks for no more than
/// that. It is set once, after the first others are there, and never reset.
struct Rules {
    first: Vec<Rule>,
    changed: AtomicBool,
    latest: ArcSwap<Vec<Rule>>,
}

impl Rules {
    fn new(first: Vec<Rule>) -> Self {
        Self {
            first,
            changed: AtomicBool::new(false),
            latest: ArcSwap::default(),
        }
    }

    fn set(&self, rules: Vec<Rule>) {
        self.latest.store(Arc::new(rules));
        self.changed.store(true, Ordering::Release);
    }

    #[inline]
    fn with<R>(&self, read: impl FnOnce(&[Rule]) -> R) -> R {
        let latest;
        let rules = if self.changed.load(Ordering::Acquire) {
            latest = self.latest.load();
            &latest[..]
        } else {
            &self.first
        };
        read(rules)
    }
}

#[derive(Default)]
pub(super) struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
    shadowed: AtomicU64,
}

impl Counts {
    pub(super) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shadowed(&self) {
        self.shadowed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a limiter has decided since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were let through.
    pub admitted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that would have been refused but for the shadow mode.
    pub shadowed: u64,
}

impl Limiter {
    /// Each caller by the limits attached to its principal, counted in this process.
    #[must_use]
    pub fn new() -> Self {
        Self::with_store(Memory::new())
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl<St> Limiter<St> {
    /// Each caller by the limits attached to its principal, counted in this store.
    pub fn with_store(store: St) -> Self {
        Self {
            store,
            shared: Arc::new(Shared {
                rules: Rules::new(vec![Rule::per_principal()]),
                counts: Counts::default(),
                hints: Hints::default(),
            }),
        }
    }

    /// These rules instead. All of them must admit a request, or none counts it.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        match Arc::get_mut(&mut self.shared) {
            // Nobody has asked by the others yet.
            Some(shared) => shared.rules = Rules::new(rules.into_iter().collect()),
            None => self.set_rules(rules),
        }
        self
    }

    /// Replaces the rules of a limiter at work. What was used under a rule of the same name stays
    /// used; a larger limit gives the difference, not a fresh burst.
    pub fn set_rules(&self, rules: impl IntoIterator<Item = Rule>) {
        self.shared.rules.set(rules.into_iter().collect());
    }

    /// The store that it counts in.
    pub fn store(&self) -> &St {
        &self.store
    }

    /// What has been decided so far, by all layers of this limiter.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = self.counts();
        Stats {
            admitted: counts.admitted.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            shadowed: counts.shadowed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    pub(super) fn hints(&self) -> &Hints {
        &self.shared.hints
    }

    /// What a request of these weights asks for; nothing when no rule concerns it.
    pub fn ask(&self, parts: &Parts, weights: Weights) -> Ask {
        self.shared.rules.with(|rules| {
            // Each where it is made: a list of several in place is not small.
            match rules {
                [only] => match only.demand(parts) {
                    Some(demand) => Ask::of(Few::One(demand), weights),
                    None => Ask::of(Few::None, weights),
                },
                several => Ask::of(demands(several, parts), weights),
            }
        })
    }
}

#[inline(never)]
fn demands(rules: &[Rule], parts: &Parts) -> Few<Demand> {
    rules.iter().filter_map(|rule| rule.demand(parts)).collect()
}

impl<St: Store> Limiter<St> {
    /// How all limits stand for a request of this head, taking nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn standing_of(&self, parts: &Parts) -> Result<Report, Error> {
        let all = UNITS
            .iter()
            .fold(Weights::new().with_slot(), |weights, unit| {
                weights.with(*unit, 0)
            });
        let mut ask = self.ask(parts, all);
        ask.peek = true;
        match self.store.take(ask).await? {
            Decision::Admitted(_, report) => Ok(report),
            Decision::Refused(refusal) => Ok(refusal.report),
        }
    }

    /// How all limits stand for a caller, taking nothing: what `GET /v1/key` shows.
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// use tower_completions::{Principal, limit::{Limiter, Limits}};
    ///
    /// let limiter = Limiter::new();
    /// let caller = Principal::new("acme").attach(Limits::new().requests_per_minute(60).max_concurrent(8));
    /// let report = limiter.standing(&caller).await?;
    /// assert_eq!(report.requests.map(|it| (it.limit, it.remaining)), Some((60, 60)));
    /// assert_eq!(report.concurrent.map(|it| (it.limit, it.in_use)), Some((8, 0)));
    /// assert_eq!(report.tokens, None);
    /// # Ok::<_, tower_completions::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn standing(&self, caller: &Principal) -> Result<Report, Error> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(caller.clone());
        self.standing_of(&parts).await
    }
}

impl<St: Clone> Clone for Limiter<St> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<St: fmt::Debug> fmt::Debug for Limiter<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("store", &self.store)
            .field("rules", &self.shared.rules.with(<[Rule]>::to_vec))
            .finish_non_exhaustive()
    }
}
