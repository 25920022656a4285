//! Marks of what is to be cached. The service refuses one directly behind another, more than four, and one
//! that lasts longer than one before it.
//!
//! Source: the user guide's page on prompt caching, read 2026-11.

use std::mem;

use super::{
    blocks::{Block, CachePoint, Turn},
    tools::{Entry, Tools},
};
use crate::{
    error::Error,
    provider::{Notes, support::MARKS},
};

/// The most that a request may have.
const MOST: usize = 4;

trait Marked {
    fn mark(&mut self) -> Option<&mut CachePoint>;
}

impl Marked for Block<'_> {
    fn mark(&mut self) -> Option<&mut CachePoint> {
        match self {
            Self::CachePoint(mark) => Some(mark),
            _ => None,
        }
    }
}

impl Marked for Entry<'_> {
    fn mark(&mut self) -> Option<&mut CachePoint> {
        match self {
            Self::CachePoint(mark) => Some(mark),
            Self::ToolSpec(_) => None,
        }
    }
}

/// Leaves one of neighbours, that which lasts longer, and of all the last four: what those before them
/// mark is the beginning of what they do.
pub(super) fn thin_out(
    tools: Option<&mut Tools<'_>>,
    system: &mut Vec<Block<'_>>,
    turns: &mut [Turn<'_>],
    notes: &mut Notes,
) -> Result<(), Error> {
    let mut tools = tools.map(|tools| &mut tools.tools);
    let mut count = tools.as_deref_mut().map_or(0, apart);
    count += apart(system);
    for turn in &mut *turns {
        count += apart(&mut turn.content);
    }
    let mut excess = count.saturating_sub(MOST);
    if excess > 0 {
        notes.without(MARKS)?;
    }
    let mut short = false;
    if let Some(tools) = tools {
        spare(tools, &mut excess);
        short = in_order(tools, short, notes);
    }
    spare(system, &mut excess);
    short = in_order(system, short, notes);
    for turn in turns {
        spare(&mut turn.content, &mut excess);
        short = in_order(&mut turn.content, short, notes);
    }
    Ok(())
}

/// None may last longer than one before it: `short` is whether there was one that does not last.
fn in_order<T: Marked>(list: &mut [T], mut short: bool, notes: &mut Notes) -> bool {
    for mark in list.iter_mut().filter_map(Marked::mark) {
        if short && mark.is_long() {
            mark.shorten();
            notes.changed(MARKS);
        }
        short |= !mark.is_long();
    }
    short
}

/// Takes away marks of the place that the one before them marks; how many are left.
fn apart<T: Marked>(list: &mut Vec<T>) -> usize {
    list.dedup_by(|later, earlier| match (later.mark(), earlier.mark()) {
        (Some(of_later), Some(of_earlier)) => {
            if of_later.is_long() && !of_earlier.is_long() {
                mem::swap(later, earlier);
            }
            true
        }
        _ => false,
    });
    list.iter_mut().filter_map(Marked::mark).count()
}

/// Takes away the first marks, so many at most.
fn spare<T: Marked>(list: &mut Vec<T>, excess: &mut usize) {
    list.retain_mut(|one| {
        let goes = *excess > 0 && one.mark().is_some();
        *excess -= usize::from(goes);
        !goes
    });
}
