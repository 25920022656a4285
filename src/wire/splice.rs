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

use super::json::{Cursor, Fault, Str};

/// One change: what stands in `range` gives way to `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    range: Range<usize>,
    with: &'a [u8],
}

impl<'a> Edit<'a> {
    /// Replaces a range; an empty range inserts, an empty replacement removes.
    pub fn new(range: Range<usize>, with: &'a [u8]) -> Self {
        Self { range, with }
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

/// The ranges to cut so that an object loses some of its members with their commas and keeps all
/// else as it was. `at` is the offset of its `{`; `text` is known to be UTF-8.
///
/// # Errors
/// When no well-formed object stands there.
#[allow(dead_code)]
pub(crate) fn cuts(
    text: &[u8],
    at: usize,
    mut drop: impl FnMut(Str<'_>) -> bool,
) -> Result<Vec<Range<usize>>, Fault> {
    let mut cursor = Cursor::within(text, at, usize::MAX);
    let mut cuts = Cuts::default();
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        let value = cursor.skip()?;
        cuts.member(key.range().start - 1, value.end, drop(key));
    }
    Ok(cuts.done())
}

/// Which ranges to cut, told member by member: behind a kept one from its end, before the first kept
/// one up to the next key.
#[derive(Default)]
pub(crate) struct Cuts {
    ranges: Vec<Range<usize>>,
    end: usize,
    kept: bool,
    open: bool,
}

impl Cuts {
    /// The next member, from its key's quote to the end of its value.
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
    fn any_members_can_be_cut() {
        let text = r#" { "a" : 1 , "b":[2,{"a":0}],"c": "3" ,"d":4 } "#;
        let whole: serde_json::Value = serde_json::from_str(text).expect("json");
        for mask in 0..16u8 {
            let dropped = |key: &str| mask & 1 << (key.as_bytes()[0] - b'a') != 0;
            let ranges = cuts(text.as_bytes(), 1, |key| dropped(&key.cow())).expect("object");
            let edits: Vec<_> = ranges
                .into_iter()
                .map(|range| Edit::new(range, b""))
                .collect();
            let out = splice(text.as_bytes(), &edits).expect("in order");
            let mut expected = whole.clone();
            expected
                .as_object_mut()
                .expect("object")
                .retain(|key, _| !dropped(key));
            let out: serde_json::Value = serde_json::from_slice(&out).unwrap_or_else(|error| {
                panic!("{mask}: {error} {}", String::from_utf8_lossy(&out))
            });
            assert_eq!(out, expected);
        }
    }
}
