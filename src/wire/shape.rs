//! What the members of an answer must be for a client to read them.

use super::json::{Cursor, Type};

/// Whether a choice may have a value of this kind as that member; `said` is the one that says what the
/// answer is: `delta` or `message`.
pub(crate) fn choice(name: &[u8], said: &[u8], kind: Type) -> bool {
    let is = match name {
        b"index" => matches!(kind, Type::Number | Type::String),
        b"finish_reason" => kind == Type::String,
        name if name == said => kind == Type::Object,
        _ => return true,
    };
    is || kind == Type::Null
}

/// The same of a delta, or of the message of a whole answer. The content may be one of parts, as some
/// vendors write it, or a number, which is how Workers AI spells a token of digits; one call may stand where
/// their list should, as in the streams of TGI before 3.1. These are mended.
pub(crate) fn delta(name: &[u8], kind: Type) -> bool {
    let is = match name {
        b"content" => kind != Type::Object,
        b"refusal" => kind == Type::String,
        b"tool_calls" => matches!(kind, Type::Array | Type::Object),
        b"function_call" | b"audio" => kind == Type::Object,
        _ => return true,
    };
    is || kind == Type::Null
}

/// The same of a fragment of a call.
pub(crate) fn call(name: &[u8], kind: Type) -> bool {
    let is = match name {
        b"index" => matches!(kind, Type::Number | Type::String),
        b"function" | b"custom" => kind == Type::Object,
        _ => return true,
    };
    is || kind == Type::Null
}

/// The same of what is called. The arguments may be an object in place of its text.
pub(crate) fn function(name: &[u8], kind: Type) -> bool {
    let is = match name {
        b"name" | b"input" => kind == Type::String,
        b"arguments" => matches!(kind, Type::String | Type::Object),
        _ => return true,
    };
    is || kind == Type::Null
}

/// Whether a client can read the calls of a delta, a list of fragments or one alone. `None` where they are no
/// JSON.
pub(crate) fn calls(text: &str, c: &mut Cursor<'_>) -> Option<bool> {
    if c.peek().ok()? == Type::Object {
        return fragment(text, c);
    }
    let mut fit = true;
    c.array().ok()?;
    while c.element().ok()? {
        if c.peek().ok()? == Type::Object {
            fit &= fragment(text, c)?;
        } else {
            c.skip().ok()?;
            fit = false;
        }
    }
    Some(fit)
}

fn fragment(text: &str, c: &mut Cursor<'_>) -> Option<bool> {
    let mut fit = true;
    c.object().ok()?;
    while let Some(key) = c.key().ok()? {
        match (key.bytes(), c.peek().ok()?) {
            (b"function" | b"custom", Type::Object) => {
                c.object().ok()?;
                while let Some(key) = c.key().ok()? {
                    let right = function(key.bytes(), c.peek().ok()?);
                    fit &= is(text, c, right)?;
                }
            }
            (name, kind) => fit &= is(text, c, call(name, kind))?,
        }
    }
    Some(fit)
}

/// Passes a value; whether it is of the right type, or says nothing.
fn is(text: &str, c: &mut Cursor<'_>, right: bool) -> Option<bool> {
    let value = c.skip().ok()?;
    Some(right || is_nothing(&text[value]))
}

/// Reads a place in a list: a whole number however it is spelled, in quotes too.
pub(crate) fn place(c: &mut Cursor<'_>, kind: Type) -> Option<u64> {
    match kind {
        Type::Number => c.number().ok()?.as_u64(),
        Type::String => {
            let digits = c.string().ok()?.raw();
            let are = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| are)
        }
        _ => None,
    }
}

/// Whether a value of another type than it must have says nothing, and is as good as null: an empty list is
/// what PHP makes of an empty object, and an empty object what Lua makes of an empty list.
pub(crate) fn is_nothing(spelled: &str) -> bool {
    let within = |open, close| spelled.strip_prefix(open)?.strip_suffix(close);
    let within = within('[', ']').or_else(|| within('{', '}'));
    matches!(spelled, "null" | "false" | "\"\"")
        || within.is_some_and(|within| within.trim_ascii().is_empty())
}
