//! A streamed event costs next to nothing: no tree of values is built of it.

use bytes::BytesMut;
use tower_completions::{
    Target,
    parse::Chat,
    provider::{Asked, Translate, TranslateStream, anthropic::Anthropic, gemini::Gemini},
};

/// The allocations of the last of these events.
fn last<T: Translate>(translate: &T, events: &[&str]) -> u64 {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let asked = Asked::new(&chat, &Target::new("p", "m"), std::time::SystemTime::now());
    let mut stream = translate.stream(&asked).expect("translated");
    let mut out = BytesMut::with_capacity(4096);
    let (measured, before) = events.split_last().expect("some");
    for event in before {
        stream
            .event(None, event.as_bytes(), &mut out)
            .expect("an event");
    }
    // As in the body: what was written has gone out, so that room is made anew.
    drop(out.split().freeze());
    let counted = allocation_counter::measure(|| {
        stream
            .event(None, measured.as_bytes(), &mut out)
            .expect("an event");
    });
    assert!(out.ends_with(b"\n\n"), "a chunk came of it");
    counted.count_total
}

#[test]
fn a_streamed_event_allocates_at_most_twice() {
    let anthropic = Anthropic::new("http://host").expect("a URL");
    let events = [
        r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" wörd \"and\\n another"}}"#,
    ];
    assert!(last(&anthropic, &events) <= 2);
    let gemini = Gemini::new("http://host").expect("a URL");
    let event = r#"{"candidates":[{"content":{"parts":[{"text":"a wörd \"and\\n another"}],"role":"model"},"index":0}],
        "usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":6},"modelVersion":"g","responseId":"r"}"#;
    assert!(last(&gemini, &[event, event]) <= 2);
}
