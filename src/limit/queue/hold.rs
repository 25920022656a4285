use std::{fmt, sync::Arc};

use super::{line::Places, shared::Shared};
use crate::limit::{Hold, Weights};

/// What one request has taken from the store behind a [`Queue`](super::Queue). Its end tells those that wait.
pub struct QueueHold<H: Hold> {
    hold: Option<H>,
    places: Places,
    shared: Arc<Shared>,
}

impl<H: Hold> QueueHold<H> {
    pub(super) fn new(hold: H, places: Places, shared: Arc<Shared>) -> Self {
        Self {
            hold: Some(hold),
            places,
            shared,
        }
    }
}

impl<H: Hold> Hold for QueueHold<H> {
    fn settle(mut self, actual: &Weights) {
        if let Some(hold) = self.hold.take() {
            hold.settle(actual);
        }
    }
}

impl<H: Hold> Drop for QueueHold<H> {
    fn drop(&mut self) {
        drop(self.hold.take());
        self.shared.freed(&self.places);
    }
}

impl<H: Hold> fmt::Debug for QueueHold<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueHold")
    }
}
