//! Passing what values are made of, a window of text at a time: a text may hold nothing but small ones, and each
//! alone would cost more than its bytes.
//!
//! No byte waits for what another turned out to be: all of a window are sorted at once, a bit for each, and
//! what follows what is judged for all of them together.

use super::{
    alike::like_names,
    bits::{NEAR, WINDOW, highest, up_to},
    digits,
    due::Due,
    levels::Levels,
    sorted::Sorted,
};

/// So many members and elements are passed one by one before the next are looked at together: honest texts
/// have hardly more.
const FEW: usize = 4;
/// So many where that did not help, as less than so many bytes were passed. A text may be made of what is
/// small but for just those that are looked at together.
const MANY: usize = 8;
pub(super) const LONG: usize = 128;
/// A number or a literal that a window's end cuts off is left to the next window, unless it is as long as that.
const CUT_OFF: u32 = 12;

/// What has been passed: where that ends, what is due there and at what levels, how many members or elements may
/// come until this is tried again, and how many behind those.
pub(super) struct Passed {
    pub(super) at: usize,
    pub(super) due: Due,
    pub(super) levels: Levels,
    pub(super) portion: usize,
    pub(super) rest: usize,
}

/// Passes what comes behind a comma, at whatever level, as long as it is sound, dense, and can be paid for, numbers that
/// are huge by themselves as well. What stands before the place that is returned is paid for, but for what is due there
/// behind an opening bracket.
#[inline(never)]
pub(super) fn pass<const CLEAN: bool>(
    text: &[u8],
    start: usize,
    mut levels: Levels,
    mut budget: usize,
    huge: &mut u32,
) -> Passed {
    let mut at = start;
    let mut due = Due::next(levels.is_object());
    while let Some(near) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let Some(part) = part::<CLEAN>(near, due, levels) else {
            break;
        };
        if budget < part.count || part.huge != 0 && !spend(huge, part.huge) {
            break;
        }
        budget -= part.count;
        at += part.length;
        (due, levels) = (part.due, part.levels);
        match part.behind {
            Behind::More => {}
            Behind::End => break,
            Behind::Number => {
                // The first one behind a bracket is still to be paid for.
                let price = usize::from(due.is_empty() == 1);
                if budget < price {
                    break;
                }
                match digits::number(text, at, huge) {
                    Ok(end) => (at, due) = (end, Due::COMMA),
                    Err(_) => break,
                }
                budget -= price;
            }
        }
    }
    let portion = if at - start < LONG { MANY } else { FEW };
    let portion = portion.min(budget);
    Passed {
        at,
        due,
        levels,
        portion,
        rest: budget - portion,
    }
}

/// Where a comma is due that has a member behind it, or an element that is an object, passes those that are small up
/// to another such comma: its place, and the rest of the budget. Those that have a key with one of the beginnings
/// are not passed.
#[inline(never)]
pub(super) fn pass_level<const CLEAN: bool, const BEGINNINGS: u64>(
    text: &[u8],
    mut at: usize,
    level: Levels,
    mut budget: usize,
    huge: &mut u32,
) -> (usize, usize) {
    while let Some([b',', near @ ..]) = text.get(at..).and_then(<[u8]>::first_chunk::<{ NEAR + 1 }>)
    {
        let Some(near) = near.first_chunk() else {
            break;
        };
        let Some(part) = part_of_level::<CLEAN, BEGINNINGS>(near, level) else {
            break;
        };
        if budget <= part.count || part.huge != 0 && !spend(huge, part.huge) {
            break;
        }
        budget -= part.count;
        at += part.length;
    }
    (at, budget)
}

/// Whether so many numbers may be huge as have places here; then as many less may follow.
#[cold]
#[inline(never)]
fn spend(huge: &mut u32, places: u64) -> bool {
    let left = huge.checked_sub(places.count_ones());
    *huge = left.unwrap_or(*huge);
    left.is_some()
}

/// What has been passed of a window.
struct Part {
    length: usize,
    /// How many members and elements begin in it.
    count: usize,
    /// A place in each number that is huge.
    huge: u64,
    due: Due,
    levels: Levels,
    behind: Behind,
}

/// The same at one level.
struct PartOfLevel {
    length: usize,
    count: usize,
    huge: u64,
}

/// What a part of a window is followed by.
enum Behind {
    /// What is to be looked at together.
    More,
    /// A number that is long, or what is none.
    Number,
    /// The outermost level's end, or what is wrong with its brackets.
    End,
}

/// The part of a window that is sound, up to its end but for what that cuts off, or up to where the outermost level
/// ends. Nothing where something is wrong.
#[inline(always)]
fn part<const CLEAN: bool>(near: &[u8; NEAR], due: Due, levels: Levels) -> Option<Part> {
    let sorted = Sorted::new::<CLEAN>(near, due)?;
    let (range, passed) = sorted.levels(levels)?;
    let last = highest(sorted.structural() & range);
    let in_object = passed.levels.is_object();
    // What comes behind the last comma may not be there yet.
    let unsettled = last & sorted.commas & u64::from(in_object).wrapping_neg();
    let in_objects = passed.in_objects & !(last & sorted.commas) | unsettled;
    let (keys, key_ends) = sorted.keys(in_objects, range, due)?;

    let firsts = sorted.behind(sorted.opens << 1 | due.is_empty()) & !sorted.closes;
    let count = ((sorted.commas | firsts) & range).count_ones() as usize;
    let length = (WINDOW as u32 - range.leading_zeros()) as usize;
    let end = highest(range);
    let due = if end & sorted.within != 0 {
        let begun = highest(sorted.quotes & sorted.within & range | due.within());
        Due::in_string(keys & begun != 0)
    } else {
        let separators = sorted.commas | sorted.colons | sorted.opens;
        let last = highest((separators | sorted.closes | sorted.ends) & range);
        if last == 0 {
            due
        } else if last & separators != 0 {
            let is_key = in_object && last & sorted.colons == 0;
            Due::behind_separator(last & sorted.opens != 0, is_key)
        } else {
            Due::behind_end(last & key_ends != 0)
        }
    };
    let behind = if range != sorted.range {
        Behind::End
    } else if range.leading_zeros() >= CUT_OFF && end << 1 & sorted.bare != 0 && due.is_value() {
        Behind::Number
    } else {
        Behind::More
    };
    Some(Part {
        length,
        count,
        huge: sorted.huge & range,
        due,
        levels: passed.levels,
        behind,
    })
}

/// The part of a window behind a comma that has a member or an object behind it, up to another such comma.
#[inline(always)]
fn part_of_level<const CLEAN: bool, const BEGINNINGS: u64>(
    near: &[u8; NEAR],
    level: Levels,
) -> Option<PartOfLevel> {
    let is_object = level.is_object();
    let due = Due::next(is_object);
    let sorted = Sorted::new::<CLEAN>(near, due)?;
    let (range, passed) = sorted.levels(level)?;
    let outermost = sorted.commas & sorted.marks(range).outermost();
    let outermost = outermost & range;
    if outermost == 0 {
        return None;
    }
    let range = up_to(outermost);
    let elements = sorted.behind((outermost & range >> 1) << 1 | 1);
    if !is_object && elements & !(sorted.opens & sorted.objects) != 0 {
        return None;
    }
    let (keys, _) = sorted.keys(passed.in_objects, range >> 1, due)?;
    let ends = sorted.quotes & !sorted.within;
    if like_names::<BEGINNINGS>(&sorted.bits, keys & range, ends, sorted.within) != 0 {
        return None;
    }
    let firsts = sorted.behind(sorted.opens << 1) & !sorted.closes;
    let count = ((sorted.commas | firsts) & range).count_ones() as usize;
    let length = (WINDOW as u32 - range.leading_zeros()) as usize;
    Some(PartOfLevel {
        length,
        count,
        huge: sorted.huge & range,
    })
}

#[cfg(test)]
mod tests;
