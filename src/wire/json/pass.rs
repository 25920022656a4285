//! Passing values that nobody reads, checked as if they were.

use super::{
    Cursor, FaultKind, MAX_DEPTH,
    cursor::spend,
    dense, digits,
    due::Due,
    fault::{Stop, stop, unexpected},
    levels::{Levels, Outside, RUN},
    scan, window,
};

impl Cursor<'_> {
    /// [`skip`](Self::skip) without the range.
    #[inline(always)]
    pub(crate) fn pass(&mut self) -> Result<(), Stop> {
        let start = scan::space(self.text, self.at);
        self.at = match self.text.get(start) {
            // What is short is not worth a call.
            Some(&first @ b'0'..=b'9') => {
                digits::unsigned(self.text, start, first, &mut self.huge)?
            }
            _ => self.pass_at(start)?,
        };
        Ok(())
    }

    /// Passes the elements that follow another, but for objects with members: how many are no objects.
    #[inline(never)]
    pub(crate) fn pass_all_but_objects(&mut self) -> Result<usize, Stop> {
        let text = self.text;
        let mut items = 0;
        let mut budget = self.budget;
        let mut at = self.at;
        loop {
            at = scan::space(text, at);
            if text.get(at) != Some(&b',') {
                break;
            }
            let start = scan::space(text, at + 1);
            let here = text.get(start..).unwrap_or_default();
            let bare = matches!(here, [b'{', b'}', ..] | [b'[', b']', ..]);
            let bare = bare && self.depth < MAX_DEPTH;
            if !bare && matches!(here, [] | [b'{', ..]) {
                break;
            }
            budget = spend(budget, at + 1)?;
            items += usize::from(here[0] != b'{');
            at = match here {
                _ if bare => start + 2,
                [b'"', b'"', ..] => start + 2,
                [first @ b'0'..=b'9', ..] => digits::unsigned(text, start, *first, &mut self.huge)?,
                _ => {
                    self.budget = budget;
                    let end = self.pass_at(start)?;
                    budget = self.budget;
                    end
                }
            };
        }
        self.at = at;
        self.budget = budget;
        Ok(items)
    }

    #[inline(never)]
    pub(super) fn pass_at(&mut self, start: usize) -> Result<usize, Stop> {
        if self.clean {
            self.pass_value::<true>(start)
        } else {
            self.pass_value::<false>(start)
        }
    }

    #[inline(always)]
    fn pass_value<const CLEAN: bool>(&mut self, start: usize) -> Result<usize, Stop> {
        match self.text.get(start) {
            Some(b'{' | b'[') => self.pass_nested::<CLEAN>(start),
            Some(b'"') => Ok(scan::string::<CLEAN>(self.text, start + 1)? + 1),
            Some(b'-' | b'0'..=b'9') => digits::number(self.text, start, &mut self.huge),
            here => literal(self.text, start, here.copied().unwrap_or(0)),
        }
    }

    /// Passes the object or array at a place; where it ends.
    fn pass_nested<const CLEAN: bool>(&mut self, start: usize) -> Result<usize, Stop> {
        let room = usize::from(MAX_DEPTH - self.depth);
        if room == 0 {
            return Err(stop(start, FaultKind::TooDeep));
        }
        let at = scan::space(self.text, start + 1);
        let here = self.text.get(start).copied().unwrap_or(0);
        // In ASCII the closing bracket is two behind the opening one.
        let close = here + 2;
        if self.text.get(at) == Some(&close) {
            return Ok(at + 1);
        }
        let budget = spend(self.budget, at)?;
        let at = match close {
            b'}' => key::<CLEAN>(self.text, at)?,
            _ => at,
        };
        let levels = Levels::new(close == b'}', room);
        let end = self.pass_levels::<CLEAN>(at, levels, Outside::new(room), budget)?;
        let (bytes, items) = (end - start, budget - self.budget);
        self.dense = match items > PORTION && PORTION * bytes < SPARSE * items {
            true => ALIKE,
            false => self.dense.saturating_sub(1),
        };
        Ok(end)
    }

    /// The same from the first value in it, of which it is known what closes it. One loop over all levels.
    /// What stands in it may be made of nothing but the smallest values, so that each step counts: what is
    /// likely is asked first.
    #[inline(always)]
    fn pass_levels<const CLEAN: bool>(
        &mut self,
        mut at: usize,
        mut levels: Levels,
        mut outside: Outside,
        budget: usize,
    ) -> Result<usize, Stop> {
        let text = self.text;
        // The budget is spent by portions: where one is at its end, what comes next may be passed together.
        let is_dense = self.dense > 0;
        let first = if is_dense { 1 } else { 2 * PORTION };
        let mut portion = budget.min(first);
        let mut rest = budget - portion;
        let mut close = levels.close();
        // Where the portion began, had it no strings with escapes; the first has twice as many as the others. And whether
        // another may be passed before a window is tried.
        let (mut since, mut may_wait) = (at + SPARSE, !is_dense);
        'value: loop {
            // A value is due here.
            let Some(&here) = text.get(at) else {
                return Err(unexpected(text, at));
            };
            if here == b'"' {
                let quote = at;
                at = scan::plain::<CLEAN>(text, quote + 1);
                if text.get(at) != Some(&b'"') {
                    at = scan::rest_of_string::<CLEAN>(text, at)?;
                    since += at - quote;
                }
                at += 1;
            } else if here.is_ascii_digit() {
                at = digits::marked_unsigned(text, at, here)?;
            } else if let b'[' | b'{' = here {
                loop {
                    if levels.is_full() {
                        let too_deep = || stop(at, FaultKind::TooDeep);
                        levels = outside.put_away(levels).ok_or_else(too_deep)?;
                    }
                    at += 1;
                    let mut next = text.get(at).copied().unwrap_or(0);
                    if next <= b' ' {
                        at = scan::blanks(text, at, next);
                        next = text.get(at).copied().unwrap_or(0);
                    }
                    if next == here + 2 {
                        break;
                    }
                    if portion == 0 {
                        rest = spend(rest, at)?;
                    } else {
                        portion -= 1;
                    }
                    close = here + 2;
                    levels.enter(here == b'{');
                    if here == b'{' {
                        at = match text.get(at..) {
                            Some([b'"', b'"', b':', ..]) if levels.are_many() => at + 3,
                            _ => key::<CLEAN>(text, at)?,
                        };
                        continue 'value;
                    }
                    if next != b'[' {
                        continue 'value;
                    }
                    // The last of a run may be empty.
                    while levels.are_many()
                        && is_run(text, at, b'[')
                        && text.get(at + RUN) == Some(&b'[')
                        && portion + rest >= RUN
                        && levels.enter_run()
                    {
                        let from_portion = portion.min(RUN);
                        portion -= from_portion;
                        rest -= RUN - from_portion;
                        at += RUN;
                    }
                }
                at += 1;
            } else if here == b'-' {
                at = digits::marked_number(text, at)?;
            } else if here <= b' ' {
                at = behind_blanks(text, at, here)?;
                continue;
            } else {
                at = literal(text, at, here)?;
            }
            // A value has ended here.
            loop {
                match text.get(at) {
                    Some(b',') if portion > 0 => {
                        at += 1;
                        portion -= 1;
                        if close == b'}' {
                            at = key::<CLEAN>(text, at)?;
                        }
                        break;
                    }
                    Some(b',') => {
                        at += 1;
                        rest = spend(rest, at)?;
                        // Of what is not dense a window holds too little.
                        if may_wait && at.saturating_sub(since) > SPARSE {
                            (since, may_wait) = (at, false);
                            portion = rest.min(PORTION);
                            rest -= portion;
                            if close == b'}' {
                                at = key::<CLEAN>(text, at)?;
                            }
                            break;
                        }
                        let passed = window::pass::<CLEAN>(text, at, levels, rest, &mut self.huge);
                        may_wait = passed.at - at < window::LONG;
                        (at, levels) = (passed.at, passed.levels);
                        (portion, rest) = (passed.portion, passed.rest);
                        close = levels.close();
                        since = at;
                        if let Due::FIRST_VALUE | Due::FIRST_KEY = passed.due {
                            at = scan::space(text, at);
                            if text.get(at) == Some(&close) {
                                continue;
                            }
                            if portion == 0 {
                                rest = spend(rest, at)?;
                            } else {
                                portion -= 1;
                            }
                        }
                        at = match passed.due {
                            Due::KEY | Due::FIRST_KEY => key::<CLEAN>(text, at)?,
                            Due::KEY_STRING => rest_of_key::<CLEAN>(text, at)?,
                            Due::COLON => colon(text, at)?,
                            Due::STRING => {
                                at = scan::string::<CLEAN>(text, at)? + 1;
                                continue;
                            }
                            Due::COMMA => continue,
                            _ => at,
                        };
                        break;
                    }
                    Some(&here) if here == close => {
                        at += 1;
                        if levels.leave() {
                            let Some(left) = outside.take_back() else {
                                self.budget = rest + portion;
                                return Ok(at);
                            };
                            levels = left;
                        }
                        close = levels.close();
                        while levels.are_many() && is_run(text, at, close) && levels.leave_run() {
                            at += RUN;
                            close = levels.close();
                        }
                    }
                    Some(&here @ 0..=b' ') => {
                        at = behind_blanks(text, at, here)?;
                    }
                    // Nothing stands where a huge number ends by its mark.
                    None if digits::is_huge(at) => at = digits::note(text, at, &mut self.huge)?,
                    _ => return Err(unexpected(text, at)),
                }
            }
        }
    }
}

/// Whether a run of this bracket begins at a place.
#[inline(always)]
fn is_run(text: &[u8], at: usize, bracket: u8) -> bool {
    text.get(at..).and_then(<[u8]>::first_chunk) == Some(&[bracket; RUN])
}

/// So many members and elements are passed one by one before it is asked whether they are dense.
const PORTION: usize = 8;
/// They are not where they take more bytes than these, strings with escapes aside: so schemas do.
const SPARSE: usize = 88;
/// So many values behind one that was dense are taken for dense from their first member or element on: a text may be made
/// of values that end just where that would show.
const ALIKE: u8 = 4;

/// The place behind the blanks that are due here. Mostly there is one.
#[inline(always)]
fn behind_blanks(text: &[u8], at: usize, here: u8) -> Result<usize, Stop> {
    match text.get(at + 1) {
        Some(b'!'..) if scan::is_blank(here) => Ok(at + 1),
        Some(b' ') if scan::is_blank(here) && text.get(at + 2) > Some(&b' ') => Ok(at + 2),
        _ => match scan::space(text, at) {
            behind if behind == at => Err(unexpected(text, at)),
            behind => Ok(behind),
        },
    }
}

/// Passes a word whose first letter may be there.
#[inline(always)]
fn literal(text: &[u8], at: usize, here: u8) -> Result<usize, Stop> {
    match here {
        b't' => scan::word(text, at, b"true"),
        b'f' => scan::word(text, at, b"false"),
        b'n' => scan::word(text, at, b"null"),
        _ => Err(unexpected(text, at)),
    }
}

/// Passes the key that is due at a place, and its colon.
#[inline(always)]
fn key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    // Nearly all are short, plain, and right before their colon.
    if let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<18>) {
        let end = 1 + scan::plain_in::<CLEAN>(&block[1..]);
        match (block[0], block.get(end..end + 2)) {
            (b'"', Some([b'"', b':'])) => return Ok(at + end + 2),
            (b'"', Some([b'"' | b'\\', _])) => return rest_of_key::<CLEAN>(text, at + end),
            _ => {}
        }
    }
    any_key::<CLEAN>(text, at)
}

/// A key that has its closing quote or an escape at a place.
#[inline(never)]
fn rest_of_key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    let end = match text.get(at..) {
        Some([b'"', ..]) => at,
        Some([b'\\', b'b' | b'f' | b'n' | b'r' | b't', b'"', ..]) => at + 2,
        // Where there is another escape there are mostly more.
        _ => scan::rest_of_string::<CLEAN>(text, dense::pass::<CLEAN>(text, at))?,
    };
    colon(text, end + 1)
}

#[inline(never)]
fn any_key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    let at = scan::space(text, at);
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at));
    }
    let end = scan::string::<CLEAN>(text, at + 1)?;
    colon(text, end + 1)
}

/// Passes the colon behind a key.
#[inline(always)]
fn colon(text: &[u8], at: usize) -> Result<usize, Stop> {
    let at = scan::space(text, at);
    if text.get(at) != Some(&b':') {
        return Err(unexpected(text, at));
    }
    Ok(at + 1)
}
