//! Changing some places of a text and leaving every other byte as it is.
//!
//! ```
//! use tower_completions::wire::splice::{Edit, splice};
//!
//! let text = br#"{"model":"a", "n":1}"#;
//! let edits = [Edit::new(9..12, b"\"b\""), Edit::new(12..19, b"")];
//! assert_eq!(splice(text, &edits).unwrap(), br#"{"model":"b"}"#);
//! ```

use std::{fmt, ops::Range};

use super::json::{Cursor, Fault, Type};

/// One change: what stands in `range` gives way to `with`.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit<'a> {
    range: Range<usize>,
    with: &'a [u8],
}

impl fmt::Debug for Edit<'_> {
    /// Where, and how much: what is put in may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("range", &self.range)
            .field("bytes", &self.with.len())
            .finish()
    }
}

impl<'a> Edit<'a> {
    /// Replaces a range; an empty range inserts, an empty replacement removes.
    pub fn new(range: Range<usize>, with: &'a [u8]) -> Self {
        Self { range, with }
    }

    pub(crate) fn range(&self) -> &Range<usize> {
        &self.range
    }
}

/// Edits that are out of order, overlap, or lie outside of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// Which of them, from 0.
    pub edit: usize,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edit {} is not behind the one before it", self.edit)
    }
}

impl std::error::Error for Misplaced {}

/// The text with all edits made, in one allocation of the right size.
///
/// # Errors
/// When the edits are not in ascending order, overlap, or lie outside of the text.
pub fn splice(text: &[u8], edits: &[Edit<'_>]) -> Result<Vec<u8>, Misplaced> {
    let mut end = 0;
    let mut removed = 0;
    let mut added = 0usize;
    for (edit, Edit { range, with }) in edits.iter().enumerate() {
        if range.start < end || range.end < range.start || range.end > text.len() {
            return Err(Misplaced { edit });
        }
        end = range.end;
        removed += range.len();
        added = added.saturating_add(with.len());
    }
    let mut out = Vec::with_capacity(added.saturating_add(text.len() - removed));
    let mut from = 0;
    for Edit { range, with } in edits {
        out.extend_from_slice(&text[from..range.start]);
        out.extend_from_slice(with);
        from = range.end;
    }
    out.extend_from_slice(&text[from..]);
    Ok(out)
}

/// The ranges to cut so that an object or an array loses some of what it holds with the commas and
/// keeps all else as it was. `at` is the offset of its opening bracket; each member is asked about by
/// the offset of its key's quote, each element by that of its beginning. `text` is known to be UTF-8.
///
/// # Errors
/// When no well-formed object or array stands there.
pub(crate) fn cuts(
    text: &[u8],
    at: usize,
    mut drop: impl FnMut(usize) -> bool,
) -> Result<Vec<Range<usize>>, Fault> {
    let mut cursor = Cursor::within(text, at, usize::MAX);
    let mut cuts = Cuts::default();
    if cursor.peek()? == Type::Array {
        cursor.array()?;
        while cursor.element()? {
            let value = cursor.skip()?;
            cuts.member(value.start, value.end, drop(value.start));
        }
    } else {
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            let start = key.start() - 1;
            let value = cursor.skip()?;
            cuts.member(start, value.end, drop(start));
        }
    }
    Ok(cuts.done())
}

/// Which ranges to cut, told one by one, member or element: behind a kept one from its end, before the first kept
/// one up to the next.
#[derive(Default)]
pub(crate) struct Cuts {
    ranges: Vec<Range<usize>>,
    end: usize,
    kept: bool,
    open: bool,
}

impl Cuts {
    /// The next one, of a member from its key's quote to the end of its value.
    pub(crate) fn member(&mut self, start: usize, end: usize, drop: bool) {
        if let Some(last) = self.ranges.last_mut().filter(|_| self.open) {
            last.end = start;
        }
        self.open = drop && !self.kept;
        if drop {
            let from = if self.kept { self.end } else { start };
            self.ranges.push(from..end);
        } else {
            self.kept = true;
        }
        self.end = end;
    }

    /// Whether a member has been kept so far.
    pub(crate) fn kept_any(&self) -> bool {
        self.kept
    }

    /// The ranges, ascending and apart.
    pub(crate) fn done(self) -> Vec<Range<usize>> {
        self.ranges
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn edits_are_made_in_order() {
        let edits = [
            Edit::new(0..0, b"<"),
            Edit::new(1..3, b"--"),
            Edit::new(3..3, b"+"),
            Edit::new(5..5, b">"),
        ];
        let out = splice(b"abcde", &edits).expect("in order");
        assert_eq!(out, b"<a--+de>");
        assert_eq!(out.capacity(), out.len());
        assert_eq!(splice(b"abc", &[]).expect("nothing"), b"abc");
    }

    #[test]
    fn misplaced_edits_are_refused() {
        let at = |first: Range<usize>, second: Range<usize>| {
            splice(b"abcde", &[Edit::new(first, b""), Edit::new(second, b"")])
        };
        assert_eq!(at(1..3, 2..4), Err(Misplaced { edit: 1 }));
        assert_eq!(at(3..4, 0..1), Err(Misplaced { edit: 1 }));
        assert_eq!(at(0..1, 4..6), Err(Misplaced { edit: 1 }));
        #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
        let backwards = at(2..1, 3..4);
        assert_eq!(backwards, Err(Misplaced { edit: 0 }));
    }

    #[test]
    fn any_members_and_elements_can_be_cut() {
        let text = r#" { "a" : 1 , "b":[2,{"a":0}],"c": "3" ,"d":4 } "#;
        let list = r#"[[ 1 ,[2,{"a":0}], "3" ,{"a":[]} ]]"#;
        for mask in 0..16u8 {
            for (text, at) in [(text, 1), (list, 1)] {
                let mut told = 0;
                let gone = |_| {
                    told += 1;
                    mask >> (told - 1) & 1 == 1
                };
                let ranges = cuts(text.as_bytes(), at, gone).expect("well-formed");
                let ranges = ranges.into_iter();
                let edits: Vec<_> = ranges.map(|range| Edit::new(range, b"")).collect();
                let out = splice(text.as_bytes(), &edits).expect("in order");
                let mut expected: Value = serde_json::from_str(text).expect("JSON");
                let mut at = 0;
                let mut kept = || {
                    at += 1;
                    mask >> (at - 1) & 1 == 0
                };
                match &mut expected {
                    Value::Object(members) => members.retain(|_, _| kept()),
                    list => {
                        let inner = list[0].as_array_mut().expect("a list in a list");
                        inner.retain(|_| kept());
                    }
                }
                let out: Value = serde_json::from_slice(&out).unwrap_or_else(|error| {
                    panic!("{mask}: {error} {}", String::from_utf8_lossy(&out))
                });
                assert_eq!(out, expected);
            }
        }
    }
}
