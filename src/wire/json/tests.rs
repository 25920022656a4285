use proptest::prelude::*;
use serde_json::Value;

use super::*;

mod numbers;

fn check(text: &str) -> Result<(), Fault> {
    let mut cursor = Cursor::new(text);
    cursor.skip()?;
    cursor.end()
}

/// The same text read by the typed calls instead of by `skip`.
fn rebuild(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    Ok(match cursor.peek()? {
        Type::Null => {
            cursor.null()?;
            Value::Null
        }
        Type::Bool => cursor.bool()?.into(),
        Type::Number => {
            let number = cursor.number()?;
            number.text().parse().map_or(Value::Null, Value::Number)
        }
        Type::String => cursor.string()?.cow().into_owned().into(),
        Type::Array => {
            cursor.array()?;
            let mut items = Vec::new();
            while cursor.element()? {
                items.push(rebuild(cursor)?);
            }
            items.into()
        }
        Type::Object => {
            cursor.object()?;
            let mut members = serde_json::Map::new();
            while let Some(key) = cursor.key()? {
                members.insert(key.cow().into_owned(), rebuild(cursor)?);
            }
            members.into()
        }
    })
}

fn agrees(text: &str) {
    let oracle: Result<Value, _> = serde_json::from_str(text);
    let ours = check(text);
    assert_eq!(
        ours.is_ok(),
        oracle.is_ok(),
        "{text:?}: {ours:?} {oracle:?}"
    );
    let mut cursor = Cursor::new(text);
    let read = rebuild(&mut cursor).and_then(|value| cursor.end().map(|()| value));
    assert_eq!(read.as_ref().err(), ours.as_ref().err(), "{text:?}");
    if let (Ok(read), Ok(oracle)) = (read, oracle) {
        assert_eq!(read, oracle, "{text:?}");
    }
}

/// Cases written from the grammar: what a parser must take, must refuse, and what we decide.
const CASES: &[&str] = &[
    "[]",
    "{}",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "\"\"",
    " \t\r\n[ ] \n",
    "[1,2]",
    "[[],[]]",
    "{\"a\":{}}",
    "{\"\":0}",
    "{\"a\" : 1 , \"b\":2}",
    "[null,true,false]",
    "1.5",
    "-1.5e-3",
    "1E+2",
    "1e05",
    "1e000000000000000000000000000000001",
    "12e-00000000000000000000000000000004",
    "1234.5e67",
    "12345.6789e-10",
    "0.5",
    "5.",
    "5.x",
    "5.1x",
    "5.123456789012345678",
    "1e1234567",
    "1e12345678",
    "1e123456789",
    "0e12345678",
    "1e",
    "12e",
    "12345e",
    "1e5x",
    "1e55x",
    "1e555x",
    "1e5",
    "1e55",
    "10e307",
    "0e1",
    "0.0",
    "-0.0",
    "123456789012345678901234567890",
    "1e308",
    "1e-400",
    "0e999999999999",
    "1.7976931348623157e308",
    "0.00000000000000000000000000000000000001e300",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0000\\u00e9\\uABCD\"",
    "\"\\ud834\\udd1e\"",
    "\"é\u{10FFFF}\u{7f}\"",
    "\"\u{2028}\u{2029}\"",
    "\"\\u0022\"",
    "[\"a\",\"b\"]",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\n\"",
    // refused
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1 2]",
    "[1,,2]",
    "[1]]",
    "[1}",
    "{]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\"::1}",
    "{\"a\":1}}",
    "{\"a\":1}{}",
    "[] []",
    "1 2",
    "nul",
    "nulll",
    "tru",
    "True",
    "fals",
    "falsey",
    "NaN",
    "Infinity",
    "-Infinity",
    "+1",
    "-",
    "--1",
    "- 1",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1.e1",
    "1e",
    "1e+",
    "1e-",
    "1ee1",
    "1e1.5",
    "0x1",
    "1_000",
    "1,",
    "1 a",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\",
    "\"\\u",
    "\"\\u1",
    "\"\\u12",
    "\"\\u123",
    "\"\\u123\"",
    "\"\\u123g\"",
    "\"\\x41\"",
    "\"\\'\"",
    "\"\\a\"",
    "\"\\U0041\"",
    "\"\n\"",
    "\"\t\"",
    "\"\u{0}\"",
    "\"\u{1f}\"",
    "\"\\ud800\"",
    "\"\\ud800a\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\ud800\"",
    "\"\\udc00\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud834\\u0041\"",
    "\"\\ud83",
    "\"\\ud834\\ud",
    "\u{feff}[]",
    "[]\u{feff}",
    "\u{a0}[]",
    "\u{c}[]",
    "\u{b}1",
    "/**/[]",
    "[]//",
    "[]#",
    "1e309",
    "-1e309",
    "1e99999999999999999999",
    "'a'",
    "a",
    "\u{0}",
    "[\u{0}]",
    "[]\u{0}",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\"",
];

#[test]
fn agrees_with_the_oracle_at_the_top_and_within() {
    for case in CASES {
        agrees(case);
        agrees(&format!("[{case}]"));
        agrees(&format!("{{\"x\":[1,{case}],\"y\":{case}}}"));
        agrees(&format!("{}{case}\n\n", " ".repeat(40)));
    }
}

#[test]
fn every_cut_of_a_text_is_refused() {
    let text = r#"{"a": [1.5e3, "x\u00e9\ud834\udd1ey", true, null, {"b": -0}], "c": false}"#;
    agrees(text);
    for end in 0..text.len() {
        assert!(check(&text[..end]).is_err(), "{}", &text[..end]);
        agrees(&text[..end]);
    }
}

#[test]
fn says_where_and_why() {
    for (text, at, kind) in [
        ("[1,]", 3, FaultKind::Syntax),
        ("[1", 2, FaultKind::End),
        ("[] x", 3, FaultKind::Trailing),
        ("[\"a\u{1}\"]", 3, FaultKind::Control),
        ("\"\\q\"", 1, FaultKind::Escape),
        ("\"a\\ud800\"", 2, FaultKind::Surrogate),
        ("[1e999]", 1, FaultKind::Range),
        ("[trux]", 4, FaultKind::Syntax),
    ] {
        assert_eq!(check(text), Err(Fault { at, kind }), "{text}");
    }
}

#[test]
fn depth_is_accepted_to_128_and_refused_beyond() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels| {
            let middle = if open == "[" { "" } else { "1" };
            format!("{}{middle}{}", open.repeat(levels), close.repeat(levels))
        };
        assert_eq!(check(&nested(128)), Ok(()));
        let refused = check(&nested(129)).expect_err("too deep");
        assert_eq!(refused.kind, FaultKind::TooDeep);
        let refused = check(&open.repeat(1_000_000)).expect_err("too deep");
        assert_eq!(refused.kind, FaultKind::TooDeep);
    }
    // Beside one another is not within one another.
    assert_eq!(check(&format!("[{}[]]", "[],".repeat(1000))), Ok(()));
}

#[test]
fn values_are_counted() {
    let text = "[1,{\"a\":[2,3]}]";
    let count = |budget| {
        let mut cursor = Cursor::with_budget(text, budget);
        cursor.skip().map(|_| cursor.budget())
    };
    assert_eq!(count(5), Ok(0));
    assert_eq!(count(9), Ok(4));
    assert_eq!(count(4).expect_err("one more").kind, FaultKind::TooMany);
}

#[test]
fn strings_compare_by_meaning() {
    let text = r#"["model", "m\u006fdel", "\ud834\udd1e", "model "]"#;
    let mut cursor = Cursor::new(text);
    cursor.array().expect("array");
    let mut strings = Vec::new();
    while cursor.element().expect("well formed") {
        strings.push(cursor.string().expect("string"));
    }
    assert_eq!(strings[0], *"model");
    assert_eq!(strings[1], *"model");
    assert_eq!(strings[0], strings[1]);
    assert_eq!(strings[2], *"\u{1d11e}");
    assert_ne!(strings[3], *"model");
    for string in &strings {
        let meaning = string.cow().into_owned();
        let mut buffer = [0; 16];
        assert_eq!(string.resolve(&mut buffer), Some(meaning.as_bytes()));
        let short = &mut buffer[..meaning.len() - 1];
        assert_eq!(string.resolve(short), None);
    }
    assert_eq!(&text[strings[1].range()], "m\\u006fdel");
    assert!(!format!("{:?}", strings[0]).contains("model"));
}

#[test]
fn blanks_of_any_number_stand_between_tokens() {
    let tokens = [
        "{", "\"a\"", ":", "[", "1", ",", "-2.5e3", ",", "\"\\n\"", ",", "[", "]", "]", "}",
    ];
    for blank in [" ", "\n", "\r\t", "\u{b}", "\0", "\u{a0}"] {
        for count in [0, 1, 2, 3, 15, 16, 17, 31, 33, 40] {
            for at in 0..=tokens.len() {
                let blanks = format!("{}{blank}", " ".repeat(count));
                agrees(&[&tokens[..at], &[&blanks], &tokens[at..]].concat().concat());
            }
        }
        agrees(&tokens.join(blank));
        agrees(&tokens.join(&blank.repeat(20)));
    }
}

#[test]
fn a_text_that_is_known_to_be_clean_is_read_alike() {
    for text in CASES
        .iter()
        .filter(|text| !text.bytes().any(|byte| byte < 0x20))
    {
        let mut cursor = Cursor::within(text.as_bytes(), 0, usize::MAX).clean();
        let found = cursor.skip().and_then(|_| cursor.end());
        assert_eq!(found, check(text), "{text:?}");
    }
}

#[test]
fn a_call_in_the_wrong_place_is_a_fault() {
    let mut cursor = Cursor::new("[1]");
    assert!(cursor.object().is_err());
    cursor.array().expect("array");
    assert!(cursor.key().is_err());
    assert!(Cursor::new("1").string().is_err());
    assert!(Cursor::new("x").bool().is_err());
    assert!(Cursor::new("\"").number().is_err());
}

#[test]
fn the_end_of_a_string_is_found_at_every_length() {
    for length in 0..200 {
        for special in ["\"", "\\n\"", "\\u0041\""] {
            for plain in ["x", "é"] {
                let text = format!("\"{}{special}", plain.repeat(length));
                agrees(&text);
                agrees(&format!("[{text}  ]"));
            }
        }
        let control = format!("\"{}\u{1f}{}\"", "x".repeat(length), "y".repeat(70));
        assert_eq!(
            check(&control),
            Err(Fault {
                at: 1 + length,
                kind: FaultKind::Control
            })
        );
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(value in json()) {
        agrees(&value.to_string());
        agrees(&serde_json::to_string_pretty(&value).expect("writes"));
    }

    #[test]
    fn a_resolved_string_is_what_the_oracle_means(text in "(\\\\[bfnrt\"/\\\\]|\\\\u[0-9a-cA-C][0-9a-fA-F]{3}|\\\\ud[89ab][0-9a-f]{2}\\\\ud[c-f][0-9a-f]{2}|[a-zé\u{1f600}]){0,12}") {
        let text = format!("\"{text}\"");
        let oracle: String = serde_json::from_str(&text).expect("a string");
        let string = Cursor::new(&text).string().expect("a string");
        let mut buffer = [0; 64];
        prop_assert_eq!(string.resolve(&mut buffer), Some(oracle.as_bytes()));
        prop_assert_eq!(string.cow(), oracle);
    }

    #[test]
    fn a_damaged_text_is_judged_alike(value in json(), at in any::<proptest::sample::Index>(), with in "[\\[\\]{}:,\"\\\\ue0-9 .-]") {
        let mut text = value.to_string();
        let mut at = at.index(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
        text.replace_range(at..end, &with);
        agrees(&text);
    }

    #[test]
    fn numbers_near_the_largest_are_judged_as_a_double_is(
        digits in "[0-9]{1,30}", point in "|\\.[0-9]{1,30}", power in 270..320i32, zeros in 0..60usize,
    ) {
        let digits = digits.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        let mut texts = vec![
            format!("{digits}{point}e{power}"),
            format!("0.{}{digits}e{}", "0".repeat(zeros), power + zeros as i32),
        ];
        if digits != "0" {
            texts.push(format!("{digits}{}{point}e{}", "0".repeat(zeros), power - zeros as i32));
        }
        for text in texts {
            let double: f64 = text.parse().expect("a number");
            prop_assert_eq!(check(&text).is_ok(), double.is_finite(), "{}", text);
        }
    }

    #[test]
    fn a_number_is_the_nearest_double(text in "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?") {
        let nearest: f64 = text.parse().expect("a number");
        if nearest.is_finite() {
            let number = Cursor::new(&text).number().expect("a number");
            prop_assert_eq!(number.as_f64().to_bits(), nearest.to_bits(), "{}", text);
        }
        agrees(&text);
        agrees(&format!("[{text},{text}]"));
    }

    #[test]
    fn noise_is_judged_alike(text in "[\\[\\]{}:,\"\\\\untrefalse0-9 .eE+-]{0,30}") {
        agrees(&text);
    }
}

#[test]
fn escapes_are_found_wherever_they_stand() {
    // What is plain, what is an escape and what ends, in every place of the blocks that are looked at.
    for length in 0..100 {
        for escape in [
            "\\n",
            "\\\"",
            "\\\\",
            "\\u00e4",
            "\\ud834\\udd1e",
            "\\\\\\\"",
            "\\x",
            "\\ud834",
            "\u{1}",
        ] {
            for behind in [0, 7, 31, 33, 64] {
                let (before, behind) = ("a".repeat(length), "b".repeat(behind));
                agrees(&format!("[\"\\n{before}{escape}{behind}{escape}\",1]"));
                agrees(&format!("\"{before}{escape}{behind}"));
            }
        }
    }
}
