//! How long a target has kept all who wait for it waiting.

use std::sync::atomic::{AtomicU64, Ordering};

use super::state::Millis;

/// Requests that wait for a target, and since when it has said nothing: in one number, so that both
/// are always of one moment.
#[derive(Debug, Default)]
pub(crate) struct Silence(AtomicU64);

/// The lower bits are the time, some thirty years; above it stands how many wait.
const ONE: u64 = 1 << 40;

impl Silence {
    /// One more waits.
    pub(crate) fn begin(&self, now: Millis) {
        self.change(|was| match was / ONE {
            0 => ONE | (now % ONE),
            _ => was.saturating_add(ONE),
        });
    }

    /// It has answered one, well or not.
    pub(crate) fn heard(&self, now: Millis) {
        self.change(|was| (was.saturating_sub(ONE) & !(ONE - 1)) | (now % ONE));
    }

    /// One waits no longer, and was told nothing.
    pub(crate) fn left(&self) {
        self.change(|was| was.saturating_sub(ONE));
    }

    /// For how long somebody has waited and nobody was answered. 0 when nobody waits.
    #[inline]
    pub(crate) fn length(&self, now: Millis) -> Millis {
        match self.0.load(Ordering::Relaxed) {
            nobody if nobody < ONE => 0,
            some => now.saturating_sub(some % ONE),
        }
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let change = |was| Some(change(was));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_silent_since_the_first_waits_or_another_was_answered() {
        let silence = Silence::default();
        assert_eq!(silence.length(9), 0);
        silence.begin(10);
        silence.begin(20);
        assert_eq!(silence.length(50), 40);
        silence.heard(60);
        assert_eq!([silence.length(60), silence.length(75)], [0, 15]);
        silence.begin(80);
        silence.left();
        assert_eq!(silence.length(90), 30);
        silence.left();
        assert_eq!(silence.length(100), 0);
        // What was before is forgotten.
        silence.begin(200);
        assert_eq!(silence.length(205), 5);
        silence.heard(210);
        assert_eq!(silence.length(300), 0);
    }
}
