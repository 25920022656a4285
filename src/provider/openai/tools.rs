//! Tools for vendors that know functions only, and no choice among a part of them.
//!
//! A tool that takes free text becomes a function of a single string, a call of one a call of that
//! function; of a choice among some tools the others are left out.

use std::borrow::Cow;

use crate::{
    error::Error,
    parse::Chat,
    provider::{
        Notes,
        edits::{Edits, name},
    },
    wire::{
        chat::{AllowedMode, ToolChoice},
        json::{Cursor, Fault, Str, Type},
    },
};

/// What a function of free text is called with.
const FREE: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

pub(super) fn fit(chat: &mut Chat, notes: &mut Notes) -> Result<(), Error> {
    let allowed = choose(chat);
    let mut left = true;
    chat.below("tools", |chat| {
        left = offered(chat, allowed.as_ref(), notes)?;
        Ok::<_, Error>(())
    })?;
    if !left {
        for member in ["tools", "tool_choice", "parallel_tool_calls"] {
            chat.remove(member);
        }
    }
    chat.below("messages", called)
}

/// Which tools may be called.
struct Allowed {
    must: bool,
    names: Vec<String>,
}

/// Brings the choice into the older words; the tools that are allowed, when only some are.
fn choose(chat: &mut Chat) -> Option<Allowed> {
    let json = chat.member("tool_choice")?;
    if !json.starts_with('{') {
        return None;
    }
    match serde_json::from_str(json).ok()? {
        ToolChoice::Named(name) if json.contains("\"custom\"") => {
            let name = serde_json::Value::from(&*name);
            let choice = format!("{{\"type\":\"function\",\"function\":{{\"name\":{name}}}}}");
            chat.set("tool_choice", choice);
            None
        }
        ToolChoice::Allowed(mode, names) => {
            let must = mode == AllowedMode::Required;
            let names = names.iter().map(|name| name.to_string()).collect();
            chat.set(
                "tool_choice",
                if must { "\"required\"" } else { "\"auto\"" },
            );
            Some(Allowed { must, names })
        }
        _ => None,
    }
}

/// The tools as functions; whether the choice leaves any.
fn offered(chat: &mut Chat, allowed: Option<&Allowed>, notes: &mut Notes) -> Result<bool, Error> {
    let Some(place) = chat.place("tools") else {
        return Ok(true);
    };
    let text = chat.original().clone();
    if allowed.is_none() && memchr::memmem::find(&text[place.clone()], b"custom").is_none() {
        return Ok(true);
    }
    let mut reader = Reader::at(&text, place.start);
    // What is of no such shape is the vendor's to refuse.
    let Ok(tools) = reader.tools() else {
        return Ok(true);
    };
    let mut left = false;
    for (at, tool) in tools.iter().enumerate() {
        let of = |allowed: &Allowed| allowed.names.iter().any(|name| *name == tool.name);
        if !allowed.is_none_or(of) {
            chat.cut(place.start, tool.start);
            continue;
        }
        left = true;
        if tool.constrained {
            notes.unsupported(format!("tools[{at}].custom.format"))?;
        }
    }
    reader.edits.apply(chat);
    let Some(allowed) = allowed.filter(|_| !left) else {
        return Ok(true);
    };
    if allowed.must {
        notes.unsupported("tool_choice")?;
    }
    Ok(false)
}

/// The calls of the conversation as those of functions.
fn called(chat: &mut Chat) -> Result<(), Error> {
    let Some(place) = chat.place("messages") else {
        return Ok(());
    };
    let text = chat.original().clone();
    if memchr::memmem::find(&text[place.clone()], b"\"custom\"").is_none() {
        return Ok(());
    }
    let mut reader = Reader::at(&text, place.start);
    if reader.messages().is_ok() {
        reader.edits.apply(chat);
    }
    Ok(())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    edits: Edits,
}

struct Tool<'a> {
    start: usize,
    name: Cow<'a, str>,
    /// Whether what it takes has to follow a grammar.
    constrained: bool,
}

impl<'a> Reader<'a> {
    fn at(text: &'a [u8], at: usize) -> Self {
        Self {
            cursor: Cursor::within(text, at, usize::MAX),
            edits: Edits::default(),
        }
    }

    fn tools(&mut self) -> Result<Vec<Tool<'a>>, Fault> {
        let mut all = Vec::new();
        self.cursor.array()?;
        while self.cursor.element()? {
            self.cursor.peek()?;
            let start = self.cursor.at();
            let (mut function, mut custom) = (None, None);
            let is_custom = self.either(|reader, key, edits| {
                if key == *"custom" {
                    custom = Some(reader.custom(edits)?);
                } else {
                    function = Some(name(&mut reader.cursor)?);
                }
                Ok(())
            })?;
            let (name, constrained) = match custom.filter(|_| is_custom) {
                Some(custom) => custom,
                None => (function.unwrap_or_default(), false),
            };
            all.push(Tool {
                start,
                name,
                constrained,
            });
        }
        Ok(all)
    }

    fn messages(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        while self.cursor.element()? {
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                if key != *"tool_calls" || self.cursor.peek()? != Type::Array {
                    self.cursor.skip()?;
                    continue;
                }
                self.cursor.array()?;
                while self.cursor.element()? {
                    self.either(|reader, key, edits| {
                        if key == *"custom" {
                            reader.input(edits)
                        } else {
                            reader.cursor.skip().map(drop)
                        }
                    })?;
                }
            }
        }
        Ok(())
    }

    /// A tool or a call: whether it is one of free text, which is edited then. What is read of its
    /// `function` or `custom` is the caller's.
    fn either(
        &mut self,
        mut payload: impl FnMut(&mut Self, Str<'a>, &mut Edits) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let (mut edits, mut other) = (Edits::default(), None);
        let mut is_custom = false;
        self.cursor.peek()?;
        let start = self.cursor.at();
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            if key == *"function" {
                other = Some((start, key.range().start - 1));
            }
            let kind = self.cursor.peek()?;
            if key == *"type" && kind == Type::String {
                let word = self.cursor.string()?;
                is_custom = word == *"custom";
                edits.replace(word.range(), "function");
            } else if kind == Type::Object && (key == *"custom" || key == *"function") {
                if key == *"custom" {
                    edits.replace(key.range(), "function");
                }
                payload(self, key, &mut edits)?;
            } else {
                self.cursor.skip()?;
            }
        }
        if is_custom {
            // It makes room for the one that comes of it.
            if let Some((start, at)) = other {
                edits.cut(start, at);
            }
            self.edits.append(edits);
        }
        Ok(is_custom)
    }

    /// A tool of free text: its name, and whether that has to follow a grammar.
    fn custom(&mut self, edits: &mut Edits) -> Result<(Cow<'a, str>, bool), Fault> {
        let mut name = None;
        let (mut formed, mut constrained) = (false, false);
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            match self.cursor.peek()? {
                Type::String if key == *"name" => name = Some(self.cursor.string()?),
                kind if key == *"format" => {
                    let start = self.cursor.at();
                    if kind == Type::Object {
                        constrained = self.is_grammar()?;
                    } else {
                        self.cursor.skip()?;
                    }
                    formed = true;
                    edits.replace(key.range(), "parameters");
                    edits.replace(start..self.cursor.at(), FREE);
                }
                _ => self.cursor.skip().map(drop)?,
            }
        }
        if let Some(name) = name.filter(|_| !formed) {
            let quote = name.range().end..name.range().end + 1;
            edits.replace(quote, format!("\",\"parameters\":{FREE}"));
        }
        Ok((name.map(|name| name.cow()).unwrap_or_default(), constrained))
    }

    fn is_grammar(&mut self) -> Result<bool, Fault> {
        let mut grammar = false;
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            if key == *"type" && self.cursor.peek()? == Type::String {
                grammar = self.cursor.string()? != *"text";
            } else {
                self.cursor.skip()?;
            }
        }
        Ok(grammar)
    }

    /// A call of free text, which becomes the text of an object.
    fn input(&mut self, edits: &mut Edits) -> Result<(), Fault> {
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            if key == *"input" && self.cursor.peek()? == Type::String {
                let input = self.cursor.string()?;
                let object = format!("{{\"input\":\"{}\"}}", input.raw());
                let quoted = input.range().start - 1..input.range().end + 1;
                edits.replace(key.range(), "arguments");
                edits.replace(quoted, serde_json::Value::from(object).to_string());
            } else {
                self.cursor.skip()?;
            }
        }
        Ok(())
    }
}
