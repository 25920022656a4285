//! What became of the attempts, and whom it is held against.

use super::{
    super::{
        choose::mix,
        fault,
        keys::Nth,
        place::Place,
        policy::{Blame, Next},
        rules::Rules,
        state::{Millis, millis},
    },
    Course,
};
use crate::error::{Class, Error};

/// The longest that a key or target is believed to want to rest: ten minutes.
const LONGEST_REST: Millis = 600_000;

/// One attempt of this request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) group: usize,
    pub(super) at: usize,
    pub(super) key: Option<Nth>,
    pub(super) fate: Fate,
    /// When it may be asked again, as it said when it failed.
    pub(super) until: Option<Millis>,
    /// It was refused with a 403 that does not say whether the key or the request is meant.
    pub(super) forbidden: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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

impl Course {
    /// Notes that an attempt failed.
    pub(crate) fn failed(&mut self, rules: &Rules, place: &Place, error: Error, now: Millis) {
        self.waited = false;
        let class = fault::class(&error);
        let row = rules.policy.row(class);
        let state = &place.candidate().state;
        let after = error.retry_after().map(millis);
        match (row.blame, class) {
            (Blame::Key, Class::RateLimit) => match after {
                Some(after) => state.rest(place.key, now + after.min(LONGEST_REST)),
                None => {
                    // Another number for each target and key that is refused at the same time.
                    let which = [place.group, place.at, place.key.unwrap_or(0).into()];
                    let random = which
                        .iter()
                        .fold(now, |random, one| mix(random ^ *one as u64));
                    state.rest_unsaid(place.key, place.sent, now, random >> 32);
                }
            },
            (Blame::Key, Class::ModelQuota) => {
                state.spend(place.key, now.saturating_add(rules.dead_for));
            }
            (Blame::Key, _) => {
                let until = now.saturating_add(rules.dead_for);
                place.keys().bury(place.key, until);
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
            place.adapt(adaptive, false, now);
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
            asked.until = after.map(|after| now.saturating_add(after));
            asked.forbidden = class == Class::Forbidden;
        }
        self.last = Some((error, class));
    }

    /// Notes that an attempt got through: what other keys were forbidden there was meant of them, as it seems.
    pub(crate) fn served(&self, rules: &Rules, place: &Place, now: Millis) {
        for asked in &self.asked {
            if asked.forbidden && (asked.group, asked.at) == (place.group, place.at) {
                let until = now.saturating_add(rules.dead_for);
                place.keys().doubt(asked.key, until);
            }
        }
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
