//! Texts of 100 KB: honest ones, and such as are made to be slow.

#[path = "honest.rs"]
mod honest;

use bytes::Bytes;

pub(crate) use honest::honest;

/// Tools until the text has 100 KB: dense JSON as honest clients send it.
pub(crate) fn dense() -> Bytes {
    let tool = r#"{"type":"function","function":{"name":"f","description":"Looks something up.","parameters":{"type":"object","required":["query"],"properties":{"query":{"type":"string","description":"What to look for"},"limit":{"type":"integer","minimum":1,"maximum":50}}}}}"#;
    let tools = vec![tool; 100_000 / tool.len()].join(",");
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{tools}]}}"#)
        .into()
}

/// A conversation of short turns until the text has 100 KB: dense too, and honest.
pub(crate) fn turns() -> Bytes {
    let turns = r#"{"role":"user","content":"And in winter?"},{"role":"assistant","content":"Colder, and darker too."}"#;
    let turns = vec![turns; 100_000 / turns.len()].join(",");
    format!(r#"{{"model":"m","messages":[{turns}]}}"#).into()
}

/// What an agent sends: calls of tools and their answers, whose JSON stands in strings.
pub(crate) fn agent() -> Bytes {
    let turn = |at: usize| {
        format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{at:024x}","type":"function","function":{{"name":"get_weather","arguments":"{{\"city\":\"Lima\",\"unit\":\"celsius\",\"days\":{}}}"}}}}]}},{{"role":"tool","tool_call_id":"call_{at:024x}","content":"{{\"temp\":{},\"sky\":\"clear\",\"wind\":[{},4]}}"}}"#,
            at % 9,
            at % 40,
            at % 7,
        )
    };
    let turns: Vec<String> = (0..100_000 / turn(0).len()).map(turn).collect();
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{}]}}"#,
        turns.join(",")
    )
    .into()
}

/// Pieces in no order that could be foreseen, of so many bytes.
pub(crate) fn in_no_order(pieces: &[&str], bytes: usize) -> String {
    let (mut text, mut random) = (String::new(), 1_u64);
    while text.len() < bytes {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text += pieces[(random >> 33) as usize % pieces.len()];
    }
    text
}

/// The smallest values of each kind.
const SMALL: &[&str] = &[
    "1",
    r#""""#,
    "[]",
    "{}",
    "null",
    r#"{"":0}"#,
    "[0]",
    "-1",
    "1.5",
    "1e5",
    " 1 ",
    r#""\n""#,
    r#""abc""#,
];

/// Texts of 100 KB that are made to be slow.
pub(crate) fn hostile() -> Vec<(&'static str, Bytes)> {
    let fill = |piece: &str, close: &str| {
        let pieces = piece.repeat((100_000 / piece.len()).max(1));
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":[{pieces}{close}]}}"#
        )
    };
    let mixed = |pieces: &[&str]| Bytes::from(fill(&in_no_order(pieces, 100_000), "1"));
    let named = |piece: &str| {
        let pieces = piece.repeat(100_000 / piece.len());
        Bytes::from(fill(&format!(r#"{{{pieces}"":0}},"#), "1"))
    };
    let keys = |from: usize, to: usize| {
        let keys: Vec<String> = (from..to).map(|at| format!(r#""k{at}":1"#)).collect();
        keys.join(",")
    };
    let message = format!(r#"{{"role":"user","content":"x",{}}}"#, keys(0, 200));
    let messages = vec![message.as_str(); 100_000 / message.len()].join(",");
    let escaped = r#"{"role":"user","content":"x","\u0061":1,"\u0062":2,"\u0063":3,"\u0064":4}"#;
    let escaped = vec![escaped; 100_000 / escaped.len()].join(",");
    let image = r#"{"image_url":{"url":""},"type":"image_url"}"#;
    let images = vec![image; 100_000 / image.len()].join(",");
    let part = r#"{"text":"Tell me more about that.","x":[{},{},{}],"type":"text"}"#;
    let parts = vec![part; 100_000 / part.len()].join(",");
    let list = |piece: &str, open: &str, close: &str| {
        let pieces = vec![piece; 100_000 / piece.len()].join(",");
        Bytes::from(format!(
            r#"{{"model":"m","messages":[{open}{pieces}{close}"#
        ))
    };
    let nest = format!("{}{},", "[".repeat(120), "]".repeat(120));
    let long = r#"{"role":"user","content":"x","abcdefghijklmno\n":1,"abcdefghijklmno\t":2}"#;
    let biases = |value: &str| {
        let biases: Vec<String> = (0..4096).map(|at| format!(r#""{at}":{value}"#)).collect();
        Bytes::from(format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"logit_bias":{{{}}}}}"#,
            biases.join(",")
        ))
    };
    let long_biases: Vec<String> = (0..3700)
        .map(|at| format!(r#""\u0030{at:018}":1"#))
        .collect();
    let allowed = |tool: &str| {
        list(
            tool,
            r#"{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"},"allowed_tools":{"mode":"auto","tools":["#,
            "]}}}",
        )
    };
    let parts_of = |keys: &str, count: usize| {
        let keys: Vec<String> = (0..count).map(|at| format!(r#""{keys}{at}":0"#)).collect();
        let part = format!(r#"{{{},"text":"","type":"text"}}"#, keys.join(","));
        list(&part, r#"{"role":"user","content":["#, "]}]}")
    };
    // So few strings in each of many, that each is passed alone.
    let few = |open: &str, count: usize, close: &str, (before, behind): (&str, &str)| {
        let each = |kinds: usize| {
            let kind = |at: usize| [r#""\\\"""#, r#""\né\u12ab""#][kinds >> at & 1];
            let strings: Vec<&str> = (0..count).map(kind).collect();
            format!("{open}{}{close}", strings.join(","))
        };
        let each: Vec<String> = (0..1 << count).map(each).collect();
        let each: Vec<&str> = each.iter().map(String::as_str).collect();
        let text = in_no_order(&each, 100_000);
        Bytes::from(format!(
            r#"{{"model":"m","messages":[{before}{text}{behind}"#
        ))
    };
    // As many small values in each of many tools as are passed one by one before any are looked at together.
    let mut random = 1_u64;
    let mut value = |_| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        SMALL[(random >> 33) as usize % SMALL.len()]
    };
    let tools: Vec<String> = (0..770)
        .map(|_| {
            let values = [0; 16].map(&mut value).join(",");
            format!(
                r#"{{"type":"function","function":{{"name":"f","parameters":{{"x":[{values}]}}}}}}"#
            )
        })
        .collect();
    let sixteen = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{}]}}"#,
        tools.join(",")
    );
    // A model's name of such pieces, or an unknown key.
    let spelled = |pieces: &[&str], open: &str, close: &str| {
        let user = r#"{"role":"user","content":"x"}]"#;
        let text = in_no_order(pieces, 100_000);
        Bytes::from(format!(r#"{{"messages":[{user},{open}{text}{close}}}"#))
    };
    const SPELLED: &[&str] = &[
        r"\u00e9", r"\u20ac", r"\u0041", r"\n", r"\\", "a", "bcd", "\u{e9}",
    ];
    let name = in_no_order(SPELLED, 300);
    let call =
        format!(r#"{{"id":"{name}","type":"function","function":{{"name":"f","arguments":""}}}}"#);
    let values: Vec<String> = (0..200)
        .map(|at| format!(r#""{at}":"{name}{name}""#))
        .collect();
    // Of lengths that cannot be foreseen either.
    let pieces: Vec<String> = (0..24).map(|at| in_no_order(SPELLED, 8 * at + 1)).collect();
    let strings: Vec<String> = pieces
        .iter()
        .map(|piece| format!(r#""{piece}","#))
        .collect();
    let names: Vec<String> = pieces
        .iter()
        .map(|piece| format!(r#""{piece}":0,"#))
        .collect();
    let some = |all: &[String], bytes| {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        in_no_order(&all, bytes)
    };
    let (strings, names) = (some(&strings, 1000), some(&names, 100_000));
    let zeros = "0".repeat(100_000);
    let user = r#"{"role":"user","content":"x"}]"#;
    vec![
        ("ones", fill("1,", "1").into()),
        ("blanks", fill(" 1 ,", "1").into()),
        ("nests", fill(&nest, "1").into()),
        ("members", fill(r#"{"":0},"#, "1").into()),
        ("limits", fill("17e307,", "1").into()),
        ("accents", fill("\"\u{e9}\",", "1").into()),
        ("no_tools", list("0", &format!(r#"{user},"tools":["#), "]}")),
        ("no_messages", list("{}", "", "]}")),
        ("no_roles", list(r#"{"":0}"#, "", "]}")),
        (
            "no_files",
            list(
                r#"{"file":0,"refusal":0}"#,
                r#"{"role":"user","content":["#,
                "]}]}",
            ),
        ),
        (
            "spaced",
            list(r#"{ "role" : "user" , "content" : "x" }"#, "", "]}"),
        ),
        ("keys_long", list(long, "", "]}")),
        ("biases", biases("1e1")),
        ("biases_pointed", biases("1.0")),
        ("blanks_wide", fill("  1  ,", "1").into()),
        ("empty", fill(r#""","#, "1").into()),
        (
            "allowed",
            list(
                r#"{"":0}"#,
                &format!(
                    r#"{user},"tools":[{{"type":"function","function":{{"name":"f"}}}}],"tool_choice":{{"type":"function","function":{{"name":"f"}},"allowed_tools":{{"mode":"auto","tools":["#
                ),
                "]}}}",
            ),
        ),
        (
            "meaning_accents",
            format!(
                r#"{{"messages":[{user},"model":"{}"}}"#,
                r"\u00e9a".repeat(14_000)
            )
            .into(),
        ),
        (
            "meaning",
            format!(
                r#"{{"messages":[{user},"model":"{}"}}"#,
                r"\u0041\n".repeat(12_500)
            )
            .into(),
        ),
        (
            "integer",
            format!(r#"{{"model":"m","messages":[{user},"max_tokens":0.{zeros}1e100001}}"#).into(),
        ),
        // What nobody reads, of the dearest of each sort.
        ("pairs", fill("[[0],[0]],", "1").into()),
        ("objects", fill(r#"{"":{"":0}},"#, "1").into()),
        ("objects_spaced", fill(r#"{ "" : 0 },"#, "1").into()),
        ("names", named(r#""":"","#)),
        ("signs_spaced", fill("   -1   ,", "1").into()),
        ("literals", fill("false,", "1").into()),
        ("limits_of_three", fill("179e305,", "1").into()),
        ("limits_of_four", fill("0.1e309,", "1").into()),
        (
            "pairs_and_limits",
            fill(r#"["\ud834\udd1e"],179e306,"#, "1").into(),
        ),
        (
            "mixed_small",
            mixed(&["1,", r#""","#, "[],", "{},", "null,"]),
        ),
        (
            "mixed_nests",
            mixed(&[r#"{"":0},"#, r#"[{"":[0]}],"#, "[[[0]]],", "[[0],[0]],"]),
        ),
        (
            "mixed_all",
            mixed(&[
                "1,",
                r#""","#,
                "[],",
                "{},",
                "null,",
                r#"{"":0},"#,
                "[0],",
                "-1,",
                "1.5,",
                "1e5,",
                " 1 ,",
                r#""\n","#,
                r#""abc","#,
                r#"{"a":1,"b":[]},"#,
            ]),
        ),
        ("brackets", fill("[],", "1").into()),
        ("numbers", fill("1e308,", "1").into()),
        ("exponents", fill("-1e-308,", "1").into()),
        ("digits", fill("17976931348623157,", "1").into()),
        ("escapes", fill(r#""\ud834\udd1e","#, "1").into()),
        ("spaces", fill(" ", "1").into()),
        (
            "keys_in_one",
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"x",{}}}]}}"#,
                keys(0, 10_000)
            )
            .into(),
        ),
        (
            "keys_in_many",
            format!(r#"{{"model":"m","messages":[{messages}]}}"#).into(),
        ),
        (
            "keys_escaped",
            format!(r#"{{"model":"m","messages":[{escaped}]}}"#).into(),
        ),
        (
            "images_last",
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{images}]}}]}}"#)
                .into(),
        ),
        ("allowed_escaped", allowed(r#"{"\u0061":0,"\n":0}"#)),
        ("allowed_nested", allowed(r#"{"":[0]}"#)),
        ("allowed_empty", allowed("{  }")),
        ("allowed_alike", allowed(r#"{"\u0074":0}"#)),
        (
            "allowed_doubled",
            allowed(&format!("{{{}}}", vec![r#""\n":0"#; 2000].join(","))),
        ),
        (
            "biases_long",
            format!(
                r#"{{"model":"m","messages":[{user},"logit_bias":{{{}}}}}"#,
                long_biases.join(",")
            )
            .into(),
        ),
        (
            "key_in_turns",
            format!(
                r#"{{"model":"m","messages":[{user},"{}":0}}"#,
                r"a\n".repeat(33_000)
            )
            .into(),
        ),
        (
            "meaning_turns",
            format!(
                r#"{{"messages":[{user},"model":"{}"}}"#,
                "\u{e9}\\n".repeat(25_000)
            )
            .into(),
        ),
        ("meaning_mixed", spelled(SPELLED, r#""model":""#, r#"""#)),
        ("key_mixed", spelled(SPELLED, r#""model":"m",""#, r#"":0"#)),
        (
            "key_of_runs",
            spelled(
                &[r"\n", r"a\n", r"ab\n", r"abc\n", r"abcd\n"],
                r#""model":"m",""#,
                r#"":0"#,
            ),
        ),
        // Known keys and words, ids and values, spelled by escapes.
        (
            "keys_known",
            list(
                r#"{"\u0072\u006f\u006c\u0065":"user","\u0063\u006f\u006e\u0074\u0065\u006e\u0074":"x"}"#,
                "",
                "]}",
            ),
        ),
        (
            "words_escaped",
            list(
                r#"{"role":"\u0075\u0073\u0065\u0072","content":"x"}"#,
                "",
                "]}",
            ),
        ),
        (
            "ids_escaped",
            list(&call, r#"{"role":"assistant","tool_calls":["#, "]}]}"),
        ),
        (
            "metadata_escaped",
            format!(
                r#"{{"model":"m","messages":[{user},"metadata":{{{}}}}}"#,
                values.join(",")
            )
            .into(),
        ),
        (
            "content_mixed",
            spelled(SPELLED, r#""model":"m","stop":""#, r#"""#),
        ),
        ("strings_mixed", fill(&strings, "1").into()),
        (
            "names_mixed",
            fill(&format!(r#"{{{names}"":0}},"#), "1").into(),
        ),
        (
            "urls_mixed",
            list(
                &format!(r#"{{"type":"image_url","image_url":{{"url":"{name}"}}}}"#),
                r#"{"role":"user","content":["#,
                "]}]}",
            ),
        ),
        (
            "nests_of_objects",
            fill(
                &format!("{}0{},", r#"{"":"#.repeat(100), "}".repeat(100)),
                "1",
            )
            .into(),
        ),
        (
            "limits_mixed",
            mixed(&[
                "17e307,",
                "0.1e309,",
                "179e305,",
                "1e308,",
                "1.7e308,",
                "0.00017e312,",
                "1797e304,",
                "-1e-308,",
                "3e2,",
            ]),
        ),
        (
            "largest",
            fill(r#"true,1.7976931348623157e308,"aé\n",[[0]],"#, "1").into(),
        ),
        ("largest_of_eight", fill(r#"17976931e301,"#, "1").into()),
        (
            "nests_and_largest",
            fill(
                r#"0,1.7976931348623157e308,0,"\n",-1,{"é":1e308},[[0]],[[[[[[[[[[]]]]]]]]]],"#,
                "1",
            )
            .into(),
        ),
        (
            "members_and_largest",
            named(r#""é":1.7976931348623157e308,"\u0041":[[0]],"#),
        ),
        (
            "tools_of_few",
            few(
                r#"{"type":"function","function":{"name":"f","parameters":{"x":["#,
                6,
                "]}}},",
                (
                    r#"{"role":"user","content":"x"}],"tools":["#,
                    r#"{"type":"function","function":{"name":"g"}}]}"#,
                ),
            ),
        ),
        (
            "messages_of_few",
            few(
                r#"{"role":"user","content":"x","k":["#,
                3,
                "]},",
                ("", r#"{"role":"user","content":"x"}]}"#),
            ),
        ),
        (
            "parts_of_escapes",
            list(
                &format!(r#"{{"type":"text","text":"{}"}}"#, r"\n".repeat(12)),
                r#"{"role":"user","content":["#,
                "]}]}",
            ),
        ),
        ("tools_of_sixteen", sixteen.into()),
        ("keys_of_parts", parts_of(r"\n", 7)),
        ("keys_of_parts_long", parts_of(r"abcdefghijklmno\n", 250)),
        (
            "types_last",
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#).into(),
        ),
    ]
}
