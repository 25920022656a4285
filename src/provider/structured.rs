//! Answers by a schema of models that know no such thing: a tool whose arguments are the answer.

use std::borrow::Cow;

use crate::wire::chat::Schema;

/// The tool's name, which a client's own tools may not have.
pub(super) const ANSWER: &str = "gateway__structured_answer";

/// What the tool is for.
pub(super) fn purpose<'a>(schema: &'a Schema<'_>) -> Cow<'a, str> {
    const GIVES: &str = "Gives the answer to the user. Call it once, instead of answering in text.";
    match schema.description.as_deref() {
        None | Some("") => GIVES.into(),
        Some(of) => format!("{GIVES} The answer: {of}").into(),
    }
}

/// Whether a schema can be one of a tool's arguments, which are an object.
pub(super) fn fits(schema: &str) -> bool {
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    schema["type"] == "object"
}
