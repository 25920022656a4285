//! Edits in order give what replacing by hand gives; others are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_completions::wire::splice::{Edit, splice};

fuzz_target!(|input: (&[u8], Vec<(u8, u8, u8)>)| {
    let (text, edits) = input;
    let with = b"<>";
    let edits: Vec<_> = edits
        .iter()
        .map(|(start, length, some)| {
            let start = usize::from(*start);
            (start..start + usize::from(*length), usize::from(some % 3))
        })
        .collect();
    let made: Vec<_> = edits
        .iter()
        .map(|(range, n)| Edit::new(range.clone(), &with[..*n]))
        .collect();
    if let Ok(out) = splice(text, &made) {
        let mut expected = text.to_vec();
        for (range, n) in edits.iter().rev() {
            expected.splice(range.clone(), with[..*n].iter().copied());
        }
        assert_eq!(out, expected);
    }
});
