//! Reading JSON text in place: a pull parser that allocates nothing, recurses nowhere and checks
//! everything, even in what it skips.
//!
//! ```
//! use tower_completions::wire::json::{Cursor, Fault};
//!
//! fn model(text: &str) -> Result<Option<String>, Fault> {
//!     let mut cursor = Cursor::new(text);
//!     let mut found = None;
//!     cursor.object()?;
//!     while let Some(key) = cursor.key()? {
//!         if key == *"model" {
//!             found = Some(cursor.string()?.cow().into_owned());
//!         } else {
//!             cursor.skip()?;
//!         }
//!     }
//!     cursor.end()?;
//!     Ok(found)
//! }
//!
//! let text = r#"{"messages": [], "m\u006fdel": "gpt"}"#;
//! assert_eq!(model(text), Ok(Some("gpt".to_owned())));
//! ```
//!
//! The grammar is that of RFC 8259, with what it leaves open decided so that no two parsers can
//! disagree on what was accepted: no byte order mark, no lone surrogates, no number beyond the
//! range of a double, at most [`MAX_DEPTH`] levels.

mod alike;
mod bits;
mod cursor;
mod dense;
mod digits;
mod due;
mod escape;
mod fault;
mod key;
mod levels;
mod limit;
mod members;
mod number;
mod pass;
mod resolve;
mod scan;
mod short;
mod sorted;
mod sound;
mod steps;
mod string;
mod unread;
mod window;
mod word;
mod words;

pub(crate) use alike::beginnings;
pub use cursor::{Cursor, MAX_DEPTH, Type};
pub(crate) use fault::Stop;
pub use fault::{Fault, FaultKind};
pub(crate) use key::Key;
pub use number::Number;
pub(crate) use scan::plain_until;
pub(crate) use sound::sound_end;
pub use string::Str;
pub(crate) use word::{Digest, Word};

#[cfg(test)]
mod tests;
