use std::sync::Arc;

use super::{Rate, Window, Zone};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Requests, one each.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Tokens of the prompt.
    InputTokens,
    /// Generated tokens.
    OutputTokens,
    /// Money, in picodollars (10⁻¹² USD).
    Money,
}

impl Unit {
    pub(super) const COUNT: usize = 5;

    /// As said to the caller.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Money => "cost",
        }
    }

    /// Tokens of whatever kind.
    pub(super) const fn is_tokens(self) -> bool {
        matches!(self, Self::Tokens | Self::InputTokens | Self::OutputTokens)
    }
}

/// One limit: what it counts, and how much of it in which time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it counts.
    pub unit: Unit,
    /// How much, in which time.
    pub window: Window,
}

/// The limits of one key, team or whatever else a [`Rule`](super::Rule) counts by.
///
/// Attach them to the [`Principal`](crate::ext::Principal) of a caller, and its requests are held to
/// them. All of them hold at once. A clone is cheap and shares the same list.
///
/// ```
/// use tower_completions::{Principal, limit::{Limits, Rate}};
///
/// let limits = Limits::new()
///     .requests_per_minute(60)
///     .tokens_per_minute(100_000)
///     .requests(Rate::per_second(5).burst(10))
///     .max_concurrent(8);
/// let caller = Principal::new("acme").attach(limits);
/// # assert_eq!(caller.get::<Limits>().unwrap().concurrent(), Some(8));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits(Arc<List>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    rates: Vec<Limit>,
    concurrent: Option<u32>,
    /// Whether any of them counts days of the calendar.
    calendar: bool,
}

impl Limits {
    /// No limit at all.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Adds a limit of any kind. Several of one unit stand side by side.
    #[must_use]
    pub fn limit(mut self, unit: Unit, window: impl Into<Window>) -> Self {
        let window = window.into();
        let list = Arc::make_mut(&mut self.0);
        list.calendar |= matches!(window, Window::Daily { .. });
        list.rates.push(Limit { unit, window });
        self
    }

    /// Requests at a rate.
    #[must_use]
    pub fn requests(self, rate: Rate) -> Self {
        self.limit(Unit::Requests, rate)
    }

    /// Requests a minute, all of which may come at once.
    #[must_use]
    pub fn requests_per_minute(self, amount: u64) -> Self {
        self.requests(Rate::per_minute(amount))
    }

    /// Requests on one day of the calendar.
    #[must_use]
    pub fn requests_daily(self, amount: u64, zone: Zone) -> Self {
        self.limit(Unit::Requests, Window::Daily { amount, zone })
    }

    /// Input and output tokens together, at a rate.
    #[must_use]
    pub fn tokens(self, rate: Rate) -> Self {
        self.limit(Unit::Tokens, rate)
    }

    /// Input and output tokens together a minute, all of which may come at once.
    #[must_use]
    pub fn tokens_per_minute(self, amount: u64) -> Self {
        self.tokens(Rate::per_minute(amount))
    }

    /// Input and output tokens together on one day of the calendar.
    #[must_use]
    pub fn tokens_daily(self, amount: u64, zone: Zone) -> Self {
        self.limit(Unit::Tokens, Window::Daily { amount, zone })
    }

    /// Tokens of prompts at a rate.
    #[must_use]
    pub fn input_tokens(self, rate: Rate) -> Self {
        self.limit(Unit::InputTokens, rate)
    }

    /// Generated tokens at a rate.
    #[must_use]
    pub fn output_tokens(self, rate: Rate) -> Self {
        self.limit(Unit::OutputTokens, rate)
    }

    /// Picodollars (10⁻¹² USD) at a rate. Counted only where
    /// [`TokenLimitLayer`](super::TokenLimitLayer) is told what a request costs, by
    /// [`quote`](super::TokenLimitLayer::quote) or [`price`](super::TokenLimitLayer::price), as in
    /// `Gateway`.
    #[must_use]
    pub fn money(self, rate: Rate) -> Self {
        self.limit(Unit::Money, rate)
    }

    /// Requests at the same time, from their admission to the end of their answer's body.
    #[must_use]
    pub fn max_concurrent(mut self, amount: u32) -> Self {
        Arc::make_mut(&mut self.0).concurrent = Some(amount);
        self
    }

    /// All limits over time, in the order they were added.
    #[must_use]
    pub fn list(&self) -> &[Limit] {
        &self.0.rates
    }

    /// How many requests at the same time.
    #[must_use]
    pub fn concurrent(&self) -> Option<u32> {
        self.0.concurrent
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rates.is_empty() && self.0.concurrent.is_none()
    }

    /// Each limit divided by a number of nodes, at least one of everything that is not zero.
    #[must_use]
    pub fn share(&self, of: u32) -> Self {
        let share = |limit: &Limit| Limit {
            unit: limit.unit,
            window: limit.window.share(u64::from(of)),
        };
        Self(Arc::new(List {
            rates: self.0.rates.iter().map(share).collect(),
            calendar: self.0.calendar,
            concurrent: self.0.concurrent.map(|slots| {
                if slots == 0 {
                    0
                } else {
                    (slots / of.max(1)).max(1)
                }
            }),
        }))
    }

    /// Whether the time of day is needed.
    pub(super) fn by_calendar(&self) -> bool {
        self.0.calendar
    }

    /// Whether the two are the same list, told without looking into it.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
