use std::time::Duration;

use super::{
    fault,
    plan::{Balance, Candidate, Plan},
    policy::{Blame, Next, Policy},
    state::{Breaking, Budget, Can, Keys, Millis},
};
use crate::{
    error::{Class, Error, Kind},
    ext::Target,
};

/// What all requests of a router share and a course decides by.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) attempts: u32,
    pub(crate) policy: Policy,
    pub(crate) breaking: Breaking,
    pub(crate) budget: Budget,
    pub(crate) percent: u32,
    pub(crate) longest_wait: Millis,
    pub(crate) dead_for: Millis,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            attempts: 3,
            policy: Policy::default(),
            breaking: Breaking::default(),
            budget: Budget::new(),
            percent: 10,
            longest_wait: 5_000,
            dead_for: 600_000,
        }
    }
}

/// A place at a target, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) group: usize,
    pub(crate) at: usize,
    pub(crate) key: Option<usize>,
    pub(crate) candidate: Candidate,
    probe: bool,
    inside: bool,
}

impl Place {
    fn new(group: usize, at: usize, key: Option<usize>, candidate: &Candidate) -> Self {
        Self {
            group,
            at,
            key,
            candidate: candidate.clone(),
            probe: candidate.state.enter(),
            inside: true,
        }
    }

    pub(crate) fn record(&mut self, good: bool, now: Millis, breaking: &Breaking) {
        self.probe = false;
        self.candidate.state.record(good, now, breaking);
    }

    /// Makes room for another request; the verdict may still be to come.
    pub(crate) fn vacate(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.candidate.state.leave();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.vacate();
        if self.probe {
            self.candidate.state.give_back_probe();
        }
    }
}

#[derive(Debug)]
pub(crate) enum Step {
    Try(Place),
    WaitUntil(Millis),
    Stop(Error),
}

/// One attempt that failed.
#[derive(Debug)]
struct Failure {
    group: usize,
    at: usize,
    key: Option<usize>,
    passes: bool,
    blamed: bool,
    /// Its target's turn has come again: it still counts, and bars nothing.
    over: bool,
}

/// The way of one request through its plan: a plain machine.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) plan: Plan,
    failures: Vec<Failure>,
    /// The groups before this one are done with.
    group: usize,
    last: Option<(Error, Class)>,
    waited: bool,
}

impl Course {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            failures: Vec::new(),
            group: 0,
            last: None,
            waited: false,
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.failures.len()).unwrap_or(u32::MAX)
    }

    /// The target to ask, its name filled in.
    pub(crate) fn target(&self, place: &Place) -> Target {
        let mut target = place
            .candidate
            .target
            .clone()
            .with_key(place.key.unwrap_or(0));
        if let Some(star) = self.plan.captured.as_deref().filter(|_| place.group == 0) {
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
        keys: impl Fn(&str) -> Option<&'k Keys>,
    ) -> Step {
        let row = self
            .last
            .as_ref()
            .map(|(_, class)| rules.policy.row(*class));
        if let Some(row) = row {
            let spent = self.attempts() >= rules.attempts || row.next == Next::GiveUp;
            if spent || (row.budgeted && !self.waited && !rules.budget.retry(now)) {
                return self.stop(None, now);
            }
        }
        let (mut soonest, mut unwell) = (None, None);
        let mut again = None;
        for group in self.group..self.plan.groups.len() {
            let model = &self.plan.groups[group];
            let all = &model.candidates;
            let look = |at: usize| {
                let candidate: &Candidate = &all[at];
                let pool = keys(&candidate.target.provider)?;
                let mut barred = [false; 16];
                let mut tried = false;
                for failure in self
                    .failures
                    .iter()
                    .filter(|f| !f.over && (f.group, f.at) == (group, at))
                {
                    tried = true;
                    if let Some(slot) = failure.key.and_then(|key| barred.get_mut(key)) {
                        *slot = true;
                    }
                }
                let other_key = row.is_some_and(|row| row.next == Next::OtherKey)
                    && self.failures.last().is_some_and(|last| {
                        (last.group, last.at) == (group, at) && last.key.is_some()
                    });
                if tried && !other_key {
                    return None;
                }
                Some(candidate.state.can(now, candidate.limit, pool, &barred))
            };
            // Another key of the target that has just failed comes before other targets.
            if let Some(last) = self
                .failures
                .last()
                .filter(|last| last.group == group && !last.over)
            {
                if let Some(Can::Yes(key)) = look(last.at) {
                    return Step::Try(Place::new(group, last.at, key, &all[last.at]));
                }
            }
            let mut from = 0;
            while from < all.len() {
                let priority = all[from].priority;
                let until = from + all[from..].partition_point(|c| c.priority == priority);
                if let Some((at, key)) = choose(&all[from..until], model.balance, random, |at| {
                    look(from + at)
                }) {
                    return Step::Try(Place::new(group, from + at, key, &all[from + at]));
                }
                for at in from..until {
                    match look(at) {
                        Some(Can::Unwell(key)) => unwell = unwell.or(Some((group, at, key))),
                        Some(Can::Resting(until)) => {
                            soonest = Some(soonest.map_or(until, |s: Millis| s.min(until)));
                        }
                        _ => {}
                    }
                }
                from = until;
            }
        }
        // Nobody is well. A request that has asked nobody yet may still ask one that is not.
        if let Some((group, at, key)) = unwell.filter(|_| self.failures.is_empty()) {
            let candidate = &self.plan.groups[group].candidates[at];
            return Step::Try(Place::new(group, at, key, candidate));
        }
        if row.is_none_or(|row| row.passes) {
            again = self.again(now, random);
        }
        match again.or(soonest) {
            Some(until) if until.saturating_sub(now) <= rules.longest_wait && !self.waited => {
                self.waited = true;
                self.failures.iter_mut().filter(|f| f.passes).for_each(|f| {
                    f.over = true;
                });
                Step::WaitUntil(until)
            }
            _ => self.stop(soonest, now),
        }
    }

    /// When the target that failed first in a way that passes may be asked again.
    fn again(&self, now: Millis, random: u64) -> Option<Millis> {
        self.failures.iter().find(|f| f.passes && !f.over)?;
        let asked = self
            .last
            .as_ref()
            .and_then(|(error, _)| error.retry_after());
        let doubled = 100_u64 << self.failures.len().min(6);
        let pause = asked.map_or(doubled / 2 + random % (doubled / 2), millis);
        Some(now + pause)
    }

    fn stop(&mut self, resting: Option<Millis>, now: Millis) -> Step {
        if let Some((error, _)) = self.last.take() {
            return Step::Stop(error);
        }
        Step::Stop(match resting {
            Some(until) => Error::new(Kind::RateLimit, "the upstream's rate limit is reached")
                .with_code("upstream_rate_limited")
                .with_class(Class::RateLimit)
                .with_retry_after(Duration::from_millis(until.saturating_sub(now))),
            None => Error::new(Kind::Overloaded, "no upstream is free to answer")
                .with_code("no_upstream")
                .with_class(Class::Overload)
                .with_retry_after(Duration::from_secs(1)),
        })
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(
        &mut self,
        rules: &Rules,
        place: &Place,
        keys: Option<&Keys>,
        error: Error,
        now: Millis,
    ) {
        self.waited = false;
        let class = fault::class(&error);
        let row = rules.policy.row(class);
        let state = &place.candidate.state;
        let after = error.retry_after().map(millis);
        match (row.blame, class) {
            (Blame::Key, Class::RateLimit) => {
                state.rest(place.key, now + after.unwrap_or(0).min(600_000));
            }
            (Blame::Key, _) => {
                if let Some(keys) = keys {
                    keys.bury(place.key, now + rules.dead_for);
                }
            }
            (Blame::Target, _) => {
                state.failed();
                if let Some(after) = after {
                    state.rest(place.key, now + after.min(600_000));
                }
            }
            (Blame::Nobody, _) => {}
        }
        if row.next == Next::OtherModel {
            self.group = place.group + 1;
        }
        self.failures.push(Failure {
            group: place.group,
            at: place.at,
            key: place.key,
            passes: row.passes,
            blamed: row.blame == Blame::Target,
            over: false,
        });
        self.last = Some((error, class));
    }

    /// Which failed attempts are held against their targets, once it is known whether another
    /// target could answer. When none could the request itself may be to blame: then only the
    /// first is, so that one poisonous request cannot open every breaker.
    pub(crate) fn blame(&self, answered: bool) -> impl Iterator<Item = usize> {
        let blamed = self
            .failures
            .iter()
            .enumerate()
            .filter(|(_, failure)| failure.blamed);
        let most = if answered { usize::MAX } else { 1 };
        blamed.map(|(at, _)| at).take(most)
    }
}

fn millis(after: Duration) -> Millis {
    Millis::try_from(after.as_millis()).unwrap_or(Millis::MAX / 2)
}

/// One of the candidates of a priority that can be asked now. Four draws at most, then in order.
fn choose(
    all: &[Candidate],
    balance: Balance,
    random: u64,
    look: impl Fn(usize) -> Option<Can>,
) -> Option<(usize, Option<usize>)> {
    let total: u64 = all.iter().map(|c| u64::from(c.weight)).sum();
    let draw = |random: u64| {
        let mut left = random % total.max(1);
        all.iter().position(|c| {
            let weight = u64::from(c.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    };
    let mut random = random;
    let mut best: Option<(usize, Option<usize>)> = None;
    for _ in 0..if total == 0 { 0 } else { 4 } {
        random = random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        let Some(at) = draw(random >> 20) else {
            continue;
        };
        let Some(Can::Yes(key)) = look(at) else {
            continue;
        };
        let load = |at: usize| all[at].state.load(all[at].weight);
        match best {
            _ if balance == Balance::Weighted => return Some((at, key)),
            None => best = Some((at, key)),
            Some((other, _)) if load(at) < load(other) => return Some((at, key)),
            Some(found) => return Some(found),
        }
    }
    best.or_else(|| {
        (0..all.len()).find_map(|at| match look(at) {
            Some(Can::Yes(key)) => Some((at, key)),
            _ => None,
        })
    })
}
