//! What all limits of a request say together.

use std::{sync::Arc, time::Duration};

use super::{Refusal, Report, Retry, Unit};

/// The denial that must be waited for longest, if there is one.
#[derive(Default)]
pub(super) struct Verdict(Option<(Arc<str>, Option<Unit>, Retry)>);

impl Verdict {
    pub(super) fn deny(&mut self, rule: &Arc<str>, unit: Option<Unit>, retry: Retry) {
        let rank = |retry: &Retry| match retry {
            Retry::Release => (0, Duration::ZERO),
            Retry::After(wait) => (1, *wait),
            Retry::Never => (2, Duration::ZERO),
        };
        let worse = |kept: &(_, _, Retry)| rank(&retry) > rank(&kept.2);
        if self.0.as_ref().is_none_or(worse) {
            self.0 = Some((Arc::clone(rule), unit, retry));
        }
    }

    /// Whether nobody has denied.
    pub(super) fn is_admitted(&self) -> bool {
        self.0.is_none()
    }

    /// The refusal, after a denial, with how everything stands.
    pub(super) fn refusal(self, report: Report) -> Refusal {
        let (rule, unit, retry) = self.0.expect("something was denied");
        Refusal::new(rule, unit, retry, report)
    }
}
