//! The re-framer of answers: whatever an OpenAI-like upstream sends, as the canonical form of it.
#![allow(dead_code)]

mod body;
mod clock;
mod config;
mod edits;
mod fault;
mod fold;
mod machine;
mod read;
mod whole;

pub use body::ResponseBody;
pub use fold::{fold, unfold};
