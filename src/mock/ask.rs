//! What the mock understands of a request.

use std::collections::HashMap;

use serde_json::{Value, value::RawValue};

/// The members that an answer depends on.
const READ: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_completion_tokens",
    "max_tokens",
    "tools",
    "tool_choice",
];

/// A request, as far as an answer depends on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) n: u64,
    pub(super) max_tokens: Option<u64>,
    /// The text of the last message of the user.
    pub(super) text: String,
    pub(super) prompt_tokens: u64,
    /// The name of the first function that may be called now.
    pub(super) function: Option<String>,
}

impl Wish {
    /// Reads the JSON; independent of the crate's own parser, so that one can test the other.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        // One by one, so that a request may be nested as deep as it may be here: 128 levels.
        let members: HashMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let mut json = Value::Null;
        for name in READ {
            if let Some(raw) = members.get(*name) {
                json[*name] = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
            }
        }
        let model = json["model"].as_str().ok_or("`model` must be a string")?;
        let messages = json["messages"]
            .as_array()
            .ok_or("`messages` must be an array")?;
        let last = messages.iter().rev().find(|m| m["role"] == "user");
        let answered = messages.last().is_some_and(|m| m["role"] == "tool");
        let offered = json["tools"]
            .as_array()
            .filter(|_| json["tool_choice"] != "none" && !answered)
            .and_then(|tools| tools.first())
            .and_then(|tool| tool["function"]["name"].as_str());
        let limit = ["max_completion_tokens", "max_tokens"];
        Ok(Self {
            model: model.to_owned(),
            stream: json["stream"] == true,
            include_usage: json["stream_options"]["include_usage"] == true,
            n: json["n"].as_u64().unwrap_or(1).clamp(1, 128),
            max_tokens: limit.iter().find_map(|name| json[*name].as_u64()),
            text: last.map(|m| text(&m["content"])).unwrap_or_default(),
            prompt_tokens: messages
                .iter()
                .map(|m| 4 + tokens(&text(&m["content"])))
                .sum(),
            function: offered.map(str::to_owned),
        })
    }
}

/// The text of a message's content: a string, or the text parts of an array.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|p| p["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// The mock's count of tokens: one a word.
pub(super) fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// The words of a text, each with the white space after it: joined they are the text.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut blank) = (0, false);
    for (at, c) in text.char_indices() {
        if blank && !c.is_whitespace() && !text[..at].trim().is_empty() {
            words.push(&text[start..at]);
            start = at;
        }
        blank = c.is_whitespace();
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_join_to_the_text() {
        for (text, expected) in [
            ("", &[][..]),
            ("one", &["one"]),
            ("one two", &["one ", "two"]),
            (" one  iki\nüç ", &[" one  ", "iki\n", "üç "]),
            ("  ", &["  "]),
        ] {
            assert_eq!(words(text), expected);
            assert_eq!(words(text).concat(), text);
        }
    }

    #[test]
    fn reads_what_it_needs() {
        let ask = Wish::parse(
            br#"{"model":"m","n":2,"stream":true,"max_tokens":3,"stream_options":{"include_usage":true},
            "messages":[{"role":"system","content":"be brief"},
            {"role":"user","content":[{"type":"text","text":"what is"},{"type":"image_url","image_url":{}},{"type":"text","text":"this"}]}],
            "tools":[{"type":"function","function":{"name":"look"}}]}"#,
        )
        .expect("valid");
        assert_eq!(ask.text, "what is\nthis");
        assert_eq!((ask.n, ask.max_tokens, ask.prompt_tokens), (2, Some(3), 13));
        assert!(ask.stream && ask.include_usage);
        assert_eq!(ask.function.as_deref(), Some("look"));
        assert!(Wish::parse(b"{\"model\":1}").is_err());
        assert!(Wish::parse(b"[]").is_err() && Wish::parse(b"{}").is_err());
        assert!(Wish::parse(b"{").is_err());
    }

    #[test]
    fn reads_what_is_nested_as_deep_as_may_be() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for (x, schema, part) in [(127, 1, 1), (1, 123, 1), (1, 1, 124)] {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"hi","x":{}}}],
                "tools":[{{"type":"function","function":{{"name":"f","parameters":{{"a":{}}}}}}}],"x":{}}}"#,
                nested(part),
                nested(schema),
                nested(x)
            );
            let ask = Wish::parse(body.as_bytes()).expect("valid");
            assert_eq!((&*ask.text, ask.function.as_deref()), ("hi", Some("f")));
        }
    }
}
