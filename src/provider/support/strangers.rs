//! What stands in messages and tools that no type has.

use std::ops::Range;

use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::{
    error::Error,
    parse::Chat,
    provider::Notes,
    wire::{Members, request::pattern_at},
};

/// Names that are told of at most.
const NAMED: usize = 16;

/// Goes through what stands in messages and tools that the API does not know, and so no type has. It is
/// dropped and announced, each name once, save what every provider looks for itself, what is in `taken`,
/// and what says nothing.
pub(in crate::provider) fn strangers(
    chat: &Chat,
    taken: &[&str],
    notes: &mut Notes,
) -> Result<(), Error> {
    const READ: &[&str] = &[
        "reasoning_content",
        "reasoning_details",
        "extra_content",
        // The place of a call in its stream, which clients send back.
        "index",
    ];
    let text = chat.original();
    let top = chat.request().range().start;
    let places = ["messages", "tools"].map(|name| chat.place(name));
    let gone = chat.touched();
    let mut told: SmallVec<[String; 2]> = SmallVec::new();
    for member in chat.request().unknown() {
        let here = |place: &Option<Range<usize>>| {
            place.as_ref().is_some_and(|it| it.contains(&member.key))
        };
        if member.object == top
            || !places.iter().any(here)
            || gone.binary_search(&member.key).is_ok()
        {
            continue;
        }
        let name = chat.key_at(member.key);
        if READ.contains(&&*name) || taken.contains(&&*name) || told.iter().any(|it| *it == *name) {
            continue;
        }
        // A part's and a tool's are told of elsewhere; a message has none.
        let is_mark = name == "cache_control" && !is_message(&text[member.object..]);
        if is_mark || !says(&text[member.key..]) {
            continue;
        }
        told.push(name.into_owned());
        notes.without(pattern_at(text, member.key))?;
        if told.len() == NAMED {
            break;
        }
    }
    Ok(())
}

/// The first JSON value of a text.
fn first<'a>(text: &'a [u8]) -> Option<&'a RawValue> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&'a RawValue>();
    values.next()?.ok()
}

/// Whether a text begins with a message.
fn is_message(text: &[u8]) -> bool {
    let members = first(text).map(|raw| serde_json::from_str::<Members<'_>>(raw.get()));
    members.is_some_and(|members| members.is_ok_and(|members| members.get("role").is_some()))
}

/// Whether the value behind a key says anything.
fn says(text: &[u8]) -> bool {
    let value = first(text).and_then(|key| {
        let behind = text.get(key.get().len()..)?.trim_ascii_start();
        first(behind.strip_prefix(b":")?)
    });
    let value = value.map(|raw| raw.get().trim_matches(['[', ']', '{', '}', '"', ' ', '\n']));
    value.is_none_or(|value| !matches!(value, "" | "null"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::{Contract, Unsupported};

    #[test]
    fn what_no_type_has_is_told_by_its_place_once() {
        let call = json!({"id": "c", "type": "function", "index": 0, "extra_content": {"mine": 1},
            "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "top": 1,
            "tools": [{"type": "function", "function": {"name": "f", "defer": true}}],
            "messages": [
                {"role": "user", "cache_control": {"type": "ephemeral"},
                 "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "fresh": 0}]},
                {"role": "assistant", "content": "x", "annotations": [ ], "parsed": null, "ours": 1,
                 "reasoning_content": "because", "reasoning_details": [{}], "tool_calls": [call]},
                {"role": "assistant", "content": "x", "mine": [1], "gone": 1},
                {"role": "assistant", "content": "x", "mine": [2]}]});
        let mut chat = Chat::parse(body.to_string().into()).expect("a request");
        let gone = |member: &crate::wire::request::UnknownMember| chat.key_at(member.key) == "gone";
        let gone = chat.request().unknown().find(gone).expect("it is there");
        chat.remove_unknown(gone);
        let mut notes = Notes::default();
        strangers(&chat, &["ours"], &mut notes).expect("nothing is refused");
        assert_eq!(
            sorted(notes.dropped()),
            [
                "messages[].cache_control",
                "messages[].content[].fresh",
                "messages[].mine",
                "tools[].function.defer",
            ]
        );
        let mut notes = Notes::new(Contract::new(Unsupported::Refuse));
        let error = strangers(&chat, &[], &mut notes).expect_err("refused");
        assert_eq!(error.code(), Some("unsupported_parameter"));
    }

    fn sorted(names: &[std::borrow::Cow<'static, str>]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}
