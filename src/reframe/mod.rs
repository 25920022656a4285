//! The re-framer of streams.
#![allow(dead_code)]

mod config;
mod edits;
mod fault;
mod machine;
mod read;
