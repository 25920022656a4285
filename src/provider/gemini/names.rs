//! Names of tools. Gemini's begin with a letter or `_`; OpenAI's may begin with a digit or a dash, and
//! have no dot: what stands before such a name is told from every name of a client's own.

use std::borrow::Cow;

use crate::provider::json::Spelled;

const BEFORE: &str = "_.";

/// The name as Gemini takes it.
pub(super) fn fit(name: &str) -> Cow<'_, str> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if fits {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{BEFORE}{name}"))
    }
}

/// The client's own name.
pub(super) fn back(name: Spelled<'_>) -> Spelled<'_> {
    Spelled(name.0.strip_prefix(BEFORE).unwrap_or(name.0))
}
