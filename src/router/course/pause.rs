//! What is done where nobody can be asked now: waiting, or the end.

use std::{sync::Arc, time::Duration};

use super::{
    Course, Leave, Moment, Step,
    fate::{Asked, Fate},
};
use crate::{
    error::{Class, Error, Kind},
    router::{
        keys::Keys,
        policy::Row,
        rules::Rules,
        state::{Millis, millis},
    },
};

impl Course {
    /// Nobody can be asked now: waits for the first of those who may be soon, if it is worth it.
    pub(super) fn wait_or_stop<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(
        &mut self,
        row: Option<Row>,
        resting: Option<Millis>,
        leave: &mut Leave,
        moment: &Moment<'_, K>,
    ) -> Step {
        let Moment { now, random, .. } = *moment;
        let again = match row {
            Some(row) if row.passes => self.again(now, random),
            _ => None,
        };
        let soonest = again.into_iter().chain(resting).min();
        match self.patience(moment.rules, now, soonest) {
            Some(_) if !leave.is_given(now) => self.stop(None, now),
            Some(until) => self.wait(until),
            None if self.last.is_none() && resting.is_none() && !self.is_known(moment) => {
                Step::Stop(nobody())
            }
            None => self.stop(resting, now),
        }
    }

    /// Whether the router has the provider of any target.
    #[cold]
    #[inline(never)]
    fn is_known<'k, K: Fn(&str) -> Option<&'k Arc<Keys>>>(&self, moment: &Moment<'_, K>) -> bool {
        let mut all = self.plan.groups.iter().flat_map(|model| &model.candidates);
        all.any(|candidate| candidate.pool(moment.rules, &moment.keys).is_some())
    }

    /// When the first of the targets that failed in a way that passes may be asked again.
    fn again(&self, now: Millis, random: u64) -> Option<Millis> {
        let passes = |asked: &&Asked| matches!(asked.fate, Fate::Failed { passes: true, .. });
        let all = self.asked.iter().filter(passes);
        all.map(|asked| self.after(now, random, asked.until)).min()
    }

    /// When it said, or after a pause that doubles, half of it at random.
    pub(super) fn after(&self, now: Millis, random: u64, said: Option<Millis>) -> Millis {
        let doubled = 100_u64 << self.asked.len().min(6);
        said.unwrap_or_else(|| now.saturating_add(doubled / 2 + random % (doubled / 2)))
    }

    /// When the last one that failed said that it may be asked again.
    pub(super) fn said(&self, now: Millis) -> Option<Millis> {
        let said = self.last.as_ref()?.0.retry_after()?;
        Some(now.saturating_add(millis(said)))
    }

    /// Whether to wait until then: once in a row, not for too long, and for an attempt that may still
    /// begin.
    pub(super) fn patience(
        &self,
        rules: &Rules,
        now: Millis,
        until: Option<Millis>,
    ) -> Option<Millis> {
        until.filter(|until| {
            until.saturating_sub(now) <= rules.longest_wait
                && !self.waited
                && rules.can_wait
                && self.deadline.is_none_or(|deadline| *until < deadline)
        })
    }

    pub(super) fn wait(&mut self, until: Millis) -> Step {
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

    pub(super) fn stop(&mut self, resting: Option<Millis>, now: Millis) -> Step {
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
}

/// No upstream will ever be free: the operator's mistake, not a lack of room.
fn nobody() -> Error {
    Error::new(Kind::Internal, "The model has no upstream.")
}
