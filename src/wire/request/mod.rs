//! A chat-completions request as an index over its own bytes.
//!
//! One pass over the text checks that it is JSON and finds out everything that the layers ask of it:
//! where each top-level member stands, what decides the request (model, stream, limits), how much of
//! what it holds, and what is wrong with its shape or its values. Nothing is copied: contents stay
//! in the text.
//!
//! ```
//! use tower_completions::wire::request::{Name, Request};
//!
//! let text = br#"{"model":"gpt","messages":[{"role":"user","content":"Hi"}],"n":0,"top_k":5}"#;
//! let request = Request::read(text).unwrap();
//! assert_eq!(request.model(), Some("gpt"));
//! assert_eq!(request.counts().messages, 1);
//! assert!(request.member(Name::Stream).is_none());
//!
//! let fault = &request.faults()[0];
//! assert_eq!(fault.message(text), "`n` must be an integer between 1 and 128, got 0");
//! assert_eq!(request.unknown().count(), 1);
//! ```

mod bounds;
mod choice;
mod chosen;
mod counts;
mod entries;
mod fault;
mod format;
mod found;
mod index;
mod keys;
mod known;
mod message;
mod name;
mod objects;
mod options;
mod part;
mod path;
mod reader;
mod tool;
mod top;
mod utf8;
mod values;
mod view;

pub use bounds::{Bounds, MAX_ESCAPED, MAX_HUGE};
pub use counts::Counts;
pub use fault::{Fault, FaultKind, Unreadable, shown};
pub use index::{ImageUrls, Member, Request, ToolChoice, UnknownMember};
pub use name::Name;
pub use path::path_at;
pub(crate) use path::pattern_at;
pub use reader::{MAX_COUNTED, MAX_FAULTS, MAX_UNKNOWN};
pub use top::MAX_MEMBERS;
pub use view::{Content, Message, Messages, Part, Parts, Role};

#[cfg(test)]
mod tests;
