#![allow(missing_docs)]

mod support;

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_completions::{parse::Chat, wire::request::Request};

/// A plain typed struct, as an application would write it that checks nothing but types.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Typed {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    tools: Option<Vec<Tool>>,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Lean {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Message {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "what is measured is the reading")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(dead_code, reason = "what is measured is the reading")]
enum Part {
    Text { text: String },
    ImageUrl { image_url: Image },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Image {
    url: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Tool {
    r#type: String,
    function: Function,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is measured is the reading")]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

fn requests() -> Vec<(&'static str, Bytes)> {
    let small = json!({
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France? Answer in one word."},
        ],
        "temperature": 0.7, "max_tokens": 64, "stream": true,
    });
    let turn =
        "Tell me more about that.\nIn \"plain\" words, please, and with an example. ".repeat(14);
    let turns: Vec<Value> = (0..100)
        .map(|at| json!({"role": if at % 2 == 0 {"user"} else {"assistant"}, "content": turn}))
        .collect();
    let image = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgoAAAANSUhEUg".repeat(5_000_000 / 22)
    );
    let tool = |at: usize| {
        json!({"type": "function", "function": {
            "name": format!("tool_{at}"), "description": "Looks something up and says what it found.",
            "parameters": {"type": "object", "required": ["query"], "properties": {
                "query": {"type": "string", "description": "What to look for"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "order": {"type": "string", "enum": ["newest", "oldest", "best"]},
            }},
        }})
    };
    let tools: Vec<Value> = (0..50).map(tool).collect();
    let bytes = |value: &Value| Bytes::from(value.to_string());
    vec![
        ("small", bytes(&small)),
        (
            "conversation_100k",
            bytes(&json!({"model": "m", "messages": turns})),
        ),
        (
            "image_5m",
            bytes(
                &json!({"model": "m", "messages": [{"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": image}},
                ]}]}),
            ),
        ),
        (
            "tools_50",
            bytes(
                &json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}),
            ),
        ),
    ]
}

/// Tools until the text has 100 KB: dense JSON as honest clients send it.
fn dense() -> Bytes {
    let tool = r#"{"type":"function","function":{"name":"f","description":"Looks something up.","parameters":{"type":"object","required":["query"],"properties":{"query":{"type":"string","description":"What to look for"},"limit":{"type":"integer","minimum":1,"maximum":50}}}}}"#;
    let tools = vec![tool; 100_000 / tool.len()].join(",");
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{tools}]}}"#)
        .into()
}

/// A conversation of short turns until the text has 100 KB: dense too, and honest.
fn turns() -> Bytes {
    let turns = r#"{"role":"user","content":"And in winter?"},{"role":"assistant","content":"Colder, and darker too."}"#;
    let turns = vec![turns; 100_000 / turns.len()].join(",");
    format!(r#"{{"model":"m","messages":[{turns}]}}"#).into()
}

/// What an agent sends: calls of tools and their answers, whose JSON stands in strings.
fn agent() -> Bytes {
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
fn in_no_order(pieces: &[&str], bytes: usize) -> String {
    let (mut text, mut random) = (String::new(), 1_u64);
    while text.len() < bytes {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text += pieces[(random >> 33) as usize % pieces.len()];
    }
    text
}

/// Texts of 100 KB that are made to be slow.
fn hostile() -> Vec<(&'static str, Bytes)> {
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
        ("keys_of_parts", parts_of(r"\n", 7)),
        ("keys_of_parts_long", parts_of(r"abcdefghijklmno\n", 250)),
        (
            "types_last",
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#).into(),
        ),
    ]
}

fn main() {
    support::main(|bench| {
        for (name, body) in requests() {
            bench.bytes = Some(body.len() as u64);
            bench.case(&format!("{name}/wire"), || Request::read(&body).is_ok());
            bench.case(&format!("{name}/chat"), || {
                Chat::parse(body.clone()).is_ok()
            });
            bench.case(&format!("{name}/typed"), || {
                serde_json::from_slice::<Lean>(&body).is_ok()
            });
            bench.case(&format!("{name}/typed_rest"), || {
                serde_json::from_slice::<Typed>(&body).is_ok()
            });
            bench.case(&format!("{name}/value"), || {
                serde_json::from_slice::<Value>(&body).is_ok()
            });
        }
        let honest = [
            ("dense_100k", dense()),
            ("turns_100k", turns()),
            ("agent_100k", agent()),
        ];
        let hostile = hostile()
            .into_iter()
            .map(|(name, body)| (format!("hostile_{name}"), body));
        let honest = honest.map(|(name, body)| (name.to_owned(), body));
        for (name, body) in honest.into_iter().chain(hostile) {
            bench.bytes = Some(body.len() as u64);
            bench.case(&format!("{name}/wire"), || Request::read(&body).is_ok());
        }
    });
}
