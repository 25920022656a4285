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
    /// The file of certificates by which Redis is to prove its name.
    pub roots: Option<String>,
}

impl Counting {
    pub(super) fn read(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut section = root.section("limits", mistakes);
        let schemes = ["redis://", "rediss://"];
        let store = place(&mut section, &schemes, mistakes);
        let is_address = |scheme: &&str| store.len() > scheme.len() && store.starts_with(scheme);
        if schemes.iter().any(is_address) {
            if let Err(error) = Redis::open(&store) {
                mistakes.add(&section.key("store"), error);
            }
        }
        if !store.starts_with("rediss://") && section.has("root_certificates") {
            let expected = "belongs to a store rediss://";
            mistakes.add(&section.key("root_certificates"), expected);
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
        let roots = section.string("root_certificates", mistakes);
        section.finish(mistakes);
        Self {
            store,
            budget_ms,
            leased: mode.as_deref() == Some("leased"),
            outage,
            nodes,
            roots,
        }
    }
}
