//! Whom to ask next.

use std::sync::Arc;

use super::{
    super::{
        ask::Sort,
        choose::Choice,
        keys::{Keys, Nth},
        plan::{Balance, Model},
        policy::Next,
        rules::Rules,
        state::{Can, Millis},
    },
    Course,
    fate::{Asked, Fate},
};

/// Whom the plan still has.
pub(super) enum Found {
    Place {
        group: usize,
        at: usize,
        key: Option<Nth>,
        fit: Fit,
    },
    /// Nobody before then.
    Resting(Millis),
    Nobody,
}

/// How sure it is that who was found serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Well,
    /// It rests by guess, and nobody else is left.
    Unsure,
    /// Nor is such a one.
    Unwell,
}

impl Course {
    pub(super) fn find<'k>(
        &self,
        rules: &Rules,
        now: Millis,
        random: u64,
        next: Option<Next>,
        keys: &impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Found {
        let (mut soonest, mut unwell) = (None, None);
        let mut unsure = None;
        let last = self.asked.last();
        for group in self.group..self.plan.groups.len() {
            let model = &self.plan.groups[group];
            let all = &model.candidates;
            let look = |at: usize| self.look(rules, group, at, next, now, keys);
            let place = |at, key| Found::Place {
                group,
                at,
                key,
                fit: Fit::Well,
            };
            // Another key of the target that has just failed comes before other targets, and so
            // does the target itself where the policy says so.
            let here = |last: &&Asked| {
                let over = matches!(last.fate, Fate::Over { .. });
                last.group == group && (!over || next == Some(Next::SameTarget))
            };
            if let Some(last) = last.filter(here) {
                match look(last.at) {
                    Some(Can::Yes(key)) => return place(last.at, key),
                    // It has rested for as long as the policy says.
                    Some(Can::Unsure(_, key)) if next == Some(Next::SameTarget) => {
                        return place(last.at, key);
                    }
                    _ => {}
                }
            }
            for name in self.wants.iter().flat_map(|wants| &wants.order) {
                let mut named = (0..all.len()).filter(|at| *all[*at].target.provider == **name);
                let well = named.find_map(|at| match look(at) {
                    Some(Can::Yes(key)) => Some((at, key)),
                    _ => None,
                });
                if let Some((at, key)) = well {
                    return place(at, key);
                }
            }
            let choice = Choice {
                balance: self.balance(model),
                random,
                now,
                needs: self.needs,
                affinity: self.affinity,
                breaking: &rules.breaking,
            };
            for tier in model.tiers() {
                if let Some((at, key)) = choice.choose(all, tier, look) {
                    return place(at, key);
                }
                for at in tier.from..tier.until {
                    match look(at) {
                        Some(Can::Unwell(key)) => unwell = unwell.or(Some((group, at, key))),
                        Some(Can::Unsure(until, key)) => {
                            let first = |&(first, ..): &(Millis, _, _, _)| until < first;
                            if unsure.as_ref().is_none_or(first) {
                                unsure = Some((until, group, at, key));
                            }
                        }
                        Some(Can::Resting(until)) => {
                            soonest = Some(soonest.map_or(until, |s: Millis| s.min(until)));
                        }
                        _ => {}
                    }
                }
            }
        }
        // It might serve after all: a guess keeps nobody waiting.
        if let Some((_, group, at, key)) = unsure {
            return Found::Place {
                group,
                at,
                key,
                fit: Fit::Unsure,
            };
        }
        match (unwell, soonest) {
            // Nobody is well. A request that has asked nobody yet may still ask one that is not:
            // that every breaker is open need not mean that everybody is down.
            (Some((group, at, key)), _) if self.asked.is_empty() => Found::Place {
                group,
                at,
                key,
                fit: Fit::Unwell,
            },
            (_, Some(until)) => Found::Resting(until),
            _ => Found::Nobody,
        }
    }

    /// Whether a candidate may be asked; `None` when this request has no business there.
    fn look<'k>(
        &self,
        rules: &Rules,
        group: usize,
        at: usize,
        next: Option<Next>,
        now: Millis,
        keys: &impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<Can> {
        let candidate = &self.plan.groups[group].candidates[at];
        let provider = &candidate.target.provider;
        if self.picky && !candidate.serves(&self.needs) {
            return None;
        }
        if self
            .wants
            .as_ref()
            .is_some_and(|wants| !wants.allows(provider))
        {
            return None;
        }
        let barred = match self.asked.last() {
            None => 0,
            Some(last) => self.barred(group, at, next, last)?,
        };
        let keys = candidate.pool(rules, keys)?;
        Some(candidate.state.can(now, candidate.limit, keys, barred))
    }

    /// A bit for each key of a candidate that this request has tried in vain; `None` when it has no business
    /// there any more.
    #[inline(never)]
    fn barred(&self, group: usize, at: usize, next: Option<Next>, last: &Asked) -> Option<u64> {
        let mut barred = 0;
        let mut tried = false;
        let mut forbidden = 0;
        for asked in &self.asked {
            let over = matches!(asked.fate, Fate::Over { .. });
            if !over && (asked.group, asked.at) == (group, at) {
                tried = true;
                barred |= asked.key.map_or(0, |key| 1 << key);
                forbidden += u32::from(asked.forbidden);
            }
        }
        // What two keys were forbidden is forbidden to the request.
        let other_key = || {
            next == Some(Next::OtherKey)
                && forbidden < 2
                && (last.group, last.at) == (group, at)
                && last.key.is_some()
        };
        (!tried || other_key()).then_some(barred)
    }

    fn balance(&self, model: &Model) -> Balance {
        match self.wants.as_ref().and_then(|wants| wants.sort) {
            None => model.balance,
            Some(Sort::Price) => Balance::Cheapest,
            Some(Sort::Latency) => Balance::Fastest,
            Some(Sort::Throughput) => Balance::LeastLoad,
        }
    }
}
