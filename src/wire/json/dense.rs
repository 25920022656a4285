//! Strings that are full of escapes, 64 bytes at a time.
//!
//! Where the next escape stands, and of what kind it is, may be in no order that could be foreseen: step by step
//! each costs a wrong guess, which is dearer than to look at all bytes in every way.

use super::{
    bits::{Bits, WINDOW},
    words::{escaped, escapes},
};

/// Where a window has fewer escapes, one by one is no dearer.
const FEW: u32 = 4;

/// Passes what is sound of a string, from a place that is not within an escape to another such place: the closing
/// quote, or where the rest is to be read step by step.
#[inline(never)]
pub(super) fn pass<const CLEAN: bool>(text: &[u8], mut at: usize) -> usize {
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let Some((length, goes_on)) = part::<CLEAN>(window) else {
            break;
        };
        at += length;
        if !goes_on {
            break;
        }
    }
    at
}

/// The sound part of a window, and whether the next one is to be looked at. Nothing where something is wrong.
#[inline(always)]
fn part<const CLEAN: bool>(window: &[u8; WINDOW]) -> Option<(usize, bool)> {
    let bits = Bits::new(window)?;
    let backslashes = bits.is(b'\\');
    let escaped = escaped(backslashes);
    let openings = backslashes & !escaped;
    let escapes = escapes(&bits, escaped);
    let mut wrong = escapes.wrong;
    if !CLEAN {
        wrong |= bits.like(0, 0xE0);
    }
    // What is not all there is left to the next window.
    let late = escapes.cut_off(openings);
    let length = late.trailing_zeros() as usize;
    let quotes = bits.is(b'"') & !escaped;
    let end = quotes.trailing_zeros() as usize;
    if end < length {
        return (wrong & before(end) == 0).then_some((end, false));
    }
    let goes_on = openings.count_ones() >= FEW;
    (wrong & before(length) == 0).then_some((length, goes_on))
}

/// All bits below a place.
#[inline(always)]
fn before(place: usize) -> u64 {
    match place {
        0..WINDOW => !(u64::MAX << place),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{Cursor, FaultKind};

    const PIECES: &[&str] = &[
        r"\n",
        r"\\",
        r#"\""#,
        r"\u0041",
        r"\u00e9",
        r"\u20AC",
        r"\ud834\udd1e",
        r"\uD7ff",
        r"\uDBFF\uDFFF",
        "a",
        "bcd",
        "u",
        "\u{e9}",
        "d834",
    ];
    const WRONG: &[&str] = &[
        r"\x",
        r"\u12",
        r"\u12g4",
        r"\ud834",
        r"\udd1e",
        r"\ud834\n",
        r"\ud834x",
        r"\ud834\ud834",
        "\n",
        r"\ud834\u0041",
        r"\U0041",
    ];

    /// A string is what serde_json takes, and what is passed of it ends outside of an escape.
    fn agrees(string: &str) {
        let text = format!(
            "\"{string}\" ,\\u0\\x\"and so on, for as long as there may be another window\" "
        );
        let quoted = &text[..string.len() + 2];
        let sound = serde_json::from_str::<String>(quoted);
        let mut cursor = Cursor::new(&text);
        match (sound, cursor.string()) {
            (Ok(_), Ok(found)) => assert_eq!(found.raw(), string),
            (Ok(_), Err(fault)) => panic!("{fault}: {text}"),
            (Err(_), Ok(found)) => assert_ne!(found.raw(), string, "{text}"),
            (Err(_), Err(_)) => {}
        }
        let passed = pass::<false>(text.as_bytes(), 1);
        let mut steps = 1;
        while steps < passed {
            steps = match text.as_bytes()[steps] {
                b'\\' => crate::wire::json::escape::escape(text.as_bytes(), steps).expect(&text),
                b'"' => panic!("the end is passed: {text}"),
                _ => steps + 1,
            };
        }
        // An escape by number is passed with what stands alone behind it.
        assert!(steps - passed <= 1, "{passed}: {text}");
    }

    #[test]
    fn strings_of_escapes_are_what_they_are_step_by_step() {
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for round in 0..20_000 {
            let some = 1 + random(PIECES.len());
            let mut pieces: Vec<&str> = (0..random(60)).map(|_| PIECES[random(some)]).collect();
            if round % 2 == 0 {
                pieces.insert(random(pieces.len() + 1), WRONG[random(WRONG.len())]);
            }
            agrees(&pieces.concat());
        }
    }

    #[test]
    fn a_mistake_is_found_at_whatever_place_of_a_window_it_stands() {
        for wrong in WRONG {
            for before in 0..140 {
                for escape in [r"\n", r"\u00e9", r"\ud834\udd1e"] {
                    let many = escape.repeat(before / escape.len());
                    let rest = "a".repeat(before % escape.len());
                    let string = format!("{many}{rest}{wrong}");
                    for string in [&string, &format!("{string}{}", r"\n".repeat(70))] {
                        let text = format!("\"{string}\"");
                        let fault = Cursor::new(&text).string().expect_err(&text);
                        assert!(
                            matches!(
                                fault.kind,
                                FaultKind::Escape
                                    | FaultKind::Surrogate
                                    | FaultKind::Control
                                    | FaultKind::End
                            ),
                            "{text}"
                        );
                        let known = serde_json::from_str::<String>(&text);
                        assert!(known.is_err(), "{text}");
                    }
                }
            }
        }
    }
}
