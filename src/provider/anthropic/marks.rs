//! Marks of what is to be cached: four at most are taken, and none that lasts longer than one before it.
//!
//! Source: the provider's page on prompt caching, read 2026-11.

use serde_json::Value;

use super::{
    blocks::{Block, Turn, ephemeral},
    tools::Offered,
};
use crate::{
    error::Error,
    provider::{Notes, support::MARKS},
};

/// The most that a request may have, with that of the request itself.
const MOST: usize = 4;

/// Leaves the last marks, as many as are taken beside that of the request: what those before them mark is
/// the beginning of what they do. One that would last longer than one before it lasts as long.
pub(super) fn thin_out(
    tools: &mut [Offered<'_>],
    system: &mut [Block<'_>],
    turns: &mut [Turn<'_>],
    of_request: Option<&mut Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let most = MOST - usize::from(of_request.is_some());
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
    let left = all.split_off(excess);
    for mark in all {
        *mark = None;
    }
    let mut short = false;
    for mark in left.into_iter().flatten() {
        if short && is_long(mark) {
            *mark = ephemeral(false);
            notes.changed(MARKS);
        }
        short |= !is_long(mark);
    }
    if let Some(mark) = of_request.filter(|mark| short && is_long(mark)) {
        *mark = ephemeral(false);
        notes.changed("cache_control");
    }
    Ok(())
}

fn is_long(mark: &Value) -> bool {
    mark["ttl"] == "1h"
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
