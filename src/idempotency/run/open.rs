//! How much of answers under way is kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Bytes, BytesMut};

/// How many bytes are kept of answers that are under way: of one caller's, within those of all.
#[derive(Debug)]
pub(in crate::idempotency) struct Open {
    bytes: AtomicUsize,
    most: usize,
    within: Option<Arc<Self>>,
}

impl Open {
    pub(in crate::idempotency) const fn new(most: usize, within: Option<Arc<Self>>) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            most,
            within,
        }
    }

    /// Whether there is room for so many more; then they are counted.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.most
            && self.within.as_ref().is_none_or(|all| all.take(bytes));
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(all) = &self.within {
            all.give(bytes);
        }
    }
}

/// What is kept of an answer under way, counted while it is.
pub(super) struct Kept {
    pub(super) bytes: BytesMut,
    pub(super) open: Arc<Open>,
}

impl Kept {
    pub(super) fn into_bytes(mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        self.open.give(bytes.len());
        bytes.freeze()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.open.give(self.bytes.len());
    }
}
