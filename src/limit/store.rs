use std::{future::Future, sync::Arc, time::Duration};

use super::{Key, Limits, Unit, few::Few};
use crate::error::Error;

/// Where limits are counted: in this process, or shared between nodes.
///
/// All demands of one [`Ask`] are met together or none is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not count limits",
    label = "not a `limit::Store`",
    note = "a store is `limit::Memory`, `limit::redis::Redis` (feature `redis`), or one of these in a `limit::Queue`"
)]
pub trait Store: Clone + Send + Sync + 'static {
    /// What has been taken.
    type Hold: Hold;
    /// The decision; an error is answered to the caller as it is. Dropped before its end, it must
    /// give back what it may have taken.
    type Take: Future<Output = Result<Decision<Self::Hold>, Error>> + Send;

    /// Takes what is asked for, or tells when it may be had.
    fn take(&self, ask: Ask) -> Self::Take;

    /// The same, where it is decided at once; `None` has taken nothing, and [`take`](Self::take) is to
    /// be asked. Saves the request a wait that a store in memory does not need. Default: `None`.
    fn take_now(&self, ask: &Ask) -> Option<Result<Decision<Self::Hold>, Error>> {
        let _ = ask;
        None
    }
}

/// What has been taken from a store. Dropped, it gives everything back.
pub trait Hold: Send + 'static {
    /// Corrects what was reserved to what was used and frees the slot. Called from `Drop`: it must
    /// neither block nor panic.
    fn settle(self, actual: &Weights);
}

/// How much a request takes of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    amounts: [u64; Unit::COUNT],
    asked: u8,
    slot: bool,
}

impl Weights {
    /// Nothing, of no unit.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            amounts: [0; Unit::COUNT],
            asked: 0,
            slot: false,
        }
    }

    /// So much of a unit. Limits of units that are not set are not looked at.
    #[must_use]
    pub const fn with(mut self, unit: Unit, amount: u64) -> Self {
        self.amounts[unit as usize] = amount;
        self.asked |= 1 << unit as u8;
        self
    }

    /// The same, and one of the slots for concurrent requests.
    #[must_use]
    pub const fn with_slot(mut self) -> Self {
        self.slot = true;
        self
    }

    /// How much of a unit; `None` when it is not looked at.
    #[must_use]
    pub const fn get(&self, unit: Unit) -> Option<u64> {
        if self.asked & (1 << unit as u8) == 0 {
            None
        } else {
            Some(self.amounts[unit as usize])
        }
    }

    /// Whether anything is taken but requests and slots, which are given back or not, whenever that
    /// is; all else flows.
    pub(super) fn flows(&self) -> bool {
        let flows = |(at, amount): (usize, &u64)| at != Unit::Requests as usize && *amount > 0;
        self.amounts.iter().enumerate().any(flows)
    }

    /// Which units are looked at, and whether slots are.
    pub(super) const fn class(&self) -> u8 {
        self.asked | (self.slot as u8) << Unit::COUNT
    }

    /// Whether a slot is taken.
    #[must_use]
    pub const fn slot(&self) -> bool {
        self.slot
    }
}

/// One key of one rule, with the limits that hold for it.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What the request is counted under.
    pub key: Key,
    /// The limits that hold for that key.
    pub limits: Limits,
}

/// What a request asks of a store.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(super) demands: Few<Demand>,
    /// How much it takes, everywhere the same.
    pub weights: Weights,
    /// Only look: take nothing, refuse nothing.
    pub peek: bool,
    /// Whether a [`Queue`](super::Queue) may let it wait.
    pub wait: bool,
}

impl Ask {
    /// What a request of these weights asks of all these keys.
    pub fn new(demands: impl IntoIterator<Item = Demand>, weights: Weights) -> Self {
        Self::of(demands.into_iter().collect(), weights)
    }

    #[inline]
    pub(super) const fn of(demands: Few<Demand>, weights: Weights) -> Self {
        Self {
            demands,
            weights,
            peek: false,
            wait: true,
        }
    }

    /// The keys, each with its limits.
    #[must_use]
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }
}

/// What a store says to an [`Ask`].
#[derive(Debug)]
pub enum Decision<H> {
    /// All of it has been taken.
    Admitted(H, Report),
    /// Nothing has been taken.
    Refused(Refusal),
}

impl<H> Decision<H> {
    /// The same with another hold in place of this one.
    pub fn map<K>(self, change: impl FnOnce(H) -> K) -> Decision<K> {
        match self {
            Self::Admitted(hold, report) => Decision::Admitted(change(hold), report),
            Self::Refused(refusal) => Decision::Refused(refusal),
        }
    }
}

/// How one limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it counts.
    pub unit: Unit,
    /// The amount of one window.
    pub limit: u64,
    /// How much may be taken now.
    pub remaining: u64,
    /// How much more was used than there was: it flows off before anything remains again.
    pub debt: u64,
    /// Until all of it is there again.
    pub reset: Duration,
    /// The window.
    pub window: Duration,
}

impl Standing {
    fn settle(&mut self, reserved: u64, used: u64) {
        let given = reserved.saturating_sub(used);
        let taken = used.saturating_sub(reserved);
        let owed = taken.saturating_sub(self.remaining);
        let left = self.remaining.saturating_sub(taken);
        self.remaining = left.saturating_add(given.saturating_sub(self.debt));
        self.debt = self.debt.saturating_sub(given).saturating_add(owed);
        if self.remaining >= self.limit && self.debt == 0 {
            self.reset = Duration::ZERO;
        } else if self.window < Duration::from_secs(86_400) {
            // It flows: nothing shorter than a day comes back at once.
            let time = |amount: u64| {
                let nanos = self.window.as_nanos().saturating_mul(amount.into());
                let nanos = nanos / u128::from(self.limit.max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            };
            self.reset = self
                .reset
                .saturating_sub(time(given))
                .saturating_add(time(taken));
        }
    }
}

/// How the slots for concurrent requests stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many there are.
    pub limit: u32,
    /// How many are taken.
    pub in_use: u32,
}

/// How the limits of a request stand: of each kind the most constrained one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Requests over time.
    pub requests: Option<Standing>,
    /// Tokens over time, of whatever kind.
    pub tokens: Option<Standing>,
    /// Money over time, in picodollars.
    pub money: Option<Standing>,
    /// Requests at once.
    pub concurrent: Option<Slots>,
}

impl Report {
    /// How the limits stand when a request that was admitted was turned down further in, and gives its
    /// place back.
    pub(super) fn give_request_back(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.remaining = requests.limit.min(requests.remaining.saturating_add(1));
            if requests.remaining == requests.limit {
                requests.reset = Duration::ZERO;
            }
        }
    }

    /// How the limits on tokens and money stand when what was reserved has come to what was used.
    pub(super) fn settle(&mut self, reserved: &Weights, used: &Weights) {
        for standing in [&mut self.tokens, &mut self.money].into_iter().flatten() {
            let (before, after) = (reserved.get(standing.unit), used.get(standing.unit));
            if let (Some(before), Some(after)) = (before, after) {
                standing.settle(before, after);
            }
        }
    }

    /// Adds a limit; of two of a kind the one that has less left stays.
    pub fn add(&mut self, standing: Standing) {
        let place = match standing.unit {
            Unit::Requests => &mut self.requests,
            Unit::Money => &mut self.money,
            Unit::Tokens | Unit::InputTokens | Unit::OutputTokens => &mut self.tokens,
        };
        let tight = |it: &Standing| (it.remaining, std::cmp::Reverse((it.debt, it.reset)));
        match place {
            Some(kept) if tight(&standing) >= tight(kept) => {}
            _ => *place = Some(standing),
        }
    }

    /// Adds slots; of two the ones with fewer left stay.
    pub fn add_slots(&mut self, slots: Slots) {
        let left = |it: &Slots| it.limit.saturating_sub(it.in_use);
        if self
            .concurrent
            .as_ref()
            .is_none_or(|kept| left(&slots) < left(kept))
        {
            self.concurrent = Some(slots);
        }
    }
}

/// When a refused request may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After so long.
    After(Duration),
    /// When another request of the same key has ended.
    Release,
    /// Never: it is larger than the limit itself.
    Never,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The rule whose limit it was: of several, the one to be waited for longest.
    pub rule: Arc<str>,
    /// What that limit counts; `None` for requests at once.
    pub unit: Option<Unit>,
    /// When it may come again.
    pub retry: Retry,
    /// How the limits stand.
    pub report: Report,
}

impl Refusal {
    /// A refusal by a rule.
    pub fn new(rule: Arc<str>, unit: Option<Unit>, retry: Retry, report: Report) -> Self {
        Self {
            rule,
            unit,
            retry,
            report,
        }
    }
}
