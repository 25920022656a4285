use serde_json::Value;

use super::usual::usual;
use crate::{
    error::{Class, Error, Kind, upstream},
    sse::{Event, is_done},
    wire::{
        json::{Cursor, Type},
        shape,
    },
};

/// What an event says of the stream that it begins.
#[derive(Debug)]
pub(crate) enum Look {
    /// Something for the client to read: the answer has begun.
    Content,
    /// A role, an id, an empty delta: nothing yet.
    Lifecycle,
    /// It is no answer.
    Broken(Error),
}

/// Looks at one event.
pub(crate) fn look(event: &Event) -> Look {
    let data = event.data();
    if event.name().is_none() {
        match usual(data) {
            Some(true) => return Look::Content,
            Some(false) => return Look::Lifecycle,
            None => {}
        }
    }
    if is_done(data) {
        let error = Error::new(
            Kind::BadUpstream,
            "The upstream ended before its answer began.",
        );
        return Look::Broken(error.with_class(Class::Transient));
    }
    if event.name() != Some("error") {
        if data.trim_ascii().is_empty() {
            return Look::Lifecycle;
        }
        let text = std::str::from_utf8(data).ok();
        match text.and_then(glance) {
            Some(true) => return Look::Content,
            Some(false) => return Look::Lifecycle,
            None => {}
        }
    }
    look_closely(event)
}

/// Whether a chunk has something to read, found in one pass that keeps nothing. `None` where a
/// closer look decides: it is no JSON, tells of an error, or has a name twice or in other spelling.
fn glance(text: &str) -> Option<bool> {
    let c = &mut Cursor::new(text);
    let mut begun = None;
    c.object().ok()?;
    while let Some(key) = c.key().ok()? {
        match key.bytes() {
            _ if key.is_escaped() => return None,
            b"error" | b"message" | b"detail" => c.null().ok()?,
            b"choices" if begun.is_some() => return None,
            b"choices" => begun = Some(choices(text, c)?),
            _ => {
                c.skip().ok()?;
            }
        }
    }
    c.end().ok()?;
    Some(begun.unwrap_or(false))
}

fn choices(text: &str, c: &mut Cursor<'_>) -> Option<bool> {
    let mut begun = false;
    if c.peek().ok()? != Type::Array {
        c.null().ok()?;
        return Some(false);
    }
    c.array().ok()?;
    while c.element().ok()? {
        let (mut finish, mut delta, mut message) = (false, false, false);
        c.object().ok()?;
        while let Some(key) = c.key().ok()? {
            let kind = c.peek().ok()?;
            match key.bytes() {
                _ if key.is_escaped() => return None,
                name if !shape::choice(name, b"delta", kind) => return None,
                b"index" if kind != Type::Null => {
                    shape::place(c, kind)?;
                }
                b"finish_reason" if !finish => {
                    finish = true;
                    let from = c.at();
                    begun |= says_here(text, c)?;
                    let reason = text[from..c.at()].trim_ascii().trim_matches('"');
                    if upstream::breaks_off(reason.as_bytes()) || reason.contains('\\') {
                        return None;
                    }
                }
                b"error" => c.null().ok()?,
                b"delta" if !delta => {
                    delta = true;
                    begun |= speaks_here(text, c)?;
                }
                // Where there is no delta, it is the message that is read.
                b"message" if !message => {
                    message = true;
                    begun |= speaks_here(text, c)?;
                }
                b"finish_reason" | b"delta" | b"message" => return None,
                _ => {
                    c.skip().ok()?;
                }
            }
        }
    }
    Some(begun)
}

fn says_here(text: &str, c: &mut Cursor<'_>) -> Option<bool> {
    let kind = c.peek().ok()?;
    let value = &text[c.skip().ok()?];
    Some(match kind {
        Type::Null => false,
        Type::String => value.len() > 2,
        Type::Array | Type::Object => !value[1..value.len() - 1].trim_ascii().is_empty(),
        Type::Bool => value == "true",
        Type::Number => true,
    })
}

fn speaks_here(text: &str, c: &mut Cursor<'_>) -> Option<bool> {
    if c.peek().ok()? != Type::Object {
        c.skip().ok()?;
        return Some(false);
    }
    let mut speaks = false;
    let mut names = [&b""[..]; 12];
    let mut known = 0;
    c.object().ok()?;
    while let Some(key) = c.key().ok()? {
        let name = key.bytes();
        if key.is_escaped() || names[..known].contains(&name) {
            return None;
        }
        *names.get_mut(known)? = name;
        known += 1;
        let kind = c.peek().ok()?;
        if !shape::delta(name, kind) {
            return None;
        }
        if name == b"tool_calls" && kind != Type::Null && !shape::calls(text, &mut c.clone())? {
            return None;
        }
        speaks |= says_here(text, c)? && name != b"role";
    }
    Some(speaks)
}

/// The same in full.
pub(super) fn look_closely(event: &Event) -> Look {
    let data = event.data();
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        let error = Error::new(Kind::BadUpstream, "The upstream sent what is no JSON.");
        return Look::Broken(error.with_class(Class::Transient));
    };
    if event.name() == Some("error") {
        return Look::Broken(upstream::in_stream(&event.text()));
    }
    let is_chunk = matches!(event.name(), None | Some("message")) || value.get("choices").is_some();
    if is_chunk && has_failed(&value) {
        return Look::Broken(upstream::in_stream(&event.text()));
    }
    if !is_readable(&value) {
        let error = Error::new(Kind::BadUpstream, "The upstream sent what is no chunk.");
        return Look::Broken(error.with_class(Class::Transient));
    }
    let choices = value.get("choices").and_then(Value::as_array);
    let begun = choices.into_iter().flatten().any(|choice| {
        choice.get("finish_reason").is_some_and(says)
            || choice.get("delta").is_some_and(speaks)
            || choice.get("message").is_some_and(speaks)
    });
    if begun {
        Look::Content
    } else {
        Look::Lifecycle
    }
}

/// Whether a chunk says that the answer has failed, as the re-framer reads it.
fn has_failed(chunk: &Value) -> bool {
    // No chunk is anything but an object; some put their error into an array.
    let Some(members) = chunk.as_object() else {
        return true;
    };
    let is = |name| members.get(name).is_some_and(|value| !value.is_null());
    let choices = members.get("choices").and_then(Value::as_array);
    // Some errors are flat, without a member that says so.
    let is_flat = choices.is_none() && !members.contains_key("usage");
    is("error")
        || (is_flat && (is("message") || is("detail")))
        || choices.into_iter().flatten().any(|choice| {
            let reason = choice["finish_reason"].as_str().unwrap_or_default();
            upstream::breaks_off(reason.as_bytes())
                || choice.get("error").is_some_and(Value::is_object)
        })
}

/// Whether a client can read the choices of a chunk; what the re-framer would refuse has not begun.
fn is_readable(chunk: &Value) -> bool {
    let fits = |choice: &Value| {
        let Some(members) = choice.as_object() else {
            return false;
        };
        // Where there is no delta, it is the message that is read.
        let said = ["delta", "message"].map(|name| members.get(name).and_then(Value::as_object));
        let said = said[0].or(said[1]);
        let index = members.get("index").filter(|it| !it.is_null());
        index.is_none_or(|it| {
            let spelled = it.to_string();
            shape::place(&mut Cursor::new(&spelled), kind(it)).is_some()
        }) && members
            .iter()
            .all(|(name, it)| shape::choice(name.as_bytes(), b"delta", kind(it)) || !says(it))
            && said.into_iter().flatten().all(|(name, it)| {
                !says(it) || (shape::delta(name.as_bytes(), kind(it)) && are_calls(name, it))
            })
    };
    let choices = chunk.get("choices");
    choices.is_none_or(|it| it.is_array() || !says(it))
        && choices
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .all(fits)
}

/// Whether calls, if that is what a member of a delta is, can be read.
fn are_calls(name: &str, value: &Value) -> bool {
    if name != "tool_calls" {
        return true;
    }
    let spelled = value.to_string();
    shape::calls(&spelled, &mut Cursor::new(&spelled)) == Some(true)
}

fn kind(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::Array(_) => Type::Array,
        Value::Object(_) => Type::Object,
    }
}

/// Whether a value is neither null nor false nor empty.
fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

fn speaks(delta: &Value) -> bool {
    let members = delta.as_object().into_iter().flatten();
    members
        .into_iter()
        .any(|(name, value)| name != "role" && says(value))
}

#[cfg(test)]
mod tests;
