//! What a request waits for, and how much of it is its own.

use std::sync::Arc;

use super::line::{Place, Places};
use crate::limit::{Ask, Demand, Limit, Refusal, Unit, Weights};

/// Where a request is limited.
pub(super) fn places(ask: &Ask) -> Places {
    let limited = |it: &&Demand| {
        let limits = &it.limits;
        let slots = limits.concurrent().is_some() && ask.weights.slot();
        let asked = |limit: &Limit| ask.weights.get(limit.unit).is_some();
        slots || limits.list().iter().any(asked)
    };
    let place = |it| place(it, ask);
    ask.demands.iter().filter(limited).map(place).collect()
}

/// What is counted for one rule.
pub(super) fn place(demand: &Demand, ask: &Ask) -> Place {
    let rule = Arc::clone(&demand.rule);
    (rule, demand.key.clone(), ask.weights.class())
}

/// What a request takes, as turns between keys count it: its tokens, or one.
pub(super) fn cost(weights: &Weights) -> u64 {
    let of = |unit| weights.get(unit).unwrap_or(0);
    of(Unit::Tokens)
        .max(of(Unit::InputTokens).saturating_add(of(Unit::OutputTokens)))
        .max(1)
}

/// The place of the limit that refused.
pub(super) fn blocked_on(ask: &Ask, refusal: &Refusal) -> Place {
    let by = |it: &&Demand| it.rule == refusal.rule;
    let demand = ask.demands.iter().find(by).unwrap_or(&ask.demands[0]);
    place(demand, ask)
}
