//! Marks of what is to be cached: four at most are taken.
//!
//! Source: the provider's page on prompt caching, read 2026-11.

use serde_json::Value;

use super::{
    tools::Offered,
    turns::{Block, Turn},
};
use crate::{
    error::Error,
    provider::{Notes, support::MARKS},
};

/// The most that a request may have, with that of the request itself.
pub(super) const MOST: usize = 4;

/// Leaves the last marks, so many at most: what those before them mark is the beginning of what they do.
pub(super) fn thin_out(
    tools: &mut [Offered<'_>],
    system: &mut [Block<'_>],
    turns: &mut [Turn<'_>],
    most: usize,
    notes: &mut Notes,
) -> Result<(), Error> {
    let mut all: Vec<&mut Option<Value>> = Vec::new();
    all.extend(tools.iter_mut().filter_map(Offered::mark));
    for block in system {
        block.marks(&mut all);
    }
    for turn in turns {
        for block in &mut turn.content {
            block.marks(&mut all);
        }
    }
    all.retain(|mark| mark.is_some());
    let excess = all.len().saturating_sub(most);
    if excess > 0 {
        notes.without(MARKS)?;
    }
    for mark in all.into_iter().take(excess) {
        *mark = None;
    }
    Ok(())
}

/// Marks the end of what was said last, for the door that takes no mark of the whole request; `false`
/// where there is no place for it. A mark that is there already stays.
pub(super) fn mark_last(turns: &mut [Turn<'_>], value: Value) -> bool {
    let mut places = Vec::new();
    if let Some(last) = turns.last_mut().and_then(|turn| turn.content.last_mut()) {
        last.open();
        last.marks(&mut places);
    }
    let Some(place) = places.pop() else {
        return false;
    };
    place.get_or_insert(value);
    true
}
