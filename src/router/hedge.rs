use std::time::Duration;

use super::state::State;

/// When a late answer gets a rival: one more target is asked beside the first, the first content
/// wins, and the other attempt is dropped, which closes its connection.
///
/// The rival takes leave of the retry budget and counts as an attempt. What the loser has done until
/// it was dropped is charged to nobody: the client is charged for the answer that it gets, and the
/// loser is listed in [`Attempts`](crate::Attempts) for those who keep account of it.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Hedge {
    fixed: Option<Duration>,
    least: Duration,
}

impl Hedge {
    /// After the time that one answer in twenty of the target exceeds; at least 100 ms, and never
    /// for a target that has not answered yet.
    pub fn late() -> Self {
        Self {
            fixed: None,
            least: Duration::from_millis(100),
        }
    }

    /// After this time, whatever the target is used to.
    pub fn after(delay: Duration) -> Self {
        Self {
            fixed: Some(delay),
            least: Duration::ZERO,
        }
    }

    /// Never sooner than this. Default: 100 ms.
    pub fn at_least(mut self, delay: Duration) -> Self {
        self.least = delay;
        self
    }

    pub(crate) fn delay(&self, state: &State) -> Option<Duration> {
        let delay = self.fixed.or_else(|| state.slow())?;
        Some(delay.max(self.least))
    }
}
