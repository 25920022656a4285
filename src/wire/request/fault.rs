//! What is wrong with the shape or the values of a request that is well-formed JSON.

use std::fmt::Write;

use super::path::path_at;
use crate::wire::json::{self, Cursor};

/// One mistake and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset of the value at fault; of the object, when a member is missing.
    pub at: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The object at the place lacks this member.
    Missing(&'static str),
    /// Of another type than this: "a string".
    Type(&'static str),
    /// Of the right type, but not this: "a number between 0 and 2".
    Value(&'static str),
    /// At odds with another member: what is asked of it, as the end of a sentence.
    Rule(&'static str),
}

impl Fault {
    /// Whether something is missing or of the wrong type, so that its value cannot be judged.
    #[must_use]
    pub fn is_of_shape(&self) -> bool {
        matches!(self.kind, FaultKind::Missing(_) | FaultKind::Type(_))
    }

    /// The path of the field, as OpenAI writes it: `messages[1].content[0].image_url.url`.
    #[must_use]
    pub fn path(&self, text: &[u8]) -> String {
        let mut path = path_at(text, self.at);
        if let FaultKind::Missing(name) = self.kind {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        path
    }

    /// A sentence for the caller: "`n` must be an integer between 1 and 128, got 0".
    #[must_use]
    pub fn message(&self, text: &[u8]) -> String {
        self.message_at(&self.path(text), text)
    }

    /// The same where the path is known already; finding it takes a pass over the text.
    #[must_use]
    pub fn message_at(&self, path: &str, text: &[u8]) -> String {
        match self.kind {
            FaultKind::Missing(_) => format!("`{path}` is required"),
            FaultKind::Type(expected) | FaultKind::Value(expected) => {
                format!("`{path}` must be {expected}, got {}", shown(text, self.at))
            }
            FaultKind::Rule(rule) => format!("`{path}` {rule}"),
        }
    }
}

/// How many bytes of what came are shown.
const SHOWN: usize = 64;

/// The value at a place, cut to 64 bytes, with whatever could disturb a terminal or a log escaped.
#[must_use]
pub fn shown(text: &[u8], at: usize) -> String {
    // Of a long value no more is read than is shown.
    let near = &text[..text.len().min(at.saturating_add(SHOWN + 8))];
    let end = match Cursor::within(near, at.min(near.len()), usize::MAX).skip() {
        // What ends with the cut may go on behind it.
        Ok(range) if range.end < near.len() || near.len() == text.len() => range.end,
        _ => near.len(),
    };
    let value = &text[at.min(end)..end];
    let cut = &value[..value.len().min(SHOWN)];
    let mut out = String::with_capacity(SHOWN + 3);
    let mut whole = cut.len() == value.len();
    for chunk in cut.utf8_chunks() {
        for c in chunk.valid().chars() {
            let before = out.len();
            if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            if out.len() > SHOWN {
                out.truncate(before);
                whole = false;
                break;
            }
        }
    }
    if !whole {
        out.push('…');
    }
    out
}

/// Why a text could not be read as a request at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// Not JSON, too deep, of too many values, of names with too many escapes, or of too many huge numbers.
    Json(json::Fault),
    /// Not UTF-8, from this byte on.
    Encoding(usize),
    /// JSON, but not an object.
    NotAnObject,
    /// A key that stood in the same object before; its byte offset.
    Duplicate(usize),
    /// More members than [`MAX_MEMBERS`](super::MAX_MEMBERS) at the top level.
    TooManyMembers,
    /// More faults than are borne, where nothing further was read: the first of those of shape, or
    /// of all when none is of shape.
    TooManyFaults(Fault),
    /// Longer than 4 GiB.
    TooLong,
}

impl From<json::Fault> for Unreadable {
    fn from(fault: json::Fault) -> Self {
        Self::Json(fault)
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(fault) => fault.fmt(f),
            Self::Encoding(at) => write!(f, "not UTF-8 at byte {at}"),
            Self::NotAnObject => f.write_str("not an object"),
            Self::Duplicate(at) => write!(f, "duplicate key at byte {at}"),
            Self::TooManyMembers => f.write_str("too many members"),
            Self::TooManyFaults(first) => {
                write!(f, "too many faults, the first at byte {}", first.at)
            }
            Self::TooLong => f.write_str("longer than 4 GiB"),
        }
    }
}

impl std::error::Error for Unreadable {}
