use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    ask::{Needs, Preferences, Sort},
    breaker::Breaking,
    budget::Budget,
    choose::Choice,
    fault,
    keys::Keys,
    place::Place,
    plan::{Balance, Model, Plan},
    policy::{Blame, Next, Policy},
    state::{Adaptive, Can, Millis, millis},
};
use crate::{
    error::{Class, Error, Kind},
    ext::Target,
};

/// What all requests of a router share and a course decides by.
pub(crate) struct Rules {
    /// Of this router alone.
    id: u64,
    pub(crate) attempts: u32,
    pub(crate) policy: Policy,
    pub(crate) breaking: Breaking,
    pub(crate) budget: Budget,
    pub(crate) percent: u32,
    pub(crate) longest_wait: Millis,
    pub(crate) dead_for: Millis,
    pub(crate) adaptive: Option<Adaptive>,
    clock: Box<dyn Fn() -> Millis + Send + Sync>,
}

impl Rules {
    pub(crate) fn with_clock(mut self, clock: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    pub(crate) fn now(&self) -> Millis {
        (self.clock)()
    }
}

impl Default for Rules {
    fn default() -> Self {
        static ROUTERS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: ROUTERS.fetch_add(1, Ordering::Relaxed),
            attempts: 3,
            policy: Policy::default(),
            breaking: Breaking::default(),
            budget: Budget::new(),
            percent: 10,
            longest_wait: 5_000,
            dead_for: 600_000,
            adaptive: None,
            clock: Box::new(|| 0),
        }
    }
}

/// The longest that a key or target is believed to want to rest: ten minutes.
const LONGEST_REST: Millis = 600_000;

#[derive(Debug)]
pub(crate) enum Step {
    Try(Place),
    WaitUntil(Millis),
    Stop(Error),
}

/// One attempt of this request.
#[derive(Debug)]
struct Asked {
    group: usize,
    at: usize,
    key: Option<usize>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Running,
    Failed {
        passes: bool,
        blamed: bool,
    },
    /// It failed, and its target's turn has come again: it still counts, and bars nothing.
    Over {
        blamed: bool,
    },
}

/// Whom the plan still has.
enum Found {
    Place {
        group: usize,
        at: usize,
        key: Option<usize>,
        unwell: bool,
    },
    /// Nobody before then.
    Resting(Millis),
    Nobody,
}

/// The way of one request through its plan: a plain machine.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) plan: Plan,
    needs: Needs,
    affinity: Option<u64>,
    wants: Option<Box<Preferences>>,
    /// Some target of the plan can do what is needed, and some cannot.
    picky: bool,
    asked: SmallVec<[Asked; 1]>,
    /// The groups before this one are done with.
    group: usize,
    last: Option<(Error, Class)>,
    waited: bool,
    /// It was sent to a target that is not well: there is no second one.
    desperate: bool,
}

impl Course {
    pub(crate) fn new(
        plan: Plan,
        needs: Needs,
        affinity: Option<u64>,
        wants: Option<Box<Preferences>>,
    ) -> Self {
        let limited = plan.groups.iter().any(|model| model.limited);
        let picky = limited && {
            let mut all = plan.groups.iter().flat_map(|model| &model.candidates);
            all.any(|one| one.serves(&needs))
        };
        Self {
            plan,
            needs,
            affinity,
            wants,
            picky,
            asked: SmallVec::new(),
            group: 0,
            last: None,
            waited: false,
            desperate: false,
        }
    }

    /// Attempts begun so far.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.asked.len()).unwrap_or(u32::MAX)
    }

    /// The target to ask, its name filled in.
    pub(crate) fn target(&self, place: &Place) -> Target {
        let target = place.candidate().target.clone();
        let mut target = target.with_key(place.key.unwrap_or(0));
        if let Some(star) = self.plan.star(place.group) {
            target.model = target.model.replacen('*', star, 1).into();
        }
        target
    }

    /// What to do next. `random` is any number; `keys` gives a provider's pool, `None` for one
    /// that does not exist.
    pub(crate) fn next<'k>(
        &mut self,
        rules: &Rules,
        now: Millis,
        random: u64,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Step {
        let row = self
            .last
            .as_ref()
            .map(|(_, class)| rules.policy.row(*class));
        if let Some(row) = row {
            let spent = self.attempts() >= rules.attempts || row.next == Next::GiveUp;
            let over = spent || self.desperate;
            if over || (row.budgeted && !self.waited && !rules.budget.retry(now)) {
                return self.stop(None, now);
            }
            if row.next == Next::SameTarget && !self.waited {
                let until = self.again(now, random).filter(|_| row.passes);
                if let Some(until) = self.patience(rules, now, until) {
                    return self.wait(until);
                }
            }
        }
        // What was free a moment ago may be taken by another thread: then it is looked for anew.
        let mut resting = None;
        for turn in 0..4 {
            match self.find(
                rules,
                now,
                random.wrapping_add(turn),
                row.map(|row| row.next),
                &keys,
            ) {
                Found::Place {
                    group,
                    at,
                    key,
                    unwell,
                } => {
                    let model = &self.plan.groups[group];
                    let pool = model.candidates[at].pool(rules.id, &keys);
                    let place = pool.and_then(|pool| Place::take(group, model, at, key, pool, now));
                    if let Some(place) = place {
                        self.desperate |= unwell;
                        self.begin(&place);
                        return Step::Try(place);
                    }
                }
                Found::Resting(until) => {
                    resting = Some(until);
                    break;
                }
                Found::Nobody => break,
            }
        }
        let again = match row {
            None => None,
            Some(row) if row.passes => self.again(now, random),
            Some(_) => None,
        };
        match self.patience(rules, now, again.or(resting)) {
            Some(until) => self.wait(until),
            None => self.stop(resting, now),
        }
    }

    /// Another target beside the one that is being asked, for the same model first.
    pub(crate) fn beside<'k>(
        &mut self,
        rules: &Rules,
        now: Millis,
        random: u64,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<Place> {
        if self.attempts() >= rules.attempts || self.desperate {
            return None;
        }
        let found = self.find(rules, now, random, Some(Next::OtherTarget), &keys);
        let Found::Place {
            group,
            at,
            key,
            unwell: false,
        } = found
        else {
            return None;
        };
        if !rules.budget.retry(now) {
            return None;
        }
        let model = &self.plan.groups[group];
        let pool = model.candidates[at].pool(rules.id, &keys)?;
        let place = Place::take(group, model, at, key, pool, now)?;
        self.begin(&place);
        Some(place)
    }

    fn begin(&mut self, place: &Place) {
        self.asked.push(Asked {
            group: place.group,
            at: place.at,
            key: place.key,
            fate: Fate::Running,
        });
    }

    fn find<'k>(
        &self,
        rules: &Rules,
        now: Millis,
        random: u64,
        next: Option<Next>,
        keys: &impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Found {
        let (mut soonest, mut unwell) = (None, None);
        let last = self.asked.last();
        for group in self.group..self.plan.groups.len() {
            let model = &self.plan.groups[group];
            let all = &model.candidates;
            let look = |at: usize| self.look(rules, group, at, next, now, keys);
            let place = |at, key| Found::Place {
                group,
                at,
                key,
                unwell: false,
            };
            // Another key of the target that has just failed comes before other targets, and so
            // does the target itself where the policy says so.
            let here = |last: &&Asked| {
                let over = matches!(last.fate, Fate::Over { .. });
                last.group == group && (!over || next == Some(Next::SameTarget))
            };
            if let Some(last) = last.filter(here) {
                if let Some(Can::Yes(key)) = look(last.at) {
                    return place(last.at, key);
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
                        Some(Can::Resting(until)) => {
                            soonest = Some(soonest.map_or(until, |s: Millis| s.min(until)));
                        }
                        _ => {}
                    }
                }
            }
        }
        match (unwell, soonest) {
            // Nobody is well. A request that has asked nobody yet may still ask one that is not:
            // that every breaker is open need not mean that everybody is down.
            (Some((group, at, key)), _) if self.asked.is_empty() => Found::Place {
                group,
                at,
                key,
                unwell: true,
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
        let mut barred = 0_u64;
        let mut tried = false;
        for asked in &self.asked {
            let over = matches!(asked.fate, Fate::Over { .. });
            if !over && (asked.group, asked.at) == (group, at) {
                tried = true;
                barred |= asked.key.map_or(0, |key| 1 << key);
            }
        }
        if tried {
            let other_key = next == Some(Next::OtherKey)
                && self
                    .asked
                    .last()
                    .is_some_and(|last| (last.group, last.at) == (group, at) && last.key.is_some());
            if !other_key {
                return None;
            }
        }
        let keys = candidate.pool(rules.id, keys)?;
        Some(candidate.state.can(now, candidate.limit, keys, barred))
    }

    fn balance(&self, model: &Model) -> Balance {
        match self.wants.as_ref().and_then(|wants| wants.sort) {
            None => model.balance,
            Some(Sort::Price) => Balance::Cheapest,
            Some(Sort::Latency) => Balance::Fastest,
            Some(Sort::Throughput) => Balance::LeastLoad,
        }
    }

    /// When a target that failed in a way that passes may be asked again: when the last one said,
    /// or after a pause that doubles, half of it at random.
    fn again(&self, now: Millis, random: u64) -> Option<Millis> {
        let passes = |asked: &Asked| matches!(asked.fate, Fate::Failed { passes: true, .. });
        self.asked.iter().find(|asked| passes(asked))?;
        let said = self
            .last
            .as_ref()
            .and_then(|(error, _)| error.retry_after());
        let doubled = 100_u64 << self.asked.len().min(6);
        let pause = said.map_or(doubled / 2 + random % (doubled / 2), millis);
        Some(now.saturating_add(pause))
    }

    /// Whether to wait until then: once in a row, and not for too long.
    fn patience(&self, rules: &Rules, now: Millis, until: Option<Millis>) -> Option<Millis> {
        until.filter(|until| until.saturating_sub(now) <= rules.longest_wait && !self.waited)
    }

    fn wait(&mut self, until: Millis) -> Step {
        self.waited = true;
        for asked in &mut self.asked {
            if let Fate::Failed {
                passes: true,
                blamed,
            } = asked.fate
            {
                asked.fate = Fate::Over { blamed };
            }
        }
        Step::WaitUntil(until)
    }

    fn stop(&mut self, resting: Option<Millis>, now: Millis) -> Step {
        if let Some((error, _)) = self.last.take() {
            return Step::Stop(error);
        }
        let overloaded = |until| {
            let mut all = self.plan.groups.iter().flat_map(|model| &model.candidates);
            all.any(|candidate| candidate.state.is_overloaded_until(until))
        };
        Step::Stop(match resting {
            Some(until) if overloaded(until) => Error::new(
                Kind::Overloaded,
                "The upstream is overloaded; it asked for a pause.",
            )
            .with_class(Class::Overload)
            .with_retry_after(Duration::from_millis(until.saturating_sub(now))),
            Some(until) => Error::new(Kind::RateLimit, "The upstream's rate limit is reached.")
                .with_code("upstream_rate_limited")
                .with_class(Class::RateLimit)
                .with_retry_after(Duration::from_millis(until.saturating_sub(now))),
            None => Error::new(Kind::Overloaded, "No upstream is free to answer.")
                .with_code("no_upstream")
                .with_class(Class::Overload)
                .with_retry_after(Duration::from_secs(1)),
        })
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(&mut self, rules: &Rules, place: &Place, error: Error, now: Millis) {
        self.waited = false;
        let class = fault::class(&error);
        let row = rules.policy.row(class);
        let state = &place.candidate().state;
        let after = error.retry_after().map(millis);
        match (row.blame, class) {
            (Blame::Key, Class::RateLimit) => {
                let rest = after.unwrap_or(0).min(LONGEST_REST);
                state.rest(place.key, now + rest);
            }
            (Blame::Key, _) => {
                place.keys().bury(place.key, now + rules.dead_for);
            }
            (Blame::Target, _) => {
                place.failed(now);
                if let Some(after) = after {
                    state.rest_overloaded(place.key, now + after.min(LONGEST_REST));
                }
            }
            (Blame::Nobody, _) => {}
        }
        if let (Some(adaptive), true) = (&rules.adaptive, row.passes) {
            state.adapt(adaptive, false);
        }
        if row.next == Next::OtherModel {
            self.group = self.group.max(place.group + 1);
        }
        let fate = Fate::Failed {
            passes: row.passes,
            blamed: row.blame == Blame::Target,
        };
        let running = |asked: &&mut Asked| {
            asked.fate == Fate::Running && (asked.group, asked.at) == (place.group, place.at)
        };
        if let Some(asked) = self.asked.iter_mut().find(running) {
            asked.fate = fate;
        }
        self.last = Some((error, class));
    }

    /// Whether an attempt's failure is held against its target. When no target could answer the
    /// request itself may be to blame: then only the first is, so that one poisonous request cannot
    /// open every breaker.
    pub(crate) fn blames(&self, place: &Place) -> bool {
        self.asked.iter().any(|asked| {
            let blamed = matches!(
                asked.fate,
                Fate::Failed { blamed: true, .. } | Fate::Over { blamed: true }
            );
            blamed && (asked.group, asked.at) == (place.group, place.at)
        })
    }
}
