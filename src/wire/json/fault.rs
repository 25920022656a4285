//! Why a text is not the JSON that was asked for.

use std::fmt;

/// Where reading stopped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset in the text.
    pub at: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not what the grammar, or the caller, wants here.
    Syntax,
    /// The text ends within a value.
    End,
    /// Something follows the value.
    Trailing,
    /// More than [`MAX_DEPTH`](super::MAX_DEPTH) levels.
    TooDeep,
    /// More values than the caller allows.
    TooMany,
    /// A control character that is not escaped, within a string.
    Control,
    /// An escape that does not exist.
    Escape,
    /// One half of a surrogate pair without the other.
    Surrogate,
    /// A number that no double can hold.
    Range,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Syntax => "unexpected character",
            FaultKind::End => "unexpected end",
            FaultKind::Trailing => "unexpected text after the value",
            FaultKind::TooDeep => "nested deeper than 128 levels",
            FaultKind::TooMany => "too many values",
            FaultKind::Control => "unescaped control character in a string",
            FaultKind::Escape => "unknown escape in a string",
            FaultKind::Surrogate => "lone surrogate in a string",
            FaultKind::Range => "number out of range",
        };
        write!(f, "{what} at byte {}", self.at)
    }
}

impl std::error::Error for Fault {}
