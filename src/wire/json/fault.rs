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
    /// More bytes of keys and names spelled by escapes than the caller allows.
    TooManyEscapes,
    /// More numbers with an exponent of three digits or more and no minus, or with 309 digits, than the caller allows.
    TooManyHuge,
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
            FaultKind::TooManyEscapes => "too many escapes in keys and names",
            FaultKind::TooManyHuge => {
                "too many numbers with exponents of three digits or hundreds of digits"
            }
            FaultKind::Control => "unescaped control character in a string",
            FaultKind::Escape => "unknown escape in a string",
            FaultKind::Surrogate => "lone surrogate in a string",
            FaultKind::Range => "number out of range",
        };
        write!(f, "{what} at byte {}", self.at)
    }
}

impl std::error::Error for Fault {}

/// A [`Fault`] in one word, so that a result of these functions travels in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop(usize);

impl From<Stop> for Fault {
    #[cold]
    fn from(stop: Stop) -> Self {
        let kind = match stop.0 & 0xF {
            0 => FaultKind::Syntax,
            1 => FaultKind::End,
            2 => FaultKind::Trailing,
            3 => FaultKind::TooDeep,
            4 => FaultKind::TooMany,
            5 => FaultKind::Control,
            6 => FaultKind::Escape,
            7 => FaultKind::Surrogate,
            8 => FaultKind::TooManyEscapes,
            9 => FaultKind::TooManyHuge,
            _ => FaultKind::Range,
        };
        Self {
            at: stop.0 >> 4,
            kind,
        }
    }
}

#[cold]
pub(super) fn stop(at: usize, kind: FaultKind) -> Stop {
    let kind = match kind {
        FaultKind::Syntax => 0,
        FaultKind::End => 1,
        FaultKind::Trailing => 2,
        FaultKind::TooDeep => 3,
        FaultKind::TooMany => 4,
        FaultKind::Control => 5,
        FaultKind::Escape => 6,
        FaultKind::Surrogate => 7,
        FaultKind::TooManyEscapes => 8,
        FaultKind::TooManyHuge => 9,
        FaultKind::Range => 10,
    };
    // No text is so long that its places need the upper four bits.
    Stop(at << 4 | kind)
}

/// What stands here is not what is wanted.
#[cold]
pub(super) fn unexpected(text: &[u8], at: usize) -> Stop {
    if at < text.len() {
        stop(at, FaultKind::Syntax)
    } else {
        stop(text.len(), FaultKind::End)
    }
}
