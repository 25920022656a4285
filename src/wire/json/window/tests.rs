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
    let few = start.clone().with_huge(budget % 8);
    // As if the value before had been dense, and a few behind it may be.
    let mut dense = start.clone();
    dense.dense = 1;
    let is_clean = !text.bytes().any(|byte| byte < b' ');
    let clean = [&start, &few].map(|start| is_clean.then_some(start.clone().clean()));
    for start in [start, few, dense]
        .into_iter()
        .chain(clean.into_iter().flatten())
    {
        let mut passed = start.clone();
        let mut read_by_one = start;
        // Where the budget ends, one tells the place of a key and the other that behind the comma.
        let told = |fault: Fault| (fault.kind != FaultKind::TooMany).then_some(fault);
        let result = passed.skip().map(|_| ()).map_err(told);
        let by_one = read(&mut read_by_one).map_err(told);
        assert_eq!(result, by_one, "{text}");
        if result.is_ok() {
            let place = |cursor: &Cursor<'_>| (cursor.at(), cursor.budget(), cursor.huge);
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
    let nest =
        r#"[[[[[[[[[[]]]]]]]]]],0,10000000000000000000,0,"\n",-1,{"k":1000},0,0,0,0,0,0,0,0,0"#;
    let levels = Levels::new(false, 100);
    let at = pass::<false>(nest.as_bytes(), 0, levels, 100, &mut 0).at;
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

#[test]
fn brackets_are_paired_wherever_a_window_ends() {
    let shallow = [
        "[],",
        "{},",
        "[0],",
        r#"{"":0},"#,
        "[ ] ,",
        r#"{"a":1,"b":"c"},"#,
    ];
    let deep = [
        "[[]],",
        r#"[{"":{}}],"#,
        r#"{"":[0,{}]},"#,
        r#"[[[[{"":[]}]]]],"#,
        "0,",
    ];
    for one in shallow {
        for other in shallow.iter().chain(&deep) {
            let elements = format!("{one}{other}").repeat(20);
            let members = format!(r#""k":{one}"":{other}"#).repeat(20);
            for before in 0..70 {
                let filled = format!("[0,\"{}\",{}", "x".repeat(before), "1,".repeat(20));
                for close in ["]", "}"] {
                    agrees(
                        &format!("{filled}[{elements}0{close},{elements}0]"),
                        0,
                        usize::MAX,
                    );
                    agrees(
                        &format!(r#"{filled}{{{members}"":0{close},0]"#),
                        0,
                        usize::MAX,
                    );
                }
            }
        }
    }
}

#[test]
fn where_a_window_ends_does_not_matter() {
    let text = concat!(
        r#"{"a":[1,-2.5e+10,"b\\\"\u0041\ud834\udd1e",true],"\n\u00e9":{"c":[[],{}],"#,
        r#""é":1.7976931348623157e308}},17976931e301,{"d":false,"e" : [ 0 , null ]},"#,
        r#"[[{"f":[{"g":"h"}]},0.1e309],[[[["i"]]]]],"日本",1234567890123456789012345678901234567890,"#,
    );
    for before in 0..80 {
        let filled = format!("[0,\"{}\",{}", "x".repeat(before), "1,".repeat(30));
        agrees(&format!("{filled}{text}{text}{text}0]"), 0, usize::MAX);
        for budget in 0..12 {
            agrees(
                &format!("{filled}{text}{text}0]"),
                0,
                10 * budget + before % 10,
            );
        }
        // What is wrong is told at the same place.
        for (at, _) in text.char_indices().skip(before % 17).step_by(17) {
            for other in ["", ",", "]", "}", "\"", ":", "\\", "x", "0", " ", "{", "["] {
                let (start, end) = text.split_at(at);
                let end = end.char_indices().nth(1).map_or("", |(at, _)| &end[at..]);
                agrees(
                    &format!("{filled}{text}{start}{other}{end}{text}0]"),
                    0,
                    usize::MAX,
                );
            }
        }
    }
}
