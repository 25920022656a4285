//! What several answers used together.

use http::response::Parts;

use crate::{
    error::Error,
    meter::{Answer, Outcome, Tally},
    wire::{Counting, Usage},
};

/// One answer's account: what its own service has noted, and what its bytes say.
pub(super) struct Account {
    noted: Option<Tally>,
    seen: Tally,
    answer: Answer,
}

impl Account {
    pub(super) fn new(head: &Parts) -> Self {
        let counting = head.extensions.get::<Counting>();
        Self {
            noted: head.extensions.get::<Tally>().cloned(),
            seen: Tally::new(),
            answer: Answer::new(counting.copied().unwrap_or_default()),
        }
    }

    /// Takes an event of a stream; whether it is a chunk.
    ///
    /// # Errors
    /// It says that the answer has failed.
    pub(super) fn event(&mut self, name: &str, text: &str) -> Result<bool, Error> {
        self.answer.event(name.as_bytes(), text, &self.seen)
    }

    /// Takes an answer that came whole.
    ///
    /// # Errors
    /// It says that it has failed.
    pub(super) fn whole(&mut self, text: &str) -> Result<(), Error> {
        self.answer.whole(text, &self.seen)?;
        self.complete();
        Ok(())
    }

    /// Whether there was a choice.
    pub(super) fn has_begun(&self) -> bool {
        self.answer.has_begun()
    }

    /// Whether every choice that was begun has been finished, and there was one.
    pub(super) fn is_finished(&self) -> bool {
        self.answer.is_finished()
    }

    /// All of it has come.
    pub(super) fn complete(&self) {
        self.seen.end(Outcome::Complete);
    }

    /// What its own service noted of it.
    pub(super) fn noted(&self) -> Option<&Tally> {
        self.noted.as_ref()
    }

    /// What it used, as far as anybody has said.
    fn said(&self) -> Option<Usage> {
        let noted = self.noted.as_ref().and_then(Tally::usage);
        noted.or_else(|| self.seen.usage())
    }

    /// What it used: what has not been said is estimated, and so is the output of an answer that
    /// broke off long after its counts were made.
    fn usage(&self, prompt: u64) -> Usage {
        let mut seen = self.seen.seen();
        seen.usage = self.said();
        seen.used_or_estimated(prompt)
    }
}

/// The sum of all, and whether every one of them has said what it used. Where one has not, its
/// prompt is taken for that of another, else for `prompt` tokens, and its output for what has been
/// seen of it, at a token for every four bytes; the sum says then that it is an estimate.
pub(super) fn sum(all: &[Account], prompt: u64) -> (Usage, bool) {
    let said = all.iter().map(Account::said);
    let complete = said.clone().all(|usage| usage.is_some());
    let prompts = said.flatten().map(|usage| usage.input);
    let prompt = prompts.max().unwrap_or(prompt);
    let each = all.iter().map(|one| one.usage(prompt));
    (each.reduce(add).unwrap_or_default(), complete)
}

fn add(one: Usage, other: Usage) -> Usage {
    let mut sum = one;
    for (sum, count) in [
        (&mut sum.input, other.input),
        (&mut sum.cached_input, other.cached_input),
        (&mut sum.cache_write, other.cache_write),
        (&mut sum.cache_write_1h, other.cache_write_1h),
        (&mut sum.audio_input, other.audio_input),
        (&mut sum.image_input, other.image_input),
        (&mut sum.output, other.output),
        (&mut sum.reasoning, other.reasoning),
        (&mut sum.audio_output, other.audio_output),
        (&mut sum.image_output, other.image_output),
        (&mut sum.web_searches, other.web_searches),
    ] {
        *sum = sum.saturating_add(count);
    }
    let further = other.further_calls.saturating_add(1);
    sum.further_calls = sum.further_calls.saturating_add(further);
    // The cost of some is not the cost of all.
    let costs = one.reported_cost.zip(other.reported_cost);
    sum.reported_cost = costs.map(|(one, other)| one.saturating_add(other));
    sum.estimated |= other.estimated;
    sum.clamped |= other.clamped;
    sum
}

/// Notes the sum, and who answered at which tier: one upstream, so what the first says.
pub(super) fn note(all: &[Account], usage: Usage, tally: &Tally) {
    tally.record_usage(usage);
    if tally.model().is_none() {
        let model = |one: &Account| {
            let noted = one.noted.as_ref().and_then(Tally::model);
            noted.or_else(|| one.seen.model())
        };
        if let Some(model) = all.iter().find_map(model) {
            tally.record_model(model);
        }
    }
    if tally.service_tier().is_none() {
        let tier = |one: &Account| {
            let noted = one.noted.as_ref().and_then(Tally::service_tier);
            noted.or_else(|| one.seen.service_tier())
        };
        if let Some(tier) = all.iter().find_map(tier) {
            tally.record_service_tier(tier);
        }
    }
}
