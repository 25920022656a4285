use std::sync::Arc;

use smallvec::SmallVec;

use self::{
    fate::{Asked, Fate},
    find::{Fit, Found, Spot},
};
use super::{
    ask::{Needs, Preferences},
    budget::Budget,
    keys::Keys,
    place::Place,
    plan::Plan,
    policy::{Next, Row},
    rules::Rules,
    state::Millis,
};
use crate::{
    error::{Class, Error, TimeOut},
    ext::Target,
};

mod fate;
mod find;
mod pause;

#[derive(Debug)]
pub(crate) enum Step {
    Try(Place),
    WaitUntil(Millis),
    Stop(Error),
}

/// When it is asked what to do, and what is known beside the course itself.
struct Moment<'a, K> {
    rules: &'a Rules,
    now: Millis,
    random: u64,
    /// A provider's pool, by name.
    keys: K,
}

/// Leave of a retry, which is taken once: when somebody is found to ask, or to wait for. None is needed without a
/// budget.
struct Leave(Option<Arc<Budget>>);

impl Leave {
    #[inline]
    fn is_given(&mut self, now: Millis) -> bool {
        match self.0.take() {
            None => true,
            Some(budget) => budget.retry(now),
        }
    }
}

/// What became of the search for a place.
enum Taken {
    Place(Place),
    /// There is somebody, and no leave to ask.
    Denied,
    Nobody {
        /// One who rests will be free then.
        resting: Option<Millis>,
    },
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
    /// When all attempts must be over; known with the first.
    deadline: Option<Millis>,
}

impl Course {
    #[inline]
    pub(crate) fn new(
        plan: Plan,
        needs: Needs,
        picky: bool,
        affinity: Option<u64>,
        wants: Option<Box<Preferences>>,
    ) -> Self {
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
            deadline: None,
        }
    }

    /// No attempt begins from then on, and no pause ends later.
    pub(crate) fn end_by(&mut self, deadline: Millis) {
        self.deadline = Some(deadline);
    }

    /// Attempts begun so far.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.asked.len()).unwrap_or(u32::MAX)
    }

    /// The target to ask, its name filled in.
    pub(crate) fn target(&self, place: &Place) -> Target {
        let Target {
            provider, model, ..
        } = &place.candidate().target;
        let model = match self.plan.star(place.group) {
            None => Arc::clone(model),
            Some(star) => model.replacen('*', star, 1).into(),
        };
        Target {
            provider: Arc::clone(provider),
            model,
            key: place.key.unwrap_or(0).into(),
        }
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
        let moment = Moment {
            rules,
            now,
            random,
            keys,
        };
        let failed = self.last.as_ref();
        let row = failed.map(|(_, class)| rules.policy.row(*class));
        if row.is_some_and(|row| self.is_spent(rules, row)) {
            return self.stop(None, now);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Step::Stop(Error::timed_out(TimeOut::Total));
        }
        let mut leave = self.leave(row);
        if let Some(until) = row.and_then(|row| self.pause_before_same(row, &moment)) {
            return match leave.is_given(now) {
                true => self.wait(until),
                false => self.stop(None, now),
            };
        }
        match self.take(row, &mut leave, &moment) {
            Taken::Place(place) => Step::Try(place),
            Taken::Denied => self.stop(None, now),
            Taken::Nobody { resting } => self.wait_or_stop(row, resting, &mut leave, &moment),
        }
    }

    /// Whether there is no further attempt, as many as there were or as the last one ended.
    fn is_spent(&self, rules: &Rules, row: Row) -> bool {
        self.attempts() >= rules.attempts || row.next == Next::GiveUp || self.desperate
    }

    /// What a retry needs: it is of all requests for the model that was asked for.
    fn leave(&self, row: Option<Row>) -> Leave {
        let owes = row.is_some_and(|row| row.budgeted && !self.waited);
        Leave(if owes { self.budget() } else { None })
    }

    /// When the target that has failed is to be asked again, where the policy wants it and no other.
    fn pause_before_same<K>(&self, row: Row, moment: &Moment<'_, K>) -> Option<Millis> {
        if row.next != Next::SameTarget || self.waited || !row.passes {
            return None;
        }
        let Moment { now, random, .. } = *moment;
        let until = self.after(now, random, self.said(now));
        self.patience(moment.rules, now, Some(until))
    }

    /// Takes a place at whoever is next. What was free a moment ago may be taken by another thread: then it is
    /// looked for anew.
    #[inline]
    fn take<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(
        &mut self,
        row: Option<Row>,
        leave: &mut Leave,
        moment: &Moment<'_, K>,
    ) -> Taken {
        let mut elsewhere = row.is_some() && self.doubts_request(moment.rules);
        let mut next = match row {
            Some(_) if elsewhere => Some(Next::OtherTarget),
            row => row.map(|row| row.next),
        };
        for turn in 0..4 {
            let random = moment.random.wrapping_add(turn);
            match self.find(next, random, moment) {
                Found::Spot(spot) => {
                    if !leave.is_given(moment.now) {
                        return Taken::Denied;
                    }
                    if let Some(place) = self.enter(spot, moment) {
                        return Taken::Place(place);
                    }
                }
                _ if elsewhere => {
                    elsewhere = false;
                    next = row.map(|row| row.next);
                }
                Found::Resting(until) => {
                    return Taken::Nobody {
                        resting: Some(until),
                    };
                }
                Found::Nobody => break,
            }
        }
        Taken::Nobody { resting: None }
    }

    /// A place where it was found, unless another thread was faster: an attempt begins.
    #[inline]
    fn enter<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(
        &mut self,
        spot: Spot,
        moment: &Moment<'_, K>,
    ) -> Option<Place> {
        let Spot {
            group,
            at,
            key,
            fit,
        } = spot;
        let model = &self.plan.groups[group];
        let pool = model.candidates[at].pool(moment.rules, &moment.keys)?;
        let place = Place::take(group, model, at, key, pool, moment.now)?;
        self.desperate |= fit == Fit::Unwell;
        self.asked.push(Asked {
            group,
            at,
            key,
            fate: Fate::Running,
            until: None,
            forbidden: false,
        });
        Some(place)
    }

    /// Of the model that was asked for.
    fn budget(&self) -> Option<Arc<Budget>> {
        let asked = self.plan.groups.first();
        asked.map(|model| Arc::clone(&model.budget))
    }

    /// Whether the last attempt that there is should not be spent on another key of a target that may have
    /// meant the request: nobody is held to blame for that, so that it would be the same the next time.
    fn doubts_request(&self, rules: &Rules) -> bool {
        let last = self.last.as_ref().map(|(_, class)| *class);
        last == Some(Class::Forbidden) && self.attempts() + 1 >= rules.attempts
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
        let moment = Moment {
            rules,
            now,
            random,
            keys,
        };
        let found = self.find(Some(Next::OtherTarget), random, &moment);
        let Found::Spot(spot) = found else {
            return None;
        };
        if spot.fit != Fit::Well || !Leave(self.budget()).is_given(now) {
            return None;
        }
        self.enter(spot, &moment)
    }
}
