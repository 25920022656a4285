//! Passing what small values are made of, a window of text at a time: a text may hold nothing else, and each
//! alone would cost more than its bytes.
//!
//! No byte waits for what another turned out to be: all of a window are sorted at once, a bit for each, and
//! what follows what is judged for all of them together.

use super::{
    Word,
    bits::{Bits, WINDOW},
    levels::{Levels, Marks, turned},
    words::{escaped, wrong_escapes, wrong_words},
};

/// Where less of a window is passed, its values are so long that one by one they are no dearer.
const ENOUGH: usize = 40;
/// Where the last comma of a window is nearer, more is passed up to a bracket.
const NEAR: usize = 52;
/// So many members and elements are passed one by one before the next are looked at together: honest texts
/// have hardly more.
const FEW: usize = 4;
/// So many where that did not help, as less than so many bytes were passed. A text may be made of what is
/// small but for just those that are looked at together.
const MANY: usize = 8;
const LONG: usize = 128;
/// Where a window has less commas, opening brackets, escapes and blanks, or no comma, one by one is no dearer.
const DENSE: u32 = 4;
/// In ASCII the brackets of objects are those of arrays with one more bit, and small letters capital ones.
const KIND: u8 = 0x20;

/// Where a member or an element is due behind a comma and can be paid for, passes those that are small, as
/// many as there are: the place where one is due then, or blanks before it, how much of the budget may be
/// spent until this is tried again, and the rest.
///
/// Only what ends with a comma or a bracket that opens within a window is passed, at whatever level.
#[inline(never)]
pub(super) fn pass<const CLEAN: bool>(
    text: &[u8],
    start: usize,
    mut levels: Levels,
    mut budget: usize,
) -> (usize, Levels, usize, usize) {
    let mut at = start;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let Some((length, count, behind)) = part::<CLEAN, 0>(window, levels) else {
            break;
        };
        if budget <= count {
            break;
        }
        budget -= count;
        at += length;
        levels = behind;
        if length < ENOUGH {
            break;
        }
    }
    let next = if at - start < LONG { MANY } else { FEW };
    let next = next.min(budget);
    (at, levels, next, budget - next)
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
) -> (usize, usize) {
    while let Some([b',', window @ ..]) = text
        .get(at..)
        .and_then(<[u8]>::first_chunk::<{ WINDOW + 1 }>)
    {
        let Some(window) = window.first_chunk() else {
            break;
        };
        let Some((length, count, _)) = part::<CLEAN, BEGINNINGS>(window, level) else {
            break;
        };
        if budget <= count {
            break;
        }
        budget -= count;
        at += length;
    }
    (at, budget)
}

/// The beginnings of at most four names: of each its first letter and its length.
pub(crate) const fn beginnings(names: &[Word]) -> u64 {
    assert!(names.len() <= 4);
    let (mut all, mut at) = (0, 0);
    while at < names.len() {
        let Word { low, high } = names[at];
        assert!(high == 0);
        let length = (64 - low.leading_zeros() as u64).div_ceil(8);
        all = all << 16 | length << 8 | low & 0xFF;
        at += 1;
    }
    all
}

/// The part of a window that is made of such values: its length, how many members and elements begin in
/// it or behind it, and the levels then. Where there are beginnings, it is what [`pass_level`] passes.
#[inline(always)]
fn part<const CLEAN: bool, const BEGINNINGS: u64>(
    window: &[u8; WINDOW],
    levels: Levels,
) -> Option<(usize, usize, Levels)> {
    let bits = Bits::new(window)?;
    let mut wrong = 0;

    let mut quotes = bits.is(b'"');
    let backslashes = bits.is(b'\\');
    if backslashes != 0 {
        let escaped = escaped(backslashes);
        quotes &= !escaped;
        wrong |= wrong_escapes(&bits, escaped).0;
    }
    // From an opening quote to before its closing one.
    let within = turned(quotes);
    let outside = !(within | quotes);

    let commas = bits.is(b',') & outside;
    let opens = bits.like(b'{', !KIND) & outside;
    // In a clean text a blank is nothing but a space.
    let mut blanks = bits.is(b' ') & outside;
    if !CLEAN {
        let controls = bits.like(0, 0xE0);
        wrong |= controls & within;
        if controls & outside != 0 {
            blanks |= (bits.is(b'\n') | bits.is(b'\r') | bits.is(b'\t')) & outside;
        }
    }
    let dear = commas | opens | backslashes | blanks & !(blanks << 1);
    if commas == 0 || dear.count_ones() < DENSE {
        return None;
    }
    let colons = bits.is(b':') & outside;
    let closes = bits.like(b'}', !KIND) & outside;
    let bare = outside & !(blanks | commas | colons | opens | closes);
    let starts = quotes & within | bare & !(bare << 1);
    let ends = quotes & !within | bare & !(bare >> 1);

    // What comes next behind blanks: a sum carries each bit over those that it stands before.
    let behind = |bits: u64| bits.wrapping_add(blanks) & !blanks;
    let empty = behind(opens << 1) & closes;
    wrong |= behind((commas | colons | opens) << 1 | 1) ^ (starts | opens | empty);
    wrong |= behind((ends | closes) << 1) ^ (commas | colons | closes & !empty);

    // Up to the last comma before what is wrong. The last bracket that opens what is not empty may do as well, but
    // is dearer, as it has no pair.
    let mut cut = commas & until(wrong);
    if cut >> NEAR == 0 {
        let full = opens & !((closes | blanks) >> 1 | 1 << (WINDOW - 1));
        cut = (commas | full) & until(wrong);
    }
    let before = |cut: u64| u64::MAX >> cut.leading_zeros();
    cut &= until(wrong_words(window, &bits, bare & before(cut | 1)));
    if cut == 0 {
        return None;
    }
    let mut range = before(cut);
    let objects = bits.like(KIND, KIND) & (opens | closes);
    let passed = loop {
        let marks = Marks {
            opens: opens & range,
            closes: closes & range,
            commas: commas & range >> 1,
            colons: colons & range,
            objects,
        };
        match levels.pass(marks) {
            Ok(passed) => break passed,
            // What encloses all of it ends there.
            Err(end) => {
                cut &= end;
                if cut == 0 {
                    return None;
                }
                range = before(cut);
            }
        }
    };
    if BEGINNINGS != 0 {
        let outermost = commas & passed.outermost & range;
        if outermost == 0 {
            return None;
        }
        range = before(outermost);
        let elements = behind((outermost & range >> 1) << 1 | 1);
        if !levels.is_object() && elements & !(opens & objects) != 0 {
            return None;
        }
    }
    // Keys are due behind these, and colons behind keys only.
    let first = u64::from(levels.is_object());
    let begins = (commas & passed.in_objects | opens & objects) & range >> 1;
    let keys = behind(begins << 1 | first) & !empty;
    let key_ends = keys.wrapping_add(within) & !within;
    let is_wrong = (behind(key_ends << 1) ^ colons) & range != 0 || keys & range & !quotes != 0;
    if is_wrong {
        return None;
    }
    if BEGINNINGS != 0
        && like_names::<BEGINNINGS>(&bits, keys & range, quotes & !within, within) != 0
    {
        return None;
    }
    let count = ((commas | opens) & range).count_ones() - (empty & range).count_ones();
    let length = WINDOW as u32 - range.leading_zeros();
    let levels = match BEGINNINGS {
        0 => passed.levels,
        _ => levels,
    };
    Some((length as usize, count as usize, levels))
}

/// Keys that may mean a name with one of the beginnings, by a bit somewhere: those of its length that begin with its
/// letter, or have an escape then, and those that begin with an escape of the letter.
#[inline(always)]
fn like_names<const BEGINNINGS: u64>(bits: &Bits, keys: u64, ends: u64, within: u64) -> u64 {
    let first = keys << 1;
    let backslashes = bits.is(b'\\');
    let plain = within & !backslashes;
    let escape = (first & backslashes) << 1 & bits.is(b'u');
    let digits = ((escape << 1 & bits.is(b'0')) << 1 & bits.is(b'0')) << 1;
    let mut alike = 0;
    let mut names = BEGINNINGS;
    // No loop, so that the compiler knows each letter.
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike |= like_name(bits, names as u16, first, ends, plain, digits);
    names >>= 16;
    alike | like_name(bits, names as u16, first, ends, plain, digits)
}

/// The same of one of them.
#[inline(always)]
fn like_name(bits: &Bits, name: u16, first: u64, ends: u64, plain: u64, digits: u64) -> u64 {
    let [letter, length] = name.to_le_bytes();
    if length == 0 {
        return 0;
    }
    let begins = first & bits.is(letter);
    let escaped = begins.wrapping_add(plain) & !plain & bits.is(b'\\');
    let low = b"0123456789abcdef"[usize::from(letter & 0xF)];
    let case = if low < b'a' { 0 } else { KIND };
    let by_number = (digits & bits.is(b'0' | letter >> 4)) << 1 & bits.like(low, !case);
    begins & ends >> length | escaped | by_number
}

/// All bits below the lowest.
#[inline(always)]
pub(super) fn until(bits: u64) -> u64 {
    (bits & bits.wrapping_neg()).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{Levels, pass};
    use crate::wire::json::{Cursor, Fault, FaultKind, Type};

    /// Members and elements one by one, none of them together with another.
    fn read(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        match cursor.peek()? {
            Type::Array => {
                cursor.array()?;
                while cursor.element()? {
                    read(cursor)?;
                }
            }
            Type::Object => {
                cursor.object()?;
                while cursor.key()?.is_some() {
                    read(cursor)?;
                }
            }
            _ => {
                cursor.skip()?;
            }
        }
        Ok(())
    }

    fn agrees(text: &str, entered: usize, budget: usize) {
        let mut start = Cursor::with_budget(text, budget);
        for _ in 0..entered {
            if start.array().and_then(|()| start.element()).is_err() {
                return;
            }
        }
        let clean = start.clone().clean();
        let is_clean = !text.bytes().any(|byte| byte < b' ');
        for start in [Some(start), is_clean.then_some(clean)]
            .into_iter()
            .flatten()
        {
            let mut passed = start.clone();
            let mut read_by_one = start;
            // Where the budget ends, one tells the place of a key and the other that behind the comma.
            let told = |fault: Fault| (fault.kind != FaultKind::TooMany).then_some(fault);
            let result = passed.skip().map(|_| ()).map_err(told);
            let by_one = read(&mut read_by_one).map_err(told);
            assert_eq!(result, by_one, "{text}");
            if result.is_ok() {
                let place = |cursor: &Cursor<'_>| (cursor.at(), cursor.budget());
                assert_eq!(place(&passed), place(&read_by_one), "{text}");
            }
        }
    }

    const ALIKE: [&str; 41] = [
        "1,",
        " 1 ,",
        "12 ,",
        "0,",
        "-1,",
        "1.5,",
        "1E+30,",
        "-0.25e-10 ,",
        "1e308,",
        "1e299,",
        "17e307,",
        "179e306,",
        "1797e305,",
        "1.79E+308 ,",
        "9e307,",
        "0e999,",
        "-0.00e0400,",
        "\"\",",
        "\"a\",",
        "\"\u{e9}\" , ",
        "\n\"b,c\"\t,",
        "\"[{,:\",",
        "\"\\n\",",
        "\"\\\\\",",
        "\"\\\"\",",
        "\"\\u00e9\",",
        "null,",
        "true,",
        "false ,",
        "[],",
        "[ ] ,",
        "{},",
        "[0],",
        "[[0],1],",
        "[[[\"x\"]]],",
        "[[[[[[[[[[[[1]]]]]]]]]]]],",
        "{\"\":0},",
        "{\"\":{\"\":{\"\":[]}}},",
        "{\"a\" : [1,2] , \"b\":{}},",
        "{\"\\n\":[{\"c\":[[]]}]},",
        "[{\"a\":[{\"a\":[{\"a\":[0]}]}]}],",
    ];
    const OTHERS: [&str; 90] = [
        "",
        "01,",
        "1 1,",
        "\"\"\"\",",
        ",",
        "\"\"1,",
        "1\"\",",
        "\"",
        "\\",
        "\"\\x\",",
        "]",
        "}",
        "[",
        "{",
        "[}",
        "{]",
        "\"\n\",",
        "\u{1}",
        "\u{b}1,",
        "\"a\":1,",
        ":",
        "\"a\":",
        "{\"a\"},",
        "{\"a\",1},",
        "{1:2},",
        "[\"a\":1],",
        "{\"a\":},",
        "{,},",
        "[,],",
        "[1,],",
        "{\"a\":1,},",
        "1]",
        "17976931348623157000000000000000000000,",
        "1e309,",
        "1.7e308,",
        "1.8e308,",
        "18e307,",
        "99e307,",
        "99e306,",
        "1.798e308,",
        "1798e305,",
        "17977e304,",
        "17976e304,",
        "999999999e299,",
        "9999999999e299,",
        "9e310,",
        "1e1000,",
        "0.1e309,",
        "0.01e311,",
        "0.017e310,",
        "1e0000000001,",
        "-1e-999999,",
        "99999999999999999999999999e299,",
        "                              ",
        "-,",
        "--1,",
        "+1,",
        "1.,",
        ".5,",
        "1.e5,",
        "1e,",
        "1e+,",
        "1e+-1,",
        "1.5.5,",
        "1e5e5,",
        "1e5.5,",
        "00.1,",
        "-01,",
        "nul,",
        "nulll,",
        "null1,",
        "truE,",
        "true false,",
        "1null,",
        "e,",
        "\"\\ud834\\udd1e\",",
        "\"\\ud834\",",
        "\"\\ud834\\ud834\",",
        "\"\\udd1e\\ud834\",",
        "\"\\ud834a\\udd1e\",",
        "\"\\uDBFF\\uE000\",",
        "\"\\uDabc\\uDeF0\",",
        "1797693134e299,",
        "17976931348623159e292,",
        "\"\\u12\",",
        "\"\\u00g0\",",
        "[[[[[[[[[[[[[[[[[[[[",
        "]]]]]]]]]]]]]]]]]]]]",
        "{\"\":",
        "\"A string that is longer than what is looked at together, so that it stands alone.\",",
    ];

    #[test]
    fn a_key_behind_what_is_passed_does_not_count() {
        let nest = r#"[[[[[[[[[[]]]]]]]]]],0,10000000000000000000,0,"\n",-1,{"k":1000}"#;
        let levels = Levels::new(false, 100);
        let (at, ..) = pass::<false>(nest.as_bytes(), 0, levels, 100);
        assert!(at > 40, "only {at} bytes of {}", nest.len());
    }

    #[test]
    fn values_passed_together_are_judged_as_one_by_one() {
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % below
        };
        for round in 0..4_000 {
            let levels = if round % 4 == 0 { next(130) } else { next(3) };
            let objects: Vec<bool> = (0..=levels).map(|_| next(3) == 0).collect();
            let is_object = objects[levels];
            // So deep the cursor stands before anything is passed.
            let entered = if round % 8 == 0 { next(129) } else { 0 };
            let (mut text, mut end) = ("[".repeat(entered), "]".repeat(entered));
            for (level, is_object) in objects.iter().enumerate() {
                let open = if level == levels { "{" } else { "{\"k\":" };
                text += if *is_object { open } else { "[" };
                end.insert(0, if *is_object { '}' } else { ']' });
            }
            let alike = [0; 3].map(|_| ALIKE[next(ALIKE.len())]);
            let other = next(100);
            for at in 0..80 {
                if at == other {
                    text += OTHERS[next(OTHERS.len())];
                    continue;
                }
                if is_object {
                    text += ["\"\":", "\"a\":", "\"bcd\" : ", " \"\\n\":"][next(4)];
                }
                text += match round % 3 {
                    0 => ALIKE[next(ALIKE.len())],
                    kinds => alike[next(2 * kinds - 1)],
                };
            }
            text += if is_object { "\"\":1" } else { "1" };
            text += &end;
            agrees(&text, entered, usize::MAX);
            agrees(&text, entered, entered + next(200));
        }
    }
}
