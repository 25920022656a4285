//! The request as types, for code that turns it into something else.
//!
//! Everything is borrowed from the body: a text without escapes is a slice of it, a schema stays
//! the text that it was. It is meant for bodies that have been checked (depth, duplicates, ranges);
//! what is not of the right type fails to parse, what is merely unknown is kept in
//! [`Request::rest`].
//!
//! ```
//! use tower_completions::wire::chat::{Content, Request, Role};
//!
//! let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"top_k":5}"#;
//! let request = Request::parse(body.as_bytes())?;
//! assert_eq!(request.messages[0].role, Role::User);
//! assert!(matches!(&request.messages[0].content, Some(Content::Text(text)) if &**text == "Hi"));
//! assert_eq!(request.extra("top_k").expect("kept").get(), "5");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod choice;
mod lenient;
mod message;
mod request;
mod tool;
mod value;

pub use choice::{AllowedMode, ResponseFormat, Schema, Stop, ToolChoice};
pub use message::{
    Audio, Breakpoint, Content, File, Image, Message, Part, Role, parts_of, text_of,
};
pub use request::{FunctionChoice, Request};
pub use tool::{Custom, CustomCall, Function, FunctionCall, Tool, ToolCall};
pub use value::{Integer, Raw, Text};

#[cfg(test)]
mod tests;
