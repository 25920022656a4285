//! Functions of the deprecated kind, for upstreams that know tools only.
//!
//! `functions` become tools, `function_call` the choice among them and the calls of the conversation,
//! messages of the role `function` the results of those calls. Of the answer the first call becomes
//! `function_call` again: whoever asks so expects one at most. What was called beside it stays in
//! `tool_calls`, where it can be seen, and is not told to the upstream again.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use bytes::BytesMut;
use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::{
    Notes,
    edits::{Edits, name},
    retell::retell,
};
use crate::{
    body::BoxError,
    error::{Error, Kind},
    parse::Chat,
    wire::{
        Members,
        json::{Cursor, Fault, Str, Type},
        request::Name,
    },
};

/// Whether a request, or its conversation, speaks of functions.
pub(super) fn speaks(chat: &Chat) -> bool {
    if chat.has(Name::Functions) || chat.has(Name::FunctionCall) {
        return true;
    }
    // Both words begin like this, and most conversations have neither.
    static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"function"));
    // What others have left out is none of it.
    let messages = chat.raw(Name::Messages).unwrap_or_default();
    BEGINNING.find(messages).is_some()
        && (any(messages, b"\"function_call\"", called_behind)
            || any(messages, b"\"function\"", role_before))
}

/// Whether a call of the answer is to be told as that of a function: only functions were offered.
pub(super) fn offers(chat: &Chat) -> bool {
    let there = |member: &str| {
        let json = chat.member(member).unwrap_or("null");
        json != "null"
            && !json
                .trim_matches(['[', ']', ' ', '\n', '\r', '\t'])
                .is_empty()
    };
    there("functions") && !there("tools")
}

/// Whether a word stands somewhere with what must be before or behind it. Within a string its quotes
/// would be escaped, so it is a string of its own.
fn any(text: &[u8], word: &[u8], fits: fn(&[u8], &[u8]) -> bool) -> bool {
    memchr::memmem::find_iter(text, word).any(|at| fits(&text[..at], &text[at + word.len()..]))
}

fn called_behind(_: &[u8], behind: &[u8]) -> bool {
    let value = behind.trim_ascii_start().strip_prefix(b":");
    value.is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
}

fn role_before(before: &[u8], _: &[u8]) -> bool {
    let key = before.trim_ascii_end().strip_suffix(b":");
    key.is_some_and(|key| key.trim_ascii_end().ends_with(b"\"role\""))
}

/// Puts tools in the place of functions.
///
/// # Errors
/// What is there is of another shape.
pub(super) fn modern(chat: &mut Chat, notes: &mut Notes) -> Result<(), Error> {
    let offered = offers(chat);
    if let Some(json) = taken(chat, "functions") {
        let functions: Vec<&RawValue> = read(&json, "functions")?;
        if offered {
            let tools = functions.iter().map(|function| {
                format!("{{\"type\":\"function\",\"function\":{}}}", function.get())
            });
            let tools: Vec<String> = tools.collect();
            chat.set("tools", format!("[{}]", tools.join(",")));
            // One call is all that the answer has a place for.
            chat.set("parallel_tool_calls", "false");
            notes.changed("functions");
        } else if !functions.is_empty() {
            // Beside tools, which the upstream knows.
            notes.unsupported("functions")?;
        }
    }
    if let Some(json) = taken(chat, "function_call") {
        let choice = match json.trim_start().starts_with('{') {
            true => format!("{{\"type\":\"function\",\"function\":{json}}}"),
            false => json,
        };
        chat.set("tool_choice", choice);
    }
    chat.below("messages", |chat| messages(chat, notes))
}

fn messages(chat: &mut Chat, notes: &mut Notes) -> Result<(), Error> {
    let Some(place) = chat.place("messages") else {
        return Ok(());
    };
    let text = chat.original().clone();
    let mut reader = Reader {
        cursor: Cursor::within(&text, place.start, usize::MAX),
        open: Vec::new(),
        edits: Edits::default(),
    };
    reader
        .messages()
        .map_err(|fault| misshapen("messages", fault))?;
    if !reader.edits.is_empty() {
        notes.changed("messages");
    }
    reader.edits.apply(chat);
    Ok(())
}

/// A member that goes; none where it is null.
fn taken(chat: &mut Chat, member: &str) -> Option<String> {
    let json = chat.member(member)?.to_owned();
    chat.remove(member);
    (json != "null").then_some(json)
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a str, param: &'static str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| misshapen(param, error))
}

fn misshapen(param: &'static str, source: impl Into<BoxError>) -> Error {
    let message = format!("`{param}` is not of the expected shape.");
    Error::new(Kind::Format, message)
        .with_param(param)
        .with_code("invalid_type")
        .with_source(source)
}

/// Goes through the conversation and notes what becomes of the messages of functions.
struct Reader<'a> {
    cursor: Cursor<'a>,
    /// The ids of calls, and the names of what was called, that have no result yet.
    open: Vec<(String, Cow<'a, str>)>,
    edits: Edits,
}

/// What of a message has to do with functions, by its places.
#[derive(Default)]
struct Spoken<'a> {
    role: Option<Str<'a>>,
    name: Option<(usize, Cow<'a, str>)>,
    /// The key, the value, the name of what is called.
    call: Option<(Str<'a>, Range<usize>, Cow<'a, str>)>,
    tool_calls: Option<usize>,
    tool_call_id: Option<usize>,
}

impl<'a> Reader<'a> {
    fn messages(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        let mut at = 0;
        while self.cursor.element()? {
            self.message(at)?;
            at += 1;
        }
        Ok(())
    }

    fn message(&mut self, at: usize) -> Result<(), Fault> {
        self.cursor.peek()?;
        let start = self.cursor.at();
        let spoken = self.spoken()?;
        // As short as the strictest upstream wants it.
        let id = format!("call{at:05x}");
        if let Some((key, value, name)) = spoken.call {
            let opening = format!("[{{\"id\":\"{id}\",\"type\":\"function\",\"function\":{{");
            self.open.push((id, name));
            self.edits.replace(key.range(), "tool_calls");
            self.edits.replace(value.start..value.start + 1, opening);
            self.edits.replace(value.end - 1..value.end, "}}]");
            if let Some(at) = spoken.tool_calls {
                self.edits.cut(start, at);
            }
            return Ok(());
        }
        let Some(role) = spoken.role.filter(|role| *role == *"function") else {
            return Ok(());
        };
        let named = spoken.name.as_ref().map_or("", |(_, name)| name);
        let of_name = self.open.iter().rposition(|(_, called)| *called == named);
        let id = match of_name.or(self.open.len().checked_sub(1)) {
            Some(at) => self.open.remove(at).0,
            None => id,
        };
        let range = role.range();
        let with = format!("tool\",\"tool_call_id\":\"{id}");
        self.edits.replace(range, with);
        let gone = [spoken.name.map(|(at, _)| at), spoken.tool_call_id];
        for at in gone.into_iter().flatten() {
            self.edits.cut(start, at);
        }
        Ok(())
    }

    fn spoken(&mut self) -> Result<Spoken<'a>, Fault> {
        let mut spoken = Spoken::default();
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            let place = key.range().start - 1;
            match (&*key.cow(), self.cursor.peek()?) {
                ("role", Type::String) => spoken.role = Some(self.cursor.string()?),
                ("name", Type::String) => {
                    spoken.name = Some((place, self.cursor.string()?.cow()));
                }
                ("function_call", Type::Object) => {
                    let from = self.cursor.at();
                    let name = name(&mut self.cursor)?;
                    spoken.call = Some((key, from..self.cursor.at(), name));
                }
                (name, _) => {
                    match name {
                        "tool_calls" => spoken.tool_calls = Some(place),
                        "tool_call_id" => spoken.tool_call_id = Some(place),
                        _ => {}
                    }
                    self.cursor.skip()?;
                }
            }
        }
        Ok(spoken)
    }
}

/// An answer, or a chunk of one, with its first call as one of a function. What cannot be read stays.
pub(super) fn deprecated(json: &[u8]) -> Option<Vec<u8>> {
    let whole: Members<'_> = serde_json::from_slice(json).ok()?;
    let mut choices = vec![b'['];
    for choice in whole.choices().ok()? {
        if choices.len() > 1 {
            choices.push(b',');
        }
        let mut with: Vec<(&str, String)> = Vec::new();
        for name in ["message", "delta"] {
            if let Some(message) = choice.get(name) {
                let message: Members<'_> = serde_json::from_str(message.get()).ok()?;
                with.push((name, called(&message, name == "delta")?));
            }
        }
        if choice
            .get("finish_reason")
            .is_some_and(|it| it.get() == "\"tool_calls\"")
        {
            with.push(("finish_reason", "\"function_call\"".to_owned()));
        }
        let with: Vec<_> = with.iter().map(|(name, json)| (*name, &**json)).collect();
        choice.write(&with, &mut choices);
    }
    choices.push(b']');
    let choices = String::from_utf8(choices).ok()?;
    let mut out = Vec::with_capacity(json.len());
    whole.write(&[("choices", &choices)], &mut out);
    Some(out)
}

fn called(message: &Members<'_>, streamed: bool) -> Option<String> {
    let mut out = Vec::new();
    let Some(calls) = message.get("tool_calls") else {
        message.write(&[], &mut out);
        return String::from_utf8(out).ok();
    };
    let calls: Option<Vec<Members<'_>>> = serde_json::from_str(calls.get()).ok()?;
    let calls = calls.unwrap_or_default();
    let mut function = None;
    let mut others = Vec::new();
    for (at, call) in (0_u64..).zip(&calls) {
        // A whole answer has them in their order, whatever it says; a stream says which it is.
        let index = call.get("index").filter(|_| streamed);
        let index = index.and_then(|index| index.get().parse().ok());
        let index: u64 = index.unwrap_or(at);
        let Some(before) = index.checked_sub(1) else {
            function = function.or(call.get("function"));
            continue;
        };
        others.push(if others.is_empty() { b'[' } else { b',' });
        let before = before.to_string();
        let renumbered = [("index", &*before)];
        let with = &renumbered[..usize::from(call.get("index").is_some())];
        call.write(with, &mut others);
    }
    let function = function.map(|function| ("function_call", function.get()));
    let mut with: Vec<(&str, &str)> = function.into_iter().collect();
    if others.is_empty() {
        message.without(&["tool_calls"]).write(&with, &mut out);
    } else {
        others.push(b']');
        with.push(("tool_calls", std::str::from_utf8(&others).ok()?));
        message.write(&with, &mut out);
    }
    String::from_utf8(out).ok()
}

/// The same of a text of events; those that cannot be read stay.
pub(super) fn events(text: &[u8], out: &mut BytesMut) {
    retell(text, out, deprecated);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn functions_become_tools() {
        let body = json!({"model": "m",
        "functions": [{"name": "f", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}],
        "function_call": {"name": "f"},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "assistant", "content": null, "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "function", "name": "other", "content": "2"},
        ]});
        let mut chat = Chat::parse(body.to_string().into()).expect("a request");
        assert!(speaks(&chat));
        let mut notes = Notes::default();
        modern(&mut chat, &mut notes).expect("of the right shape");
        let sent: Value = serde_json::from_slice(&chat.bytes()).expect("JSON");
        let call = |at: usize, name: &str| {
            json!([{"id": format!("call0000{at}"), "type": "function",
                "function": {"name": name, "arguments": "{}"}}])
        };
        assert_eq!(
            sent,
            json!({"model": "m",
            "tools": [{"type": "function", "function": body["functions"][0]}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": false,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": null, "tool_calls": call(1, "f")},
                {"role": "assistant", "content": null, "tool_calls": call(2, "g")},
                {"role": "tool", "tool_call_id": "call00001", "content": "1"},
                {"role": "tool", "tool_call_id": "call00002", "content": "2"},
            ]})
        );
        assert_eq!(notes.mapped(), ["functions", "messages"]);
    }

    #[test]
    fn tools_are_no_functions() {
        let body = json!({"model": "m", "tools": [], "functions": null, "messages": [
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}]});
        let chat = Chat::parse(body.to_string().into()).expect("a request");
        assert!(!speaks(&chat) && !offers(&chat));
        // As clients write a message down that they were given.
        let dumped = json!({"model": "m", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
            {"role": "user", "content": "\"role\":\"function\" \"function_call\":{"},
            {"role": "assistant", "content": "x", "function_call": null, "tool_calls": null}]});
        let chat = Chat::parse(dumped.to_string().into()).expect("a request");
        assert!(!speaks(&chat) && !offers(&chat));
        let both = json!({"model": "m", "tools": dumped["tools"], "messages": [
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}}]});
        let chat = Chat::parse(both.to_string().into()).expect("a request");
        assert!(speaks(&chat) && !offers(&chat));
        let twice = json!({"model": "m", "functions": [{"name": "g"}], "tools": dumped["tools"], "messages": []});
        let mut chat = Chat::parse(twice.to_string().into()).expect("a request");
        let error = modern(&mut chat, &mut Notes::default()).expect_err("refused");
        assert_eq!(error.param(), Some("functions"));
    }

    #[test]
    fn answers_call_one_function() {
        let text = concat!(
            r#"data: {"id":"a","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}"#,
            "\n\n: silence\n\n",
            r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
            "\n\ndata: [DONE]\n\n",
        );
        let mut out = BytesMut::new();
        events(text.as_bytes(), &mut out);
        assert_eq!(
            out,
            concat!(
                r#"data: {"id":"a","choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}},"finish_reason":null}]}"#,
                "\n\n: silence\n\n",
                r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":"function_call"}]}"#,
                "\n\ndata: [DONE]\n\n",
            )
        );
        let whole = br#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
        assert_eq!(
            deprecated(whole).expect("JSON"),
            br#"{"choices":[{"message":{"content":null,"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]}"#
        );
        let two = br#"{"choices":[{"message":{"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
        assert_eq!(
            deprecated(two).expect("JSON"),
            br#"{"choices":[{"message":{"tool_calls":[{"id":"d","type":"function","function":{"name":"g","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]}"#
        );
        // In a whole answer an index says nothing.
        let two = std::str::from_utf8(two).expect("UTF-8");
        for index in ["null", "0", "7"] {
            let two = two.replace(r#"{"id":"#, &format!(r#"{{"index":{index},"id":"#));
            let told = deprecated(two.as_bytes()).expect("JSON");
            let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
            let message = &told["choices"][0]["message"];
            assert_eq!(message["function_call"]["name"], "f", "{index}");
            assert_eq!(message["tool_calls"][0]["index"], 0, "{index}");
            assert_eq!(message["tool_calls"][0]["function"]["name"], "g", "{index}");
        }
        assert_eq!(deprecated(b"<html>"), None);
    }
}
