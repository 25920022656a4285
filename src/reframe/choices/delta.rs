//! A delta, or the message of a whole answer: its role, its texts, thoughts and calls.

use std::ops::Range;

use super::{
    super::{
        edits::Object,
        pass::{Bad, Form, Pass},
    },
    Choices,
    thoughts::{Thought, Thoughts},
};
use crate::{
    meter::speech,
    wire::{
        json::{Cursor, Type},
        shape,
    },
};

impl Choices {
    /// As [`delta`](Self::delta), and remembers whether it said anything.
    pub(super) fn tell(
        &mut self,
        c: &mut Cursor<'_>,
        index: u64,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let before = pass.seen.content;
        self.delta(c, index, pass)?;
        if pass.seen.content > before {
            let (choice, _) = self.at_choice(index)?;
            self.list[choice].told = true;
        }
        Ok(())
    }

    /// A delta, or the message of a whole answer.
    pub(super) fn delta(
        &mut self,
        c: &mut Cursor<'_>,
        index: u64,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let (choice, new) = self.at_choice(index)?;
        pass.seen.changed |= new;
        let new = new || pass.form == Form::Whole;
        if c.peek()? != Type::Object {
            return no_delta(c, new, pass);
        }
        c.object()?;
        let mut object = Object::new(c.at());
        let mut role = false;
        let mut thoughts = Thoughts::default();
        let mut parts = None;
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let kind = c.peek()?;
            let mut stays = true;
            match (key.bytes(), kind) {
                (b"role", _) => {
                    role = true;
                    let at = c.next_value()?;
                    if new && pass.text[at.clone()] != *"\"assistant\"" {
                        pass.edits.replace(at, "\"assistant\"");
                    }
                }
                (b"content" | b"refusal", Type::String) => {
                    pass.seen.text(c.next_string()?.range());
                }
                (b"content", Type::Array) => parts = Some(c.next_value()?),
                (b"reasoning_content", kind) => {
                    stays = thoughts.content(kind, c.next_value()?, pass);
                }
                (b"reasoning", kind) if !matches!(kind, Type::Array | Type::Object) => {
                    stays = thoughts.older(key.range(), kind, c.next_value()?, pass);
                }
                (b"audio", Type::Object) => {
                    let at = c.next_value()?;
                    pass.seen.content += speech(&mut Cursor::new(&pass.text[at]))?;
                }
                (b"content", Type::Number | Type::Bool) => {
                    let at = c.next_value()?;
                    pass.quote(at);
                }
                (b"tool_calls", Type::Array) => self.list[choice].calls.read(c, pass)?,
                (b"tool_calls", Type::Object) => self.list[choice].calls.read_one(c, pass)?,
                (b"function_call", Type::Object) => {
                    pass.seen.changed = true;
                    pass.seen.content += c.next_value()?.len() as u64;
                }
                (name, kind) => {
                    let at = c.next_value()?;
                    if !shape::delta(name, kind) {
                        pass.nothing(at, "choices[].delta")?;
                    }
                }
            }
            if stays {
                object.keep(c.at());
            } else {
                object.remove(start, c.at(), pass.edits);
            }
        }
        object.close(pass.edits);
        let thought = thoughts.close(pass);
        if let Some(at) = parts {
            pass.seen.changed = true;
            parts_to_text(at, thought, &mut object, pass);
        }
        if new && !role {
            object.add("\"role\":\"assistant\"", pass.edits);
        }
        Ok(())
    }
}

/// What stands in the place of a delta and says nothing goes out as an empty one.
#[cold]
fn no_delta(c: &mut Cursor<'_>, new: bool, pass: &mut Pass<'_, '_>) -> Result<(), Bad> {
    let at = c.next_value()?;
    if !shape::is_nothing(&pass.text[at.clone()]) {
        return Err(Bad::Shape("choices[].delta"));
    }
    let empty = if new {
        "{\"role\":\"assistant\"}"
    } else {
        "{}"
    };
    pass.edits.replace(at, empty);
    Ok(())
}

/// Content as an array of text and thinking parts becomes a string, and the thinking
/// `reasoning_content`, unless there is one that says something. An array with anything else stays as it is.
#[cold]
fn parts_to_text(
    at: Range<usize>,
    thought: Option<Thought>,
    object: &mut Object,
    pass: &mut Pass<'_, '_>,
) {
    let Ok(serde_json::Value::Array(parts)) = serde_json::from_str(&pass.text[at.clone()]) else {
        return;
    };
    let (mut content, mut thinking) = (String::new(), String::new());
    for part in &parts {
        match part["type"].as_str() {
            Some("text") => content.push_str(part["text"].as_str().unwrap_or_default()),
            Some("thinking") => {
                for piece in part["thinking"].as_array().into_iter().flatten() {
                    thinking.push_str(piece["text"].as_str().unwrap_or_default());
                }
                thinking.push_str(part["thinking"].as_str().unwrap_or_default());
            }
            Some("reference") => {}
            _ => return,
        }
    }
    let content = serde_json::Value::String(content).to_string();
    // As it is spelled, like all other text, without the quotes.
    pass.seen.content += content.len() as u64 - 2;
    pass.edits.replace(at, content);
    if thinking.is_empty() {
        return;
    }
    let thinking = serde_json::Value::String(thinking).to_string();
    pass.seen.content += thinking.len() as u64 - 2;
    match thought {
        // Told already.
        Some(Thought { says: true, .. }) => {}
        Some(Thought { at, .. }) => pass.edits.replace(at, thinking),
        None => object.add(format!("\"reasoning_content\":{thinking}"), pass.edits),
    }
}
