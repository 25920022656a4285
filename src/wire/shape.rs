//! What the members of an answer must be for a client to read them.

use super::json::Type;

/// Whether the `choices` of an answer may be of this kind.
pub(crate) fn choices(kind: Type) -> bool {
    matches!(kind, Type::Array | Type::Null)
}

/// Whether a choice may have a value of this kind as that member; `said` is the one that says what the
/// answer is: `delta` or `message`.
pub(crate) fn choice(name: &[u8], said: &[u8], kind: Type) -> bool {
    let is = match name {
        b"index" => kind == Type::Number,
        b"finish_reason" => kind == Type::String,
        name if name == said => kind == Type::Object,
        _ => return true,
    };
    is || kind == Type::Null
}

/// The same of a delta, or of the message of a whole answer. The content may be one of parts, as some
/// vendors write it.
pub(crate) fn delta(name: &[u8], kind: Type) -> bool {
    let is = match name {
        b"content" => matches!(kind, Type::String | Type::Array),
        b"refusal" => kind == Type::String,
        b"tool_calls" => kind == Type::Array,
        b"function_call" | b"audio" => kind == Type::Object,
        _ => return true,
    };
    is || kind == Type::Null
}

/// The same of a fragment of a call.
pub(crate) fn call(name: &[u8], kind: Type) -> bool {
    let is = match name {
        b"index" => kind == Type::Number,
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

/// Whether a delta or a message that is no object says nothing: null, or the empty list that an empty object
/// is in PHP.
pub(crate) fn is_nothing(spelled: &str) -> bool {
    let list = spelled
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'));
    spelled == "null" || list.is_some_and(|within| within.trim_ascii().is_empty())
}
