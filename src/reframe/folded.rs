//! Members that grow from delta to delta, as they are spelled.

use std::mem;

use serde_json::value::RawValue;

use super::base64;
use crate::wire::{Members, chat::Text};

/// An object's members in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Folded(Vec<(Box<str>, Value)>);

#[derive(Debug)]
enum Value {
    /// As it came.
    Raw(String),
    /// A string without its last quote.
    Text(String),
    /// An array without its last bracket.
    List(String),
    Object(Folded),
    /// Tool calls, whose pieces belong together by their index.
    Calls(Vec<Folded>),
}

impl Folded {
    /// The place of a member, which takes its own in the order if it is new; a value that is
    /// [given in its stead](Self::write) when it is written is not kept.
    pub(super) fn place(&mut self, name: &str) {
        if self.find(name).is_none() {
            let spelled = format!("\"{name}\"").into();
            self.0.push((spelled, Value::Raw("null".to_owned())));
        }
    }

    /// The value that came last counts, but null takes nothing away.
    pub(super) fn last(&mut self, name: &Text<'_>, value: &RawValue) {
        self.put(name, value.get(), |there, value| {
            *there = Value::Raw(value.to_owned());
        });
    }

    /// Puts a delta behind what came before: texts and lists grow, objects are merged.
    pub(super) fn merge(&mut self, delta: &Members<'_>) {
        for (name, value) in &delta.0 {
            self.grow(name, value);
        }
    }

    /// Puts the value of one member behind what there is of it.
    pub(super) fn grow(&mut self, name: &Text<'_>, value: &RawValue) {
        let value = value.get();
        if name.as_str() == "tool_calls" && value.starts_with('[') {
            self.put(name, "[]", |_, _| {});
            let there = self.find(name.as_str());
            let there = there.map(|at| &mut self.0[at].1);
            if let (Some(there), Ok(calls)) = (there, serde_json::from_str(value)) {
                there.calls(calls);
            }
            return;
        }
        self.put(name, value, |there, value| there.grow(name, value));
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |spelled: &str| {
            let inner = &spelled[1..spelled.len() - 1];
            if inner.contains('\\') {
                serde_json::from_str::<String>(spelled).is_ok_and(|it| it == name)
            } else {
                inner == name
            }
        };
        self.0.iter().position(|(spelled, _)| is_it(spelled))
    }

    fn put(&mut self, name: &Text<'_>, value: &str, change: impl FnOnce(&mut Value, &str)) {
        match self.find(name.as_str()) {
            Some(_) if value == "null" => {}
            Some(at) => change(&mut self.0[at].1, value),
            None => {
                let spelled = serde_json::to_string(name).expect("a string serialises into memory");
                self.0.push((spelled.into(), Value::Raw(value.to_owned())));
            }
        }
    }

    /// Writes them, those named in `with` replaced; what is there and not here comes last.
    pub(super) fn write(self, with: &[(&str, &str)], out: &mut String) {
        let missing: Vec<_> = with
            .iter()
            .filter(|(name, _)| self.find(name).is_none())
            .collect();
        out.push('{');
        let mut first = true;
        for (spelled, value) in self.0 {
            if !mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(&spelled);
            out.push(':');
            let inner = &spelled[1..spelled.len() - 1];
            match with.iter().find(|(name, _)| *name == inner) {
                Some((_, json)) => out.push_str(json),
                None => value.write(out),
            }
        }
        for (name, json) in missing {
            if !mem::take(&mut first) {
                out.push(',');
            }
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            out.push_str(json);
        }
        out.push('}');
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn raw(&self, name: &str) -> Option<&str> {
        match &self.0[self.find(name)?].1 {
            Value::Raw(raw) => Some(raw),
            _ => None,
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.0.remove(at);
        }
    }
}

impl Value {
    /// Puts a value, which is not null, behind it, or in its place where the two do not go together.
    fn grow(&mut self, name: &str, value: &str) {
        self.open(value);
        match (&mut *self, value.as_bytes().first()) {
            (Self::Text(all), Some(b'"')) if is_text(name) => {
                all.push_str(&value[1..value.len() - 1]);
            }
            (Self::Text(all), Some(b'"')) if name == "data" => {
                let joined = base64::join(&unquoted(all), &unquoted(&value[..value.len() - 1]));
                *all = format!("\"{joined}");
            }
            (Self::List(all), Some(b'[')) => {
                let more = value[1..value.len() - 1].trim();
                if !more.is_empty() {
                    if all.trim_end().len() > 1 {
                        all.push(',');
                    }
                    all.push_str(more);
                }
            }
            (Self::Object(all), Some(b'{')) => {
                if let Ok(more) = serde_json::from_str(value) {
                    all.merge(&more);
                }
            }
            _ => *self = Self::Raw(value.to_owned()),
        }
    }

    /// Brings what came alone into the form in which the like of another value can be put behind it.
    fn open(&mut self, other: &str) {
        let Self::Raw(raw) = self else {
            return;
        };
        let kind = raw.as_bytes().first().copied();
        if kind != other.as_bytes().first().copied() {
            return;
        }
        match kind {
            Some(b'"') => {
                raw.pop();
                *self = Self::Text(mem::take(raw));
            }
            Some(b'[') => {
                raw.pop();
                *self = Self::List(mem::take(raw));
            }
            Some(b'{') => {
                let mut all = Folded::default();
                if let Ok(members) = serde_json::from_str(raw) {
                    all.merge(&members);
                }
                *self = Self::Object(all);
            }
            _ => {}
        }
    }

    fn calls(&mut self, pieces: Vec<Members<'_>>) {
        if !matches!(self, Self::Calls(_)) {
            *self = Self::Calls(Vec::new());
        }
        let Self::Calls(all) = self else {
            return;
        };
        for piece in pieces {
            let index = piece.get("index").map(RawValue::get);
            let same = all.iter_mut().find(|call| call.raw("index") == index);
            match same {
                Some(call) => call.merge(&piece),
                None => {
                    let mut call = Folded::default();
                    call.merge(&piece);
                    all.push(call);
                }
            }
        }
    }

    fn write(self, out: &mut String) {
        match self {
            Self::Raw(raw) => out.push_str(&raw),
            Self::Text(text) => {
                out.push_str(&text);
                out.push('"');
            }
            Self::List(list) => {
                out.push_str(&list);
                out.push(']');
            }
            Self::Object(members) => members.write(&[], out),
            Self::Calls(calls) => {
                out.push('[');
                for (nth, mut call) in calls.into_iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    // It counts the pieces of a stream.
                    call.remove("index");
                    call.write(&[], out);
                }
                out.push(']');
            }
        }
    }
}

/// What grows by pieces.
fn is_text(name: &str) -> bool {
    matches!(
        name,
        "content" | "refusal" | "reasoning_content" | "arguments" | "input" | "transcript"
    )
}

/// What a string without its last quote means.
fn unquoted(open: &str) -> String {
    serde_json::from_str(&format!("{open}\"")).unwrap_or_default()
}
