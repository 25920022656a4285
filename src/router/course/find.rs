//! Whom to ask next.

use std::sync::Arc;

use super::{
    super::{
        ask::{Preferences, Sort},
        choose::Choice,
        keys::{Keys, Nth},
        plan::{Balance, Model},
        policy::Next,
        state::{Can, Millis},
    },
    Course, Moment,
    fate::{Asked, Fate},
};

/// Whom the plan still has.
pub(super) enum Found {
    Spot(Spot),
    /// Nobody before then.
    Resting(Millis),
    Nobody,
}

/// Who was found: a candidate of the plan, and one of its keys.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) group: usize,
    pub(super) at: usize,
    pub(super) key: Option<Nth>,
    pub(super) fit: Fit,
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

/// Those of the plan who are not to be asked at once.
#[derive(Default)]
struct Others {
    /// When the first of those who rest may be asked.
    soonest: Option<Millis>,
    /// Whose rest by guess ends first.
    unsure: Option<(Millis, Spot)>,
    unwell: Option<Spot>,
}

impl Others {
    fn note(&mut self, group: usize, at: usize, can: Can) {
        let spot = |key, fit| Spot {
            group,
            at,
            key,
            fit,
        };
        match can {
            Can::Unwell(key) => {
                self.unwell.get_or_insert(spot(key, Fit::Unwell));
            }
            Can::Unsure(until, key) => {
                if self.unsure.is_none_or(|(first, _)| until < first) {
                    self.unsure = Some((until, spot(key, Fit::Unsure)));
                }
            }
            Can::Resting(until) => {
                self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
            }
            Can::Yes(_) | Can::Full => {}
        }
    }

    /// Whom to ask where nobody is well.
    fn found(self, is_first: bool) -> Found {
        // It might serve after all: a guess keeps nobody waiting.
        if let Some((_, spot)) = self.unsure {
            return Found::Spot(spot);
        }
        match (self.unwell, self.soonest) {
            // A request that has asked nobody yet may still ask one that is not well: that every breaker is
            // open need not mean that everybody is down.
            (Some(spot), _) if is_first => Found::Spot(spot),
            (_, Some(until)) => Found::Resting(until),
            _ => Found::Nobody,
        }
    }
}

/// A candidate of a model's list, and one of its keys.
type Well = (usize, Option<Nth>);

impl Course {
    /// Whom to ask, after a failure in the way that it calls for.
    #[inline]
    pub(super) fn find<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(
        &self,
        next: Option<Next>,
        random: u64,
        moment: &Moment<'_, K>,
    ) -> Found {
        let mut others = Others::default();
        for group in self.group..self.plan.groups.len() {
            let model = &self.plan.groups[group];
            let look = |at: usize| self.look(group, at, next, moment);
            let spot = |(at, key): Well| {
                Found::Spot(Spot {
                    group,
                    at,
                    key,
                    fit: Fit::Well,
                })
            };
            if let Some(same) = self.same(group, next, look) {
                return spot(same);
            }
            if let Some(wanted) = self.wanted(model, look) {
                return spot(wanted);
            }
            let choice = Choice {
                balance: self.balance(model),
                random,
                now: moment.now,
                needs: &self.needs,
                affinity: self.affinity,
                breaking: &moment.rules.breaking,
            };
            for tier in model.tiers() {
                if let Some(chosen) = choice.choose(&model.candidates, tier, look) {
                    return spot(chosen);
                }
                for at in tier.from..tier.until {
                    if let Some(can) = look(at) {
                        others.note(group, at, can);
                    }
                }
            }
        }
        others.found(self.asked.is_empty())
    }

    /// Another key of the target that has just failed: it comes before other targets, and so does the target
    /// itself where the policy says so.
    #[inline]
    fn same(
        &self,
        group: usize,
        next: Option<Next>,
        look: impl Fn(usize) -> Option<Can>,
    ) -> Option<Well> {
        let last = self.asked.last().filter(|last| last.group == group)?;
        let over = matches!(last.fate, Fate::Over { .. });
        let itself = next == Some(Next::SameTarget);
        if over && !itself {
            return None;
        }
        match look(last.at)? {
            Can::Yes(key) => Some((last.at, key)),
            // It has rested for as long as the policy says.
            Can::Unsure(_, key) if itself => Some((last.at, key)),
            _ => None,
        }
    }

    /// The first that is well of those that the client wants first, in its order.
    #[inline]
    fn wanted(&self, model: &Model, look: impl Fn(usize) -> Option<Can>) -> Option<Well> {
        let wants = self.wants.as_ref()?;
        wants.order.iter().find_map(|name| {
            let all = model.candidates.iter().enumerate();
            let mut named = all.filter(|(_, one)| *one.target.provider == **name);
            named.find_map(|(at, _)| match look(at) {
                Some(Can::Yes(key)) => Some((at, key)),
                _ => None,
            })
        })
    }

    /// Whether a candidate may be asked; `None` when this request has no business there.
    #[inline]
    fn look<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(
        &self,
        group: usize,
        at: usize,
        next: Option<Next>,
        moment: &Moment<'_, K>,
    ) -> Option<Can> {
        let candidate = &self.plan.groups[group].candidates[at];
        if self.picky && !candidate.serves(&self.needs) {
            return None;
        }
        let allows = |wants: &Preferences| wants.allows(&candidate.target.provider);
        if !self.wants.as_deref().is_none_or(allows) {
            return None;
        }
        let barred = match self.asked.last() {
            None => 0,
            Some(last) => self.barred(group, at, next, last)?,
        };
        let keys = candidate.pool(moment.rules, &moment.keys)?;
        let can = candidate
            .state
            .can(moment.now, candidate.limit, keys, barred);
        Some(can)
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
