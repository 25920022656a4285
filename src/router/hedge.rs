use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::state::State;
use crate::{meter::Tally, wire::Usage};

/// When a late answer gets a rival: one more target is asked beside the first, the first content
/// wins, and the other attempt is dropped, which closes its connection.
///
/// The rival is another target of the same model where one is free, else one of a fallback. It takes leave
/// of the retry budget and counts as an attempt. Who pays for the loser is
/// [`charge`](Self::charge)'s to say; either way it is listed in [`Attempts`](crate::Attempts).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Hedge {
    fixed: Option<Duration>,
    least: Duration,
    loser: LoserCharge,
}

/// Who pays for what an upstream has done for an attempt that was dropped, because another one of the
/// same request answered first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoserCharge {
    /// The operator: the client is charged for the answer that it gets, and nothing else.
    #[default]
    Nothing,
    /// The client, beside its answer: for what the loser is thought to have used. That is what its
    /// upstream had counted, where it had said so, else the prompt by its estimate and what had come
    /// of its answer, at a token for every four bytes. It is in [`Attempt::used`](crate::Attempt), and
    /// `Cost` adds its price to the sum.
    Estimate,
}

impl Hedge {
    /// After the time that one answer in twenty of the target exceeds; at least 100 ms, and never
    /// for a target that has not answered yet.
    pub fn late() -> Self {
        Self {
            fixed: None,
            least: Duration::from_millis(100),
            loser: LoserCharge::Nothing,
        }
    }

    /// After this time, whatever the target is used to.
    pub fn after(delay: Duration) -> Self {
        Self {
            fixed: Some(delay),
            least: Duration::ZERO,
            loser: LoserCharge::Nothing,
        }
    }

    /// Never sooner than this. Default: 100 ms.
    pub fn at_least(mut self, delay: Duration) -> Self {
        self.least = delay;
        self
    }

    /// Who pays for the loser. Default: not the client.
    ///
    /// What is held for a request covers one answer. Where losers are charged too, have `Cost` hold
    /// for them: [`CostLayer::hold_for_losers`](crate::cost::CostLayer::hold_for_losers).
    pub fn charge(mut self, loser: LoserCharge) -> Self {
        self.loser = loser;
        self
    }

    /// Where an attempt's tally is to be left, if it is to be charged when it loses.
    pub(crate) fn heard(&self) -> Option<Heard> {
        (self.loser == LoserCharge::Estimate).then(Heard::default)
    }

    pub(crate) fn delay(&self, state: &State) -> Option<Duration> {
        let delay = self.fixed.or_else(|| state.slow())?;
        Some(delay.max(self.least))
    }
}

/// What has been heard of an attempt whose head has not gone out yet: left by who reads the beginning
/// of its stream. In the extensions of its request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<OnceLock<Tally>>);

impl Heard {
    pub(crate) fn tell(&self, tally: &Tally) {
        let _ = self.0.set(tally.clone());
    }

    /// What the attempt has used so far, of a prompt of so many tokens.
    pub(crate) fn used(&self, input_tokens: u64) -> Usage {
        let tally = self.0.get();
        let counted = tally.and_then(Tally::usage);
        counted.unwrap_or_else(|| {
            let relayed = tally.map_or(0, Tally::content_bytes).div_ceil(4);
            let mut usage = Usage::new(input_tokens, relayed);
            usage.estimated = true;
            usage
        })
    }
}
