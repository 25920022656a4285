//! Answers and chunks of the usual form, read in one pass.
//!
//! Nearly all have one choice and their members in the order that OpenAI has given them. What is
//! written so, indented or not, and needs no change but that of a name, is recognised member by
//! member, and nothing is noted before all of it is. Anything else is for the full reading.

mod answer;
mod chunk;

pub(super) use answer::Answer;
pub(super) use chunk::Chunk;
