//! Custom tools, for upstreams that know functions only.
//!
//! They go up as functions of one string, `input`. What the model calls so is told as the call of a custom
//! tool again, with the text of that string, in a whole answer and piece by piece in a stream.

mod input;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::BytesMut;
use memchr::memmem::find;
use serde_json::value::RawValue;

use input::Input;

use super::retell::retell;
use crate::{
    parse::Chat,
    wire::{Members, chat::Tool, request::Name},
};

/// Calls of one answer that are followed.
const MOST: usize = 4096;

/// The names of the custom tools that a request offers. One word wide: every call has room for it.
pub(super) type Names = Arc<Vec<Box<str>>>;

/// Those of a request; none in nearly all.
pub(super) fn offered(chat: &Chat) -> Option<Names> {
    let json = chat.raw(Name::Tools)?;
    // What it is spelled with may be escaped, which no client does.
    find(json, b"\"custom\"")?;
    let tools: Vec<Tool<'_>> = serde_json::from_slice(json).ok()?;
    let names = tools.iter().filter_map(|tool| tool.custom.as_ref());
    let names: Vec<Box<str>> = names.map(|custom| Box::from(&*custom.name)).collect();
    (!names.is_empty()).then(|| Arc::new(names))
}

/// A whole answer with its calls of custom tools; `None` where it has none, or cannot be read.
pub(super) fn answer(names: &Names, json: &[u8]) -> Option<Vec<u8>> {
    Customs::new(Arc::clone(names)).retold(json)
}

/// The calls of a stream.
pub(super) struct Customs {
    names: Names,
    open: Vec<Open>,
}

/// A call of a custom tool that has begun.
struct Open {
    choice: u64,
    index: u64,
    id: Box<str>,
    input: Input,
}

impl Customs {
    pub(super) fn new(names: Names) -> Self {
        let open = Vec::new();
        Self { names, open }
    }

    /// Tells a text of events; those without such calls, and what cannot be read, stay.
    pub(super) fn events(&mut self, text: &[u8], out: &mut BytesMut) {
        retell(text, out, |data| self.retold(data));
    }

    fn retold(&mut self, json: &[u8]) -> Option<Vec<u8>> {
        find(json, b"\"tool_calls\"")?;
        let whole: Members<'_> = serde_json::from_slice(json).ok()?;
        let mut changed = false;
        let mut choices = vec![b'['];
        for (at, choice) in whole.choices().ok()?.iter().enumerate() {
            if at > 0 {
                choices.push(b',');
            }
            let index = number(choice.get("index")).unwrap_or(at as u64);
            let mut with: Vec<(&str, String)> = Vec::new();
            for name in ["message", "delta"] {
                let Some(said) = choice.get(name) else {
                    continue;
                };
                let said: Members<'_> = serde_json::from_str(said.get()).ok()?;
                let piece = (name == "delta").then_some(index);
                if let Some(calls) = self.calls(&said, piece) {
                    let mut out = Vec::new();
                    said.write(&[("tool_calls", &calls)], &mut out);
                    with.push((name, String::from_utf8(out).ok()?));
                }
            }
            changed |= !with.is_empty();
            let with: Vec<_> = with.iter().map(|(name, json)| (*name, &**json)).collect();
            choice.write(&with, &mut choices);
        }
        if !changed {
            return None;
        }
        choices.push(b']');
        let choices = String::from_utf8(choices).ok()?;
        let mut out = Vec::with_capacity(json.len());
        whole.write(&[("choices", &choices)], &mut out);
        Some(out)
    }

    /// The calls of a message, or their pieces in a delta of a choice; `None` where none is a custom one.
    fn calls(&mut self, said: &Members<'_>, choice: Option<u64>) -> Option<String> {
        let calls: Vec<Members<'_>> = serde_json::from_str(said.get("tool_calls")?.get()).ok()?;
        let mut changed = false;
        let mut out = vec![b'['];
        for (at, call) in calls.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match self.custom(call, choice, at as u64) {
                Some(custom) => {
                    changed = true;
                    write(call, &custom, &mut out);
                }
                None => call.write(&[], &mut out),
            }
        }
        out.push(b']');
        String::from_utf8(out).ok().filter(|_| changed)
    }

    /// What stands in a call in the place of its function.
    fn custom(&mut self, call: &Members<'_>, choice: Option<u64>, at: u64) -> Option<String> {
        let function: Members<'_> = serde_json::from_str(call.get("function")?.get()).ok()?;
        let name = string(function.get("name")).filter(|name| !name.is_empty());
        let known = name.as_ref().map(|name| self.is_named(name));
        // Some write the object itself.
        let text = function.get("arguments").map(|raw| match raw.get() {
            "null" => String::new(),
            json => string(Some(raw)).unwrap_or_else(|| json.to_owned()),
        });
        let text = text.unwrap_or_default();
        let input = match choice {
            None => known?.then(|| Input::default().whole(&text))?,
            Some(choice) => {
                let index = number(call.get("index")).unwrap_or(at);
                let id = string(call.get("id")).unwrap_or_default();
                self.open(choice, index, &id, known)?.push(&text)
            }
        };
        let mut custom = Vec::new();
        let name = name.map(|name| serde_json::Value::from(name).to_string());
        let input = serde_json::Value::from(input).to_string();
        let with = [("name", name.as_deref()), ("input", Some(&*input))];
        let with: Vec<_> = with
            .into_iter()
            .filter_map(|(key, json)| Some((key, json?)))
            .collect();
        Members(Vec::new()).write(&with, &mut custom);
        String::from_utf8(custom).ok()
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|custom| **custom == *name)
    }

    /// The input that a piece belongs to, where it is one of a custom tool's. `named`: it has a name,
    /// and whether that is such a tool's.
    fn open(
        &mut self,
        choice: u64,
        index: u64,
        id: &str,
        named: Option<bool>,
    ) -> Option<&mut Input> {
        let found = self
            .open
            .iter()
            .position(|open| (open.choice, open.index) == (choice, index));
        match (found, named) {
            (Some(at), Some(false)) => {
                self.open.remove(at);
                None
            }
            (Some(at), named) => {
                let open = &mut self.open[at];
                let another = !id.is_empty() && *open.id != *id;
                if named.is_some() && (another || matches!(open.input, Input::Over)) {
                    open.id = id.into();
                    open.input = Input::default();
                }
                Some(&mut self.open[at].input)
            }
            (None, Some(true)) if self.open.len() < MOST => {
                self.open.push(Open {
                    choice,
                    index,
                    id: id.into(),
                    input: Input::default(),
                });
                self.open.last_mut().map(|open| &mut open.input)
            }
            (None, _) => None,
        }
    }
}

/// Writes a call whose function is a custom tool.
fn write(call: &Members<'_>, custom: &str, out: &mut Vec<u8>) {
    let kept = call.without(&["type", "function"]);
    let typed = call.get("type").map(|raw| match raw.get() {
        "\"function\"" => "\"custom\"",
        other => other,
    });
    let mut with = Vec::with_capacity(2);
    with.extend(typed.map(|kind| ("type", kind)));
    with.push(("custom", custom));
    kept.write(&with, out);
}

fn number(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().parse().ok()
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}
