//! Those that wait for the call that is on its way: one call at a time, and nobody is forgotten. Pure.

/// Who is to be told when the call is over.
#[derive(Debug)]
pub(super) enum Asking<W> {
    /// No call is on its way.
    Idle,
    /// One is, and these wait for it.
    On(Vec<W>),
}

impl<W> Asking<W> {
    /// Waits for the call, if somebody is to be told; whether there was none, so that now it must be
    /// made.
    pub(super) fn join(&mut self, waiter: Option<W>) -> bool {
        match self {
            Self::On(waiting) => {
                waiting.extend(waiter);
                false
            }
            Self::Idle => {
                *self = Self::On(waiter.into_iter().collect());
                true
            }
        }
    }

    /// Whether a call is on its way.
    pub(super) const fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// The call is over: these are to be told.
    pub(super) fn over(&mut self) -> Vec<W> {
        match std::mem::replace(self, Self::Idle) {
            Self::On(waiting) => waiting,
            Self::Idle => Vec::new(),
        }
    }
}
