use std::fmt;

use http::Extensions;

use super::{Cached, Known, Quote};
use crate::{
    ext::{self, Sending, Served},
    limit::{Carry, Hold, Unit, Weights, guard::Refused},
    meter::{Ending, Settle, Tally},
    observe::Gate,
    wire::Usage,
};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Asked,
    Answered,
    /// Out of a cache, an estimate, or left while it waited: nobody was asked.
    Unasked,
    Refused,
}

/// What `TokenLimit` holds while a request runs: its reservation.
pub struct TokenGuard<H: Hold> {
    // In a box: the guard is moved by every layer around, from the call to the answer's body.
    hold: Option<Box<H>>,
    stage: Stage,
    input: u64,
    /// How many answers are asked for.
    answers: u32,
    cached: Cached,
    quote: Option<Quote>,
    /// Whether somebody upstream may have got it; none where nothing is held.
    sending: Option<Sending>,
    /// Who has answered, where a quote wants to know.
    served: Option<Box<Served>>,
}

impl<H: Hold> TokenGuard<H> {
    pub(super) fn new(
        input: u64,
        answers: u32,
        cached: Cached,
        quote: Option<Quote>,
        sending: Option<Sending>,
    ) -> Self {
        Self {
            hold: None,
            stage: Stage::Waiting,
            input,
            answers,
            cached,
            quote,
            sending,
            served: None,
        }
    }

    /// What was used in truth, as far as it is known; `None` keeps the reservation.
    fn used(&self, ending: &Ending, tally: Option<&Tally>) -> Option<Usage> {
        if self.stage == Stage::Unasked {
            return Some(Usage::new(0, 0));
        }
        if let Some(usage) = tally.and_then(|it| it.used(self.input)) {
            return Some(usage);
        }
        match (self.stage, ending) {
            (Stage::Waiting | Stage::Unasked | Stage::Refused, _)
            | (Stage::Asked, Ending::Failed(_)) => Some(Usage::new(0, 0)),
            // The provider has the prompt, once for each call; nobody knows what it made of it.
            (Stage::Asked, _) => {
                let sending = self.sending.as_ref();
                let calls = sending.map_or(1, |sending| sending.calls(self.answers));
                Some(self.guess(0).of_calls(calls))
            }
            (Stage::Answered, Ending::Complete)
                if tally.is_none_or(|it| it.content_bytes() == 0) =>
            {
                None
            }
            (Stage::Answered, _) => {
                let output = tally?.content_bytes().div_ceil(4);
                Some(self.guess(output))
            }
        }
    }

    /// What of a usage counts.
    fn tokens(&self, usage: &Usage) -> Weights {
        let free = match self.cached {
            Cached::Counts => 0,
            Cached::Free => usage.cached_input,
        };
        let input = usage.input.saturating_sub(free);
        Weights::new()
            .with(Unit::Tokens, input.saturating_add(usage.output))
            .with(Unit::InputTokens, input)
            .with(Unit::OutputTokens, usage.output)
    }

    /// So much output for the prompt, as nobody has counted it: an empty answer is told from one that is
    /// not known by it.
    fn guess(&self, output: u64) -> Usage {
        let mut usage = Usage::new(self.input, output);
        usage.estimated = true;
        usage
    }

    /// Whether anybody pays for it: nobody does for what was refused, or failed before its content,
    /// whatever was counted until then.
    fn costs(&self, ending: &Ending, tally: Option<&Tally>) -> bool {
        match (self.stage, ending) {
            (Stage::Waiting | Stage::Unasked | Stage::Refused, _)
            | (Stage::Asked, Ending::Failed(_)) => false,
            (Stage::Answered, Ending::Failed(_)) => tally.is_none_or(|it| !it.seen().is_empty()),
            (Stage::Asked | Stage::Answered, _) => true,
        }
    }
}

impl<H: Hold> Carry<H> for TokenGuard<H> {
    const GATE: Gate = Gate::Tokens;
    const SCANS: bool = true;

    fn carry(&mut self, hold: H) {
        self.hold = Some(Box::new(hold));
    }

    fn begin(&mut self) {
        self.stage = Stage::Asked;
    }

    fn answered(&mut self, success: bool, extensions: &Extensions) {
        let refused = extensions.get::<Refused>().is_some();
        let unasked = extensions.get::<ext::Cached>().is_some()
            || extensions.get::<ext::Estimate>().is_some();
        if self.quote.is_some() {
            self.served = extensions.get::<Served>().cloned().map(Box::new);
        }
        self.stage = if unasked {
            Stage::Unasked
        } else if success && !refused {
            Stage::Answered
        } else {
            Stage::Refused
        };
    }

    fn settles_to(&self, tally: Option<&Tally>) -> Option<Weights> {
        if !matches!(self.stage, Stage::Refused | Stage::Unasked) {
            return None;
        }
        let usage = self.used(&Ending::Complete, tally)?;
        // Nobody pays for a refusal.
        Some(self.tokens(&usage).with(Unit::Money, 0))
    }
}

impl<H: Hold> Settle for TokenGuard<H> {
    fn settle(mut self, ending: Ending, tally: Option<&Tally>) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        if self.stage == Stage::Waiting {
            return;
        }
        if self.stage == Stage::Asked && self.sending.as_ref().is_some_and(Sending::is_waiting) {
            self.stage = Stage::Unasked;
        }
        let mut actual = Weights::new();
        if let Some(usage) = self.used(&ending, tally) {
            actual = self.tokens(&usage);
            if let Some(quote) = &self.quote {
                let served = self.served.as_deref();
                let cost = if self.costs(&ending, tally) {
                    let known = Known {
                        served,
                        tally,
                        ..Known::default()
                    };
                    quote(&usage, known)
                } else {
                    0
                };
                actual = actual.with(Unit::Money, cost);
            }
        }
        hold.settle(&actual);
    }
}

impl<H: Hold> fmt::Debug for TokenGuard<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGuard")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
