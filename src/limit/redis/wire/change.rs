//! What is told when requests have ended.

use super::call::Call;

/// What is to be told at the end of requests.
#[derive(Clone, Debug, Default)]
pub(in crate::limit::redis) struct Changes {
    pub(super) limits: Vec<Change>,
    /// Freeing a slot twice frees it once.
    pub(super) slots: Vec<Change>,
}

impl Changes {
    pub(in crate::limit::redis) fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.slots.is_empty()
    }

    pub(in crate::limit::redis) fn append(&mut self, mut other: Self) {
        self.limits.append(&mut other.limits);
        self.slots.append(&mut other.slots);
    }

    /// The key of each change.
    pub(in crate::limit::redis) fn keys(&self) -> impl Iterator<Item = &String> {
        self.limits.iter().chain(&self.slots).map(|it| &it.key)
    }

    /// Takes out what must not be said twice.
    pub(in crate::limit::redis) fn take_limits(&mut self) -> Self {
        Self {
            limits: std::mem::take(&mut self.limits),
            slots: Vec::new(),
        }
    }

    pub(in crate::limit::redis) fn call(&self) -> Call {
        let mut call = Call::default();
        call.arg("settle");
        call.arg(self.limits.len() + self.slots.len());
        for change in self.limits.iter().chain(&self.slots) {
            let at = call.keys.iter().position(|key| *key == change.key);
            let at = at.unwrap_or_else(|| {
                call.keys.push(change.key.clone());
                call.keys.len() - 1
            });
            let (kind, rest) = change.args.split_first().expect("a kind");
            call.arg(kind);
            call.arg(at + 1);
            call.args.extend_from_slice(rest);
        }
        call
    }
}

/// One change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: String,
    /// Its kind, then the rest.
    pub(super) args: Vec<String>,
}
