//! What translation costs: a streamed event and a conversation, Anthropic's and ours.

mod support;

use std::hint::black_box;

use bytes::BytesMut;
use serde_json::{Value, json};
use tower_completions::{
    Target,
    parse::Chat,
    provider::{Asked, Notes, Translate as _, TranslateStream as _, anthropic::Anthropic},
};

fn main() {
    let translate = Anthropic::new("https://upstream.invalid").expect("an address");
    let target = Target::new("anthropic", "claude-sonnet-4");
    let turn = "Tell me more about that.\nIn \"plain\" words, please. ".repeat(20);
    let turns: Vec<Value> = (0..99)
        .map(|at| json!({"role": if at % 2 == 0 {"user"} else {"assistant"}, "content": turn}))
        .collect();
    let text = json!({"model": "m", "messages": turns, "max_tokens": 64}).to_string();
    let bytes = text.len();
    let chat = Chat::parse(text.into()).expect("a request");
    eprintln!("conversation: {bytes} bytes");
    support::main(|bench| {
        bench.case("anthropic/conversation_100k", || {
            let mut notes = Notes::default();
            translate
                .request(black_box(&chat), &target, &mut notes)
                .is_ok()
        });

        let mut stream = translate
            .stream(&Asked::new(&chat, &target, std::time::SystemTime::now()))
            .expect("it is translated");
        let mut out = BytesMut::with_capacity(4096);
        for (name, data) in [
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-sonnet-4","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}"#,
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            ),
        ] {
            let read = stream.event(Some(name), data.as_bytes(), &mut out);
            read.expect("an event");
        }
        let delta = br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word, and another"}}"#;
        bench.case("anthropic/event", || {
            out.clear();
            let read = stream.event(Some("content_block_delta"), black_box(delta), &mut out);
            assert!(read.is_ok() && !out.is_empty(), "a chunk");
            out.len()
        });
    });
}
