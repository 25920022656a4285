//! The end of an answer of which all that matters has come.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::meter::{Outcome, Tally};

/// Whether nothing but the end of an upstream's body is left to be read. The client leaves it in its response
/// where the end may come apart from what is before it, and looks at it when the body is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest(Arc<AtomicBool>);

impl Rest {
    #[cfg(feature = "client")]
    pub(super) fn is_all(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so for an answer that is whole by its tally.
#[derive(Debug)]
pub(super) struct Judge {
    rest: Rest,
    tally: Tally,
}

impl Judge {
    pub(super) fn new(rest: Rest, tally: &Tally) -> Self {
        Self {
            rest,
            tally: tally.clone(),
        }
    }

    pub(super) fn judge(&self) {
        if matches!(self.tally.outcome(), Some(Outcome::Complete)) {
            self.rest.0.store(true, Ordering::Relaxed);
        }
    }
}
