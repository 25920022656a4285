//! Whether Redis is asked at all, and what has gone wrong so far.

use super::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// After so many failures in a row nothing is asked.
const FAILURES: u32 = 3;

/// Why Redis did not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It could not be reached.
    Gone,
    /// It took longer than the budget.
    Slow,
    /// It answered an error, or what no script of ours answers.
    Nonsense,
    /// It has failed before and was not asked.
    Suspended,
    /// Too much waits to be told to it.
    Full,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Slow => "slow",
            Self::Nonsense => "nonsense",
            Self::Suspended => "suspended",
            Self::Full => "full",
        }
    }
}

/// What became of the decisions asked of a [`Redis`](super::Redis) since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Decisions that Redis made.
    pub decided: u64,
    /// Decisions for which it could not be reached.
    pub gone: u64,
    /// Decisions for which it took longer than the budget.
    pub slow: u64,
    /// Decisions to which it answered an error, or something that is no answer.
    pub nonsense: u64,
    /// It was not asked, as it had failed just before.
    pub suspended: u64,
    /// It was not asked, as too much waited to be told to it.
    pub full: u64,
    /// Requests that were admitted or refused by the local share.
    pub by_local_share: u64,
    /// Requests that were refused because the store fails closed.
    pub closed: u64,
    /// Requests that were admitted because the store fails open.
    pub open: u64,
    /// Taken after the budget was over, and given back.
    pub late: u64,
    /// Changes of limits that may or may not have been heard.
    pub unanswered: u64,
}

/// Counts, each for itself, and one thing that decides: the failures in a row. Whether Redis is asked
/// is told by that number alone, so that nothing can be set of an outage that is over.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: AtomicU32,
    /// An outage has been logged whose end has not.
    told: AtomicBool,
    pub(super) decided: AtomicU64,
    gone: AtomicU64,
    slow: AtomicU64,
    nonsense: AtomicU64,
    not_asked: AtomicU64,
    full: AtomicU64,
    pub(super) by_local_share: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) unanswered: AtomicU64,
}

impl Health {
    pub(super) fn is_suspended(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    pub(super) fn well(&self) {
        // Written only when it changes: every decision comes by here.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::Relaxed) {
            #[cfg(feature = "tracing")]
            tracing::info!("limits: Redis decides again");
        }
    }

    /// Counts a failure, and logs the first of an outage.
    pub(super) fn ill(&self, fault: Fault, outage: super::Outage) {
        let count = match fault {
            Fault::Gone => &self.gone,
            Fault::Slow => &self.slow,
            Fault::Nonsense => &self.nonsense,
            Fault::Suspended => &self.not_asked,
            Fault::Full => &self.full,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if matches!(fault, Fault::Gone | Fault::Slow | Fault::Nonsense) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("tower_completions.limits.store_failures", "cause" => fault.name())
            .increment(1);
        if !self.told.swap(true, Ordering::Relaxed) {
            #[cfg(feature = "tracing")]
            tracing::warn!(
                cause = fault.name(),
                ?outage,
                "limits: Redis does not decide"
            );
        }
        let _ = (fault.name(), outage);
    }

    pub(super) fn stats(&self) -> RedisStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RedisStats {
            decided: of(&self.decided),
            gone: of(&self.gone),
            slow: of(&self.slow),
            nonsense: of(&self.nonsense),
            suspended: of(&self.not_asked),
            full: of(&self.full),
            by_local_share: of(&self.by_local_share),
            closed: of(&self.closed),
            open: of(&self.open),
            late: of(&self.late),
            unanswered: of(&self.unanswered),
        }
    }
}
