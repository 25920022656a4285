//! The section `[limits]`.

use tower_completions::limit::redis::Redis;

use crate::read::{Mistakes, Section, one_of, place, small};

/// Where limits are counted, and how when that is Redis.
#[derive(Debug)]
pub struct Counting {
    pub store: String,
    /// Each node takes slices and decides alone.
    pub leased: bool,
    pub outage: Option<String>,
    pub nodes: u32,
    /// How long a decision waits for Redis, in milliseconds.
    pub budget_ms: Option<u64>,
}

impl Counting {
    pub(super) fn read(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut section = root.section("limits", mistakes);
        let store = place(&mut section, &["redis://"], mistakes);
        if store.len() > "redis://".len() && store.starts_with("redis://") {
            if let Err(error) = Redis::open(&store) {
                mistakes.add(&section.key("store"), error);
            }
        }
        let mode = one_of(&mut section, "mode", &["exact", "leased"], mistakes);
        let outage = one_of(
            &mut section,
            "outage",
            &["local", "closed", "open"],
            mistakes,
        );
        let nodes = small(section.integer("nodes", 1..=10_000, mistakes)).unwrap_or(1);
        let budget_ms = section.integer("budget_ms", 1..=60_000, mistakes);
        section.finish(mistakes);
        Self {
            store,
            budget_ms,
            leased: mode.as_deref() == Some("leased"),
            outage,
            nodes,
        }
    }
}
