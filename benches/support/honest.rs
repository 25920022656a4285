//! Texts of 100 KB as honest clients send them, of each kind of content: which, by where it stands.

use bytes::Bytes;
use serde_json::json;

/// A request of so many of these that it has 100 KB.
fn filled(open: &str, each: impl Fn(usize) -> String, close: &str) -> Bytes {
    let mut text = format!(r#"{{"model":"gpt-4o","messages":[{open}"#);
    let mut at = 0;
    while text.len() < 100_000 {
        if at > 0 {
            text.push(',');
        }
        text += &each(at);
        at += 1;
    }
    (text + close).into()
}

/// As Python's `json.dumps` spells it: in ASCII, with a blank behind each comma and colon.
fn dumped(json: &str) -> String {
    let mut text = String::new();
    let (mut within, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            ..='\x7F' => text.push(c),
            _ => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                text.extend(units.iter().map(|unit| format!(r"\u{unit:04x}")));
            }
        }
        if !within && matches!(c, ',' | ':') {
            text.push(' ');
        }
        within ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    text
}

fn as_is(json: &str) -> String {
    json.to_owned()
}

/// Each object and element on a line of its own, as people read it.
fn indented(json: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    let (mut within, mut escaped) = (false, false);
    for c in json.chars() {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match c {
            '{' | '[' if !within => {
                depth += 1;
                text.push(c);
                text += &line(depth);
            }
            '}' | ']' if !within => {
                depth -= 1;
                text += &line(depth);
                text.push(c);
            }
            ',' if !within => text += &format!(",{}", line(depth)),
            ':' if !within => text += ": ",
            _ => text.push(c),
        }
        within ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    text
}

/// Turns of a conversation.
fn turns(contents: &[&str], spelled: fn(&str) -> String) -> Bytes {
    let each = |at: usize| {
        let (role, content) = (["user", "assistant"][at % 2], contents[at % contents.len()]);
        spelled(&format!(
            r#"{{"role":"{role}","content":{}}}"#,
            json!(content)
        ))
    };
    filled("", each, "]}")
}

/// Tools with such parameters.
fn tools(parameters: &[String], spelled: fn(&str) -> String) -> Bytes {
    let each = |at: usize| {
        let parameters = &parameters[at % parameters.len()];
        let function = format!(
            r#"{{"name":"tool_{at}","description":"Looks something up.","parameters":{parameters}}}"#
        );
        spelled(&format!(r#"{{"type":"function","function":{function}}}"#))
    };
    filled(r#"{"role":"user","content":"x"}],"tools":["#, each, "]}")
}

/// Values of a member that the API does not know.
fn unread(each: impl Fn(usize) -> String) -> Bytes {
    filled(r#"{"role":"user","content":"x"}],"extra":["#, each, "]}")
}

/// Parts of one message.
fn parts(each: impl Fn(usize) -> String) -> Bytes {
    filled(r#"{"role":"user","content":["#, each, "]}]}")
}

const CHINESE: &[&str] = &[
    "你好，请问明天北京的天气怎么样？",
    "明天北京晴，最高气温二十五度。",
    "好的",
    "还有什么需要帮忙的吗？\n请告诉我。",
];
const FRENCH: &[&str] = &[
    "Où est la bibliothèque ? J'ai déjà cherché près de l'église.",
    "Elle est à côté du musée, derrière le théâtre.\nVous êtes à pied ?",
    "Oui, à pied. C'est très gentil !",
    "Prenez à gauche, « rue de l'Été », et voilà.",
];
const EMOJI: &[&str] = &["👍", "🎉🎉 Great!", "❤️", "ok 🙂", "😂😂😂"];
const CODE: &str = "fn main() {\n\tlet name = \"world\";\n\tif name.len() > 3 {\n\t\tprintln!(\"Hello, {name}\\n\");\n\t}\n}\n\n// C:\\Users\\me\n";

/// What models of Python's make of members that may be missing.
const OPTIONAL: &str = r#"{"type":"object","properties":{"query":{"title":"Query","type":"string"},"limit":{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null,"title":"Limit"},"on":{"anyOf":[{"type":"boolean"},{"type":"null"}],"default":null,"title":"On"}},"required":["query"]}"#;
/// What servers of tools have: patterns, enumerations, kinds within kinds.
const NESTED: &str = r#"{"type":"object","additionalProperties":false,"required":["path","mode"],"properties":{"path":{"type":"string","pattern":"^(/[\\w\\-. ]+)+\\.\\w{1,4}$"},"mode":{"type":"string","enum":["r","w","a","r+",null]},"when":{"type":"string","pattern":"^\\d{4}-\\d{2}-\\d{2}$"},"tags":{"type":"array","items":{"oneOf":[{"type":"string"},{"type":"array","items":{"type":"number"}}]}}}}"#;
const IN_CHINESE: &str = r#"{"type":"object","properties":{"城市":{"type":"string","description":"城市名"},"日期":{"type":"string","enum":["今天","明天"]}},"required":["城市"]}"#;
const BOUNDED: &str = r#"{"type":"object","properties":{"x":{"type":"number","minimum":-1.5,"maximum":1e6},"y":{"type":"number","minimum":0.0,"exclusiveMaximum":1.0},"n":{"type":"integer","minimum":0,"maximum":9223372036854775807}}}"#;

/// So many objects within one another.
fn deep(levels: usize) -> String {
    let leaf = r#"{"type":"string","enum":["a","b"]}"#.to_owned();
    let around = |inner, _| format!(r#"{{"type":"object","properties":{{"child":{inner}}}}}"#);
    (0..levels).fold(leaf, around)
}

/// A call of a tool and its answer.
fn call(at: usize) -> String {
    let arguments = json!({"path": format!("/src/{at}.rs"), "text": "let s = \"é\\n\";\n", "lines": [at, at + 9]});
    let output = json!({"ok": true, "output": CODE}).to_string();
    format!(
        r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{at}","type":"function","function":{{"name":"edit","arguments":{}}}}}]}},{{"role":"tool","tool_call_id":"call_{at}","content":{}}}"#,
        json!(arguments.to_string()),
        json!(output)
    )
}

/// The longest `logit_bias` that a client may want: all forms of some words.
fn biases() -> Bytes {
    let bias = |at: usize| format!(r#""{}":{}"#, at * 331 + 1000, [-100, 100, 5, -1][at % 4]);
    let biases: Vec<String> = (0..300).map(bias).collect();
    let user = r#"{"role":"user","content":"x"}"#;
    format!(
        r#"{{"model":"m","messages":[{user}],"logit_bias":{{{}}}}}"#,
        biases.join(",")
    )
    .into()
}

/// Numbers as programs compute them.
fn random(at: usize) -> f64 {
    (at as f64 * 0.618_033_988_749_894_9).fract() - 0.5
}

/// All of them; but for `logit_bias` each has 100 KB.
pub(crate) fn honest() -> Vec<(&'static str, Bytes)> {
    let models = [OPTIONAL, NESTED].map(str::to_owned);
    let [in_chinese, bounded] = [IN_CHINESE, BOUNDED].map(|json| [json.to_owned()]);
    let reasoning = |at: usize| {
        format!(
            r#"{{"role":"assistant","content":"Ok.","refusal":null,"annotations":[],"reasoning_details":[{{"type":"reasoning.text","text":"Hm.","signature":null,"index":{}}}]}}"#,
            at % 3
        )
    };
    // Short answers as the API gave them, sent back.
    let history = |at: usize| {
        let (asked, answer) = (
            ["And then?", "Why?", "ok"][at % 3],
            ["Yes.", "No.", "42"][at % 3],
        );
        dumped(&format!(
            r#"{{"role":"user","content":"{asked}"}},{{"content":"{answer}","refusal":null,"role":"assistant","annotations":[]}}"#
        ))
    };
    let long_part = |at: usize| {
        let text = json!(FRENCH[at % 4]);
        format!(r#"{{"type":"text","text":{text},"cache_control":{{"type":"ephemeral"}}}}"#)
    };
    // As they came in a stream.
    let short_part = |at: usize| {
        format!(
            r#"{{"type":"text","text":"{}"}}"#,
            ["Hel", "lo,", " wor", r"ld!\n"][at % 4]
        )
    };
    let place = |at: usize| format!("[{:.3},{:.3}]", 100.0 * random(at), 50.0 * random(7 * at));
    let vector = |at: usize| format!("[{:.6},{:.6},0.0]", random(at), random(3 * at));
    let row = |at: usize| format!(r#"{{"id":{at},"name":"n{at}","ok":true,"x":null}}"#);
    let word = |at: usize| ["\"the\"", "\"a\"", "\"Ġof\"", r#""\n""#, "\".\""][at % 5].to_owned();
    vec![
        ("messages_chinese", turns(CHINESE, as_is)),
        ("messages_chinese_ascii", turns(CHINESE, dumped)),
        ("messages_french", turns(FRENCH, as_is)),
        ("messages_french_ascii", turns(FRENCH, dumped)),
        ("messages_emoji_ascii", turns(EMOJI, dumped)),
        ("messages_code", turns(&[CODE], as_is)),
        (
            "messages_calls",
            filled(r#"{"role":"user","content":"x"},"#, call, "]}"),
        ),
        ("messages_reasoning", filled("", reasoning, "]}")),
        ("messages_history", filled("", history, "]}")),
        ("parts_long", parts(long_part)),
        ("parts_short", parts(short_part)),
        ("tools_models", tools(&models, as_is)),
        ("tools_models_spaced", tools(&models, dumped)),
        ("tools_models_indented", tools(&models, indented)),
        ("tools_chinese", tools(&in_chinese, as_is)),
        ("tools_chinese_ascii", tools(&in_chinese, dumped)),
        ("tools_bounded", tools(&bounded, as_is)),
        ("tools_deep", tools(&[deep(30)], as_is)),
        ("unread_floats", unread(|at| random(at).to_string())),
        ("unread_vectors", unread(vector)),
        ("unread_places", unread(place)),
        (
            "unread_token_ids",
            unread(|at| (at * 7919 % 100_000).to_string()),
        ),
        ("unread_words", unread(word)),
        ("unread_flags", unread(|at| (at % 3 == 0).to_string())),
        ("unread_rows", unread(row)),
        ("logit_bias", biases()),
    ]
}
