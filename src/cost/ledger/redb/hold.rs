//! A hold of the ledger.

use std::{fmt, sync::Arc};

use super::{book::Open, ledger::Handle};
use crate::cost::{Amount, HoldId};

/// An open hold of a [`RedbLedger`](super::RedbLedger). Dropping it releases it.
pub struct RedbHold {
    pub(super) open: Option<Open>,
    /// Keeps the thread that writes: dropped after `open`.
    pub(super) _ledger: Arc<Handle>,
}

impl RedbHold {
    /// Its name in the entries.
    #[must_use]
    pub fn id(&self) -> HoldId {
        self.open.as_ref().map_or(HoldId::new(0), |open| open.id)
    }

    /// What it holds; nothing once it was settled by its id.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.open.as_ref().map(Open::amount).unwrap_or_default()
    }
}

impl fmt::Debug for RedbHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbHold")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
