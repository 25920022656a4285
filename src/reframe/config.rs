use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    dialect::{CostMember, Dialect, IdFormat},
    wire::Counting,
};

/// What one answer is to look like.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) id: IdFormat,
    /// The model asked for, as a JSON string.
    pub(super) asked: Arc<str>,
    /// The model to name, as a JSON string; `None`: the one the upstream names.
    pub(super) model: Option<Arc<str>>,
    /// Whether the client wants usage on its stream.
    pub(super) include_usage: bool,
    /// Whether the finish waits for the usage, for a layer outside that adds to it.
    pub(super) hold_finish: bool,
    /// Whether a `cost` at the top level is ours: an upstream's own does not go out.
    pub(super) cost_is_ours: bool,
    /// Whether a broken stream gets `[DONE]` all the same.
    pub(super) done_after_error: bool,
    pub(super) counting: Counting,
    /// Tokens of the request, for an estimate when nobody counts.
    pub(super) input_estimate: u64,
    /// Unix seconds for an answer that has none of its own; `None`: when that is seen.
    pub(super) now: Option<u64>,
}

impl Config {
    /// For an answer of which nothing is known but itself.
    pub(super) fn alone(dialect: &Dialect) -> Self {
        Self::new(dialect, "\"\"".into())
    }

    /// For an answer to a request for a model, as a JSON string.
    pub(super) fn new(dialect: &Dialect, asked: Arc<str>) -> Self {
        Self {
            id: dialect.id,
            asked,
            model: None,
            include_usage: false,
            hold_finish: false,
            cost_is_ours: dialect.cost == CostMember::TopLevel,
            done_after_error: false,
            counting: Counting::Plain,
            input_estimate: 0,
            now: None,
        }
    }

    /// When an answer was made that does not say it.
    pub(super) fn created(&self) -> u64 {
        self.now.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| now.as_secs())
        })
    }
}
