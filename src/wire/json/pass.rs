//! Passing values that nobody reads, checked as if they were.

use super::{
    Cursor, FaultKind, Key, MAX_DEPTH,
    cursor::spend,
    digits,
    scan::{self, Stop, stop, unexpected},
};

impl<'a> Cursor<'a> {
    /// [`skip`](Self::skip) without the range.
    #[inline(always)]
    pub(crate) fn pass(&mut self) -> Result<(), Stop> {
        let start = scan::space(self.text, self.at);
        self.at = match self.text.get(start) {
            // What is short is not worth a call.
            Some(b'1'..=b'9') => digits::number(self.text, start)?,
            _ => self.pass_at(start)?,
        };
        Ok(())
    }

    /// Passes the value of a member and gives the next key, as [`pass`](Self::pass) and
    /// [`later_key`](Self::later_key) do, if that key is wanted; else it is still to come.
    #[inline(always)]
    pub(crate) fn pass_to_key(
        &mut self,
        wanted: impl FnOnce(Key<'a>) -> bool,
    ) -> Result<Option<Key<'a>>, Stop> {
        let text = self.text;
        let mut at = scan::space(text, self.at);
        at = match text.get(at) {
            Some(b'1'..=b'9') => digits::number(text, at)?,
            _ => self.pass_at(at)?,
        };
        at = scan::space(text, at);
        self.at = at;
        if text.get(at) != Some(&b',') {
            return Ok(None);
        }
        let budget = spend(self.budget, at + 1)?;
        let key = self.key_at(scan::space(text, at + 1))?;
        if wanted(key) {
            self.budget = budget;
            return Ok(Some(key));
        }
        self.at = at;
        Ok(None)
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
            Some(b'-' | b'0'..=b'9') => digits::number(self.text, start),
            Some(b't') => scan::word(self.text, start, b"true"),
            Some(b'f') => scan::word(self.text, start, b"false"),
            Some(b'n') => scan::word(self.text, start, b"null"),
            _ => Err(unexpected(self.text, start)),
        }
    }

    /// Passes the object or array at a place; where it ends. One loop over all levels, one bit for
    /// each, set for an object.
    fn pass_nested<const CLEAN: bool>(&mut self, start: usize) -> Result<usize, Stop> {
        let text = self.text;
        let room = MAX_DEPTH - self.depth;
        let mut budget = self.budget;
        let mut at = start;
        let mut objects = 0u128;
        let mut levels = 0u8;
        let mut here = text.get(at).copied().unwrap_or(0);
        'value: loop {
            // A value begins here.
            match here {
                b'"' => at = scan::string::<CLEAN>(text, at + 1)? + 1,
                b'{' | b'[' => {
                    if levels == room {
                        return Err(stop(at, FaultKind::TooDeep));
                    }
                    let open = here;
                    (at, here) = scan::visible(text, at + 1);
                    // In ASCII the closing bracket is two behind the opening one.
                    if here != open + 2 {
                        let object = open == b'{';
                        levels += 1;
                        objects = objects << 1 | u128::from(object);
                        budget = spend(budget, at)?;
                        if object {
                            at = key::<CLEAN>(text, at)?;
                            (at, here) = scan::visible(text, at);
                        }
                        continue 'value;
                    }
                    at += 1;
                }
                b'-' | b'0'..=b'9' => at = digits::number(text, at)?,
                b't' => at = scan::word(text, at, b"true")?,
                b'f' => at = scan::word(text, at, b"false")?,
                b'n' => at = scan::word(text, at, b"null")?,
                _ => return Err(unexpected(text, at)),
            }
            // A value has ended here.
            while levels > 0 {
                (at, here) = scan::visible(text, at);
                let object = objects & 1 == 1;
                match here {
                    b',' => {
                        budget = spend(budget, at + 1)?;
                        (at, here) = scan::visible(text, at + 1);
                        if object {
                            at = key::<CLEAN>(text, at)?;
                            (at, here) = scan::visible(text, at);
                        }
                        continue 'value;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return Err(unexpected(text, at)),
                }
                at += 1;
                objects >>= 1;
                levels -= 1;
            }
            self.budget = budget;
            return Ok(at);
        }
    }
}

/// Passes the key at a place and its colon.
#[inline(always)]
fn key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    // Nearly all are short, plain, and right before their colon.
    if let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<18>) {
        let end = 1 + scan::plain_in::<CLEAN>(&block[1..]);
        if let (b'"', Some([b'"', b':'])) = (block[0], block.get(end..end + 2)) {
            return Ok(at + end + 2);
        }
    }
    any_key::<CLEAN>(text, at)
}

#[inline(never)]
fn any_key<const CLEAN: bool>(text: &[u8], at: usize) -> Result<usize, Stop> {
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at));
    }
    let end = scan::string::<CLEAN>(text, at + 1)?;
    let at = scan::space(text, end + 1);
    if text.get(at) != Some(&b':') {
        return Err(unexpected(text, at));
    }
    Ok(at + 1)
}
