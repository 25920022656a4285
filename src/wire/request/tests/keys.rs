use super::*;

#[test]
fn unknown_keys_are_told_apart_however_many_long_and_spelled() {
    let key = |at: usize| {
        format!(
            "{at}{}",
            "abcdefghijklmnopqrstuvwxyz".get(..at % 20).unwrap_or("")
        )
    };
    for count in [1, 2, 6, 7, 8, 40, 255, 256] {
        let mut keys: Vec<String> = (0..count).map(key).collect();
        let text = |keys: &[String]| {
            let members: Vec<String> = keys.iter().map(|key| format!(r#""{key}":1"#)).collect();
            let members = members.join(",");
            format!(
                r#"{{"model":"m","messages":[{{"role":"user",{members},"content":"x"}}],"x":{{}},"y":[]}}"#
            )
        };
        let good = text(&keys);
        let request = Request::read(good.as_bytes()).expect(&good);
        assert_eq!(request.unknown().count(), count + 2);
        for of in [0, count / 2, count - 1] {
            // Each once more, in its own spelling and in another.
            let first = keys[of].as_bytes()[0];
            for again in [
                keys[of].clone(),
                format!("\\u{:04x}{}", first, &keys[of][1..]),
            ] {
                keys.push(again);
                let bad = text(&keys);
                let found = Request::read(bad.as_bytes()).expect_err("twice");
                let at = bad.rfind(&format!("\"{}\":1", keys[count])).expect("there") + 1;
                let wanted = if count == MAX_MEMBERS {
                    Unreadable::TooManyMembers
                } else {
                    Unreadable::Duplicate(at)
                };
                assert_eq!(found, wanted, "{count} {of}");
                keys.pop();
            }
        }
    }
    // Objects within one another keep theirs apart.
    let nested = r#"{"model":"m","messages":[{"a":1,"b":2,"content":[{"a":1,"type":"text","text":"x","b":3}],"role":"user","c":3}],"a":0,"b":1}"#;
    let none: [String; 0] = [];
    assert_eq!(faults(nested), none);
    let twice = nested.replace(r#""c":3"#, r#""a":3"#);
    assert!(matches!(
        Request::read(twice.as_bytes()),
        Err(Unreadable::Duplicate(_))
    ));
}

#[test]
fn every_name_is_found_in_every_spelling() {
    for name in Name::ALL {
        let plain = name.as_str();
        let first = format!("\\u{:04x}{}", plain.as_bytes()[0], &plain[1..]);
        for key in [plain, &first] {
            for (before, behind) in [
                ("{", "}"),
                ("{ ", " }"),
                (r#"{"x":1,"#, r#","y":"a long one"}"#),
            ] {
                let text = format!(r#"{before}"{key}": null{behind}"#);
                let request = Request::read(text.as_bytes()).expect("readable");
                let member = request.member(*name).unwrap_or_else(|| panic!("{text}"));
                assert!(member.is_null && !request.has(*name), "{text}");
                let twice = format!(r#"{before}"{plain}":null,"{key}":null{behind}"#);
                assert!(
                    matches!(
                        Request::read(twice.as_bytes()),
                        Err(Unreadable::Duplicate(_))
                    ),
                    "{twice}"
                );
            }
        }
        for key in [
            &plain[1..],
            &format!("{plain}x"),
            &format!(r"{plain}\u0000"),
        ] {
            let text = format!(r#"{{"{key}":null}}"#);
            let request = Request::read(text.as_bytes()).expect("readable");
            let found = Name::find(key);
            assert_eq!(request.members().next().expect("one").name, found, "{text}");
        }
    }
}

#[test]
fn long_keys_are_told_apart_wherever_they_have_an_escape() {
    let alphabet: String = ('a'..='z').cycle().take(120).collect();
    let is_twice = |one: &str, other: &str| {
        let text = format!(
            r#"{{"model":"m","messages":[{{"role":"user","{one}":1,"b":2,"{other}":3,"content":""}}]}}"#
        );
        matches!(
            Request::read(text.as_bytes()),
            Err(Unreadable::Duplicate(_))
        )
    };
    for length in [1, 7, 8, 9, 14, 15, 16, 17, 23, 24, 25, 63, 64, 65, 120] {
        let plain = &alphabet[alphabet.len() - length..];
        for at in 0..length {
            let (before, behind) = (&plain[..at], &plain[at + 1..]);
            let escape = format!("\\u{:04x}", plain.as_bytes()[at]);
            let same = format!("{before}{escape}{behind}");
            assert!(is_twice(plain, &same) && is_twice(&same, plain), "{same}");
            for other in ["\\n", "\\u00e4", "\\ud834\\udd1e", "\\u0000", "A"] {
                let other = format!("{before}{other}{behind}");
                assert!(!is_twice(plain, &other), "{other}");
                assert!(is_twice(&other, &other), "{other}");
            }
        }
    }
}

#[test]
fn many_biases_are_told_apart_however_they_are_spelled() {
    let text = |biases: &[String]| {
        let biases = biases.join(",");
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"logit_bias":{{{biases}}}}}"#
        )
    };
    let values = ["1", "1.0", "-1e1", "0e9", "100e-1", "-10.00e+0", " 1 "];
    let key = |at: usize| match at % 7 {
        0 => format!(r#" "{at}" "#),
        1 => format!(r#""\u0030{at}""#),
        2 => format!(r#""{at:016}""#),
        _ => format!(r#""{at}""#),
    };
    let bias = |at: usize| format!("{}:{}", key(at), values[at % values.len()]);
    let biases: Vec<String> = (0..1000).map(bias).collect();
    let request = Request::read(text(&biases).as_bytes()).expect("readable");
    assert_eq!(request.fault_count(), 0);
    for (at, spelled) in [
        (3, "3"),
        (500, "\\u0035\\u0030\\u0030"),
        (7 * 100, "70\\u0030"),
        (7 * 100 + 1, "0701"),
        (7 * 100 + 2, "\\u0030000000000000702"),
    ] {
        let mut biases = biases.clone();
        biases.push(format!(r#""{spelled}":1"#));
        let text = text(&biases);
        let found = Request::read(text.as_bytes()).expect_err(spelled);
        let place = text.rfind(spelled).expect("the key");
        assert!(
            matches!(found, Unreadable::Duplicate(key) if key == place),
            "{at}: {found:?}"
        );
    }
    for (wrong, faults) in [
        (r#""x":1"#, 1),
        (r#""7000":1.5"#, 1),
        (r#""7000":101"#, 1),
        (r#""7000":1e3"#, 1),
        (r#""":"1""#, 2),
    ] {
        let mut biases = biases.clone();
        biases.insert(500, wrong.to_owned());
        let request = Request::read(text(&biases).as_bytes()).expect("readable");
        assert_eq!(request.fault_count(), faults, "{wrong}");
    }
}

#[test]
fn what_names_an_allowed_tool_stands_in_it_once_and_anything_else_as_often_as_it_likes() {
    let read = |kind: &str, tool: &str| {
        let text = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"f"}}}}],"tool_choice":{{"type":"{kind}","function":{{"name":"f"}},"allowed_tools":{{"mode":"auto","tools":[{{}},{tool},{{}}]}}}}}}"#
        );
        Request::read(text.as_bytes())
            .map(|request| (request.fault_count(), request.unknown().count()))
    };
    let escaped = |key: &str| format!("\\u{:04x}{}", key.as_bytes()[0], &key[1..]);
    let fill = |count: usize| {
        let keys: Vec<String> = (0..count)
            .map(|at| format!(r#""a{}":[{at}]"#, at % 9))
            .collect();
        keys.join(",")
    };
    for kind in ["function", "allowed_tools"] {
        for tool in [
            format!("{{{}}}", fill(1000)),
            r#"{"":0,"":0}"#.to_owned(),
            r#"{"a":0,"b":{"name":1,"name":2},"\u0061":{},"type":[{"type":0,"type":1}]}"#
                .to_owned(),
            format!(
                r#"{{{},"type":"function",{},"function":{{{},"name":"f",{}}}}}"#,
                fill(2),
                fill(30),
                fill(9),
                fill(9)
            ),
            r#"{"function":{"name":0,"type":1,"type":2},"custom":{"name":"","a":0,"a":0}}"#
                .to_owned(),
            r#"{"function":[{"name":0,"name":0}],"custom":null,"name":{"name":0,"name":0}}"#
                .to_owned(),
        ] {
            assert_eq!(read(kind, &tool), Ok((0, 0)), "{kind} {tool}");
        }
        for key in ["type", "name", "function", "custom"] {
            let again = escaped(key);
            for (first, second) in [
                (key, key),
                (key, &*again),
                (&*again, key),
                (&*again, &*again),
            ] {
                for (before, between) in [(0, 0), (1, 3), (10, 0), (0, 10)] {
                    let list = |count: usize| {
                        if count == 0 {
                            String::new()
                        } else {
                            fill(count) + ","
                        }
                    };
                    let (before, between) = (list(before), list(between));
                    let twice = format!(r#"{before}"{first}":0,{between}"{second}" :{{}}"#);
                    let mut tools = vec![format!("{{{twice}}}"), format!("{{ {twice} }}")];
                    if key == "name" {
                        tools.push(format!(r#"{{"function":{{{twice}}}}}"#));
                        tools.push(format!(r#"{{"type":0,"c\u0075stom" : {{{twice}}}}}"#));
                    }
                    for tool in tools {
                        let found = read(kind, &tool);
                        assert!(matches!(found, Err(Unreadable::Duplicate(_))), "{tool}");
                    }
                }
            }
        }
    }
}
