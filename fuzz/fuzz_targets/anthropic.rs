//! Anthropic's stream, whatever it sends.
#![no_main]

#[path = "streams.rs"]
mod streams;

use libfuzzer_sys::fuzz_target;
use tower_completions::{provider::anthropic::Anthropic, sse::Decoder};

fuzz_target!(|input: (u8, &[u8])| {
    let translate = Anthropic::new("https://upstream").expect("a URL");
    streams::check(&translate, Decoder::new, input.0, input.1);
});
