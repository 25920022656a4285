//! What all limits of a request say together.

use std::{sync::Arc, time::Duration};

use super::{Refusal, Report, Retry, Unit};

/// The denial that must be waited for longest, and how everything stands.
#[derive(Default)]
pub(super) struct Verdict {
    denied: Option<(Arc<str>, Option<Unit>, Retry)>,
    pub(super) report: Report,
}

impl Verdict {
    pub(super) fn deny(&mut self, rule: &Arc<str>, unit: Option<Unit>, retry: Retry) {
        let rank = |retry: &Retry| match retry {
            Retry::Release => (0, Duration::ZERO),
            Retry::After(wait) => (1, *wait),
            Retry::Never => (2, Duration::ZERO),
        };
        let worse = |kept: &(_, _, Retry)| rank(&retry) > rank(&kept.2);
        if self.denied.as_ref().is_none_or(worse) {
            self.denied = Some((Arc::clone(rule), unit, retry));
        }
    }

    /// Whether nobody has denied.
    pub(super) fn is_admitted(&self) -> bool {
        self.denied.is_none()
    }

    /// The refusal, after a denial.
    pub(super) fn refusal(self) -> Refusal {
        let (rule, unit, retry) = self.denied.expect("something was denied");
        Refusal::new(rule, unit, retry, self.report)
    }
}
