use super::*;
use crate::wire::json::{Fault, beginnings};

type Keys = Vec<(usize, Word)>;
/// Where reading ends, and what of each bound is left.
type Place = (usize, usize, u32);

fn place(cursor: &Cursor<'_>) -> Place {
    (cursor.at(), cursor.budget(), cursor.huge)
}

const BEGINNINGS: u64 = beginnings(&[Word::of(b"name")]);

fn is_wanted(key: Key<'_>) -> bool {
    key.word == Word::of(b"name")
}

/// All keys of an object, one by one, and where it ends.
fn read(mut cursor: Cursor<'_>) -> Result<(Keys, Place), Fault> {
    let mut keys = Vec::new();
    cursor.object()?;
    while let Some(key) = cursor.next_any_key()? {
        keys.push((key.string.start(), key.word));
        cursor.skip()?;
    }
    Ok((keys, place(&cursor)))
}

/// The same where those that nobody wants are passed together, and where only those that somebody wants are told.
fn pass(mut cursor: Cursor<'_>, tell: bool, most: bool) -> Result<(Keys, Place), Fault> {
    let mut keys = Vec::new();
    cursor.object()?;
    loop {
        let take = |key: Key<'_>| {
            let passed = !is_wanted(key);
            if passed && !most {
                keys.push((key.string.start(), key.word));
            }
            Ok::<_, Stop>(passed)
        };
        let unpassed = match most {
            false => cursor.pass_members(take)?,
            true => cursor.pass_most_members::<BEGINNINGS, _>(take)?,
        };
        let key = match unpassed.filter(|_| tell) {
            Some(unpassed) => {
                cursor.pass_key(&unpassed);
                Some(unpassed.key)
            }
            None => cursor.next_any_key()?,
        };
        let Some(key) = key else { break };
        if !most || is_wanted(key) {
            keys.push((key.string.start(), key.word));
        }
        cursor.skip()?;
    }
    Ok((keys, place(&cursor)))
}

/// The objects of an array, one by one, and how many were left to be.
fn objects(mut cursor: Cursor<'_>, together: bool) -> Result<(usize, Place), Fault> {
    let mut wanted = 0;
    cursor.array()?;
    while cursor.element()? {
        cursor.object()?;
        while let Some(key) = cursor.next_any_key()? {
            wanted += usize::from(is_wanted(key));
            cursor.skip()?;
        }
        if together {
            cursor.pass_objects::<BEGINNINGS>(|key| !is_wanted(key));
        }
    }
    Ok((wanted, place(&cursor)))
}

fn agrees(text: &str, budget: usize) {
    let cursor = Cursor::with_budget(text, budget);
    let mut cursors = vec![cursor.clone(), cursor.clone().with_huge(budget % 4)];
    if !text.bytes().any(|byte| byte < b' ') {
        cursors.push(cursor.clean());
    }
    for cursor in cursors {
        let mut alone = read(cursor.clone());
        for tell in [false, true] {
            assert_eq!(pass(cursor.clone(), tell, false), alone, "{text}");
        }
        if let Ok((keys, _)) = &mut alone {
            keys.retain(|(_, word)| *word == Word::of(b"name"));
        }
        assert_eq!(pass(cursor, true, true), alone, "{text}");
    }
    let many = [text, ","].concat().repeat(400 / (text.len() + 1));
    for list in [
        format!("[{{}},{many}{text}]"),
        format!("[{{}},{many}1]"),
        format!("[{{}},{text},{{\"a\":1}},{text}]"),
        format!("[ {{}} , {text} , {text}"),
    ] {
        let cursor = Cursor::with_budget(&list, budget);
        for cursor in [cursor.clone(), cursor.with_huge(budget % 8)] {
            let alone = objects(cursor.clone(), false);
            assert_eq!(objects(cursor, true), alone, "{list}");
        }
    }
}

#[test]
fn members_passed_together_are_judged_as_one_by_one() {
    let keys = [
        "\"\"",
        "\"a\"",
        "\"name\"",
        "\"n\\u0061me\"",
        "\"abcdefg\"",
        "\"abcdefgh\"",
        "\"abcdefghijklmno\"",
        "\"abcdefghijklmnop\"",
        "\"\\n\"",
        "\"abcdefghijklmno\\n\"",
        "\"abcdefghijklmnop, and longer, and then \\n\"",
        "\"\u{e9}\"",
        "\"\\ud834\\udd1e\"",
        "\"name\\u0000\"",
    ];
    let values = [
        "0",
        "12",
        "-1.5e3",
        "1e300",
        "-1.7976931348623157e+308",
        "\"\"",
        "\"a\"",
        "\"\\n\"",
        "\"\u{e9}\"",
        "[]",
        "{}",
        "[0,[1]]",
        "{\"name\":{}}",
        "true",
        "null",
    ];
    let wrong = [
        "\"",
        "\\",
        "}",
        "{",
        ",",
        ":",
        "01",
        "\"\\x\"",
        "\"\\ud834\"",
        "\u{1}",
        "\n",
        " ",
        "]",
        "",
    ];
    let blanks = ["", "", "", " ", "  ", "\n", "                   "];
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    for round in 0..6000 {
        let spaced = next(3) == 0;
        let mut tokens = vec!["{"];
        // Of many that are alike some may be passed together, as those before and behind others.
        let alike = [(); 2].map(|()| (keys[next(keys.len())], values[next(values.len())]));
        let many = next(8) == 0;
        for at in 0..if many { next(60) } else { next(9) } {
            if at > 0 {
                tokens.push(",");
            }
            let (key, value) = match next(if many { 24 } else { 1 }) {
                0 => (keys[next(keys.len())], values[next(values.len())]),
                which => alike[which % 2],
            };
            tokens.extend([key, ":", value]);
        }
        tokens.push("}");
        if round % 2 == 0 {
            let at = next(tokens.len());
            tokens[at] = wrong[next(wrong.len())];
        }
        let mut text = String::new();
        for token in tokens {
            text += token;
            if spaced {
                text += blanks[next(blanks.len())];
            }
        }
        // What follows decides how much is looked at together.
        text += &" ".repeat(next(20));
        agrees(&text, usize::MAX);
        agrees(&text, next(12));
        let cut = (0..next(text.len() + 1))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        agrees(&text[..cut.unwrap_or(0)], usize::MAX);
    }
}
