//! Bedrock's stream: frames of whatever names and payloads, and frames that are none.
#![no_main]

#[path = "streams.rs"]
mod streams;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tower_completions::{
    provider::bedrock::Bedrock,
    sse::aws::{Decoder, Kind, write_message},
};

const NAMES: [&str; 8] = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "throttlingException",
    "else",
];

fuzz_target!(|input: (u8, Option<u16>, &[u8])| {
    let (size, flip, bytes) = input;
    // Each line is a frame: its first byte says which.
    let mut frames = BytesMut::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((first, payload)) = line.split_first() else {
            continue;
        };
        let kind = match first >> 6 {
            0 => Kind::Exception,
            1 => Kind::Error,
            _ => Kind::Event,
        };
        write_message(&mut frames, kind, NAMES[usize::from(first & 7)], payload);
    }
    if let Some(at) = flip.filter(|_| !frames.is_empty()) {
        let at = usize::from(at) % frames.len();
        frames[at] ^= 1;
    }
    let translate = Bedrock::new("https://upstream").expect("a URL");
    streams::check(&translate, Decoder::new, size, &frames);
    // And as they came.
    streams::check(&translate, Decoder::new, size, bytes);
});
