use std::sync::Arc;

use super::{
    breaker::{Breaking, Change},
    keys::{Keys, Nth},
    plan::{Candidate, Model},
    state::{Adaptive, Millis},
};

/// A place at a target and on a key, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// Which model of the plan.
    pub(crate) group: usize,
    /// Which of its candidates.
    pub(crate) at: usize,
    pub(crate) key: Option<Nth>,
    /// When it was taken.
    pub(crate) sent: Millis,
    model: Arc<Model>,
    keys: Arc<Keys>,
    probe: bool,
    inside: bool,
    /// It is asked, and has not answered.
    waits: bool,
}

impl Place {
    /// Takes a place; `None` when others were faster.
    pub(crate) fn take(
        group: usize,
        model: &Arc<Model>,
        at: usize,
        key: Option<Nth>,
        keys: &Arc<Keys>,
        now: Millis,
    ) -> Option<Self> {
        let candidate = &model.candidates[at];
        if !candidate.state.enter(candidate.limit) {
            return None;
        }
        if !keys.enter(key) {
            candidate.state.leave();
            return None;
        }
        Some(Self {
            group,
            at,
            key,
            sent: now,
            probe: candidate.state.probe(now),
            model: Arc::clone(model),
            keys: Arc::clone(keys),
            inside: true,
            waits: false,
        })
    }

    pub(crate) fn candidate(&self) -> &Candidate {
        &self.model.candidates[self.at]
    }

    pub(crate) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn record(&mut self, good: bool, now: Millis, config: &Breaking) -> Option<Change> {
        self.probe = false;
        self.candidate().state.record(good, self.sent, now, config)
    }

    /// Whether it is the one request that an open breaker lets through.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe
    }

    /// It is asked, as soon as it was taken.
    pub(crate) fn wait(&mut self) {
        let state = &self.candidate().state;
        state.silence.begin(self.sent);
        state.sends(self.key, self.sent);
        self.waits = true;
    }

    /// It has answered, well or not.
    pub(crate) fn heard(&mut self, now: Millis) {
        if std::mem::take(&mut self.waits) {
            self.candidate().state.silence.heard(now);
        }
    }

    /// It is no longer waited for, and has not answered.
    pub(crate) fn left(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.candidate().state.silence.left();
        }
    }

    /// A head after this long.
    pub(crate) fn took(&self, micros: u64, now: Millis) {
        self.candidate().state.took(micros, now);
        self.keys.revive(self.key);
        self.candidate().state.revive(self.key);
        self.candidate().state.serves(self.key, self.sent);
        self.model.note(self.at);
    }

    /// No head after this long, and nobody waits for it any more.
    pub(crate) fn was_waited_for(&self, micros: u64, now: Millis) {
        self.candidate().state.was_waited_for(micros, now);
        self.model.note(self.at);
    }

    /// Moves the adaptive concurrency.
    pub(crate) fn adapt(&self, adaptive: &Adaptive, good: bool, now: Millis) {
        let state = &self.candidate().state;
        if good {
            state.grow(adaptive, state.in_flight() + u32::from(!self.inside));
        } else {
            state.shrink(adaptive, self.sent, now);
        }
    }

    /// A failure of the target.
    pub(crate) fn failed(&self, now: Millis) {
        self.candidate().state.failed(now);
        self.model.note(self.at);
    }

    /// Makes room for another request; the verdict may still be to come.
    pub(crate) fn vacate(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.give_back();
        }
    }

    fn give_back(&self) {
        self.candidate().state.leave();
        self.keys.leave(self.key);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.inside {
            self.give_back();
        }
        if self.waits || self.probe {
            self.left();
            if self.probe {
                self.candidate().state.give_back_probe(self.sent);
            }
        }
    }
}
