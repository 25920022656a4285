//! What an operator is told once: a layer that has nothing to do where it stands.

use std::sync::atomic::{AtomicBool, Ordering};

/// Something to be told once by whoever shares this.
#[derive(Debug, Default)]
pub(crate) struct Hint(AtomicBool);

impl Hint {
    /// Logs it, the first time that it is called.
    #[cold]
    pub(crate) fn give(&self, text: &'static str) {
        if self.0.load(Ordering::Relaxed) || self.0.swap(true, Ordering::Relaxed) {
            return;
        }
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "tower_completions", "{text}");
        let _ = text;
    }
}

/// Configured anew, it is told anew.
impl Clone for Hint {
    fn clone(&self) -> Self {
        Self::default()
    }
}
