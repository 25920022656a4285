//! Drives a provider's translator: never a panic, the cuts of its input make no difference, all that it
//! writes are events of JSON, and an answer that it reads is one.

use bytes::{Bytes, BytesMut};
use tower_completions::{
    Target,
    parse::Chat,
    provider::{Asked, Translate, TranslateStream},
    sse::Decode,
};

/// What an answer's bytes become, in pieces of so many.
pub fn run<T: Translate, D: Decode>(
    translate: &T,
    asked: &Asked,
    mut decoder: D,
    bytes: &[u8],
    size: usize,
) -> (Vec<u8>, bool) {
    let mut stream = translate.stream(asked).expect("it is translated");
    let mut out = BytesMut::new();
    let mut feed = || {
        for piece in bytes.chunks(size) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next() {
                let event = event.map_err(|_| ())?;
                let read = stream.event(event.name(), event.data(), &mut out);
                read.map_err(|_| ())?;
            }
        }
        while let Some(event) = decoder.finish() {
            let event = event.map_err(|_| ())?;
            let read = stream.event(event.name(), event.data(), &mut out);
            read.map_err(|_| ())?;
        }
        stream.finish(&mut out).map_err(|_| ())
    };
    let whole = feed().is_ok();
    let _ = stream.usage();
    (out.to_vec(), whole)
}

pub fn asked() -> Asked {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let asked = Asked::new(&chat, &Target::new("p", "m"), std::time::UNIX_EPOCH);
    // Drawn once, so that every run has the same.
    let _ = asked.id();
    asked
}

pub fn check<T: Translate, D: Decode>(
    translate: &T,
    decoder: impl Fn() -> D,
    size: u8,
    bytes: &[u8],
) {
    let asked = asked();
    let (text, whole) = run(translate, &asked, decoder(), bytes, bytes.len().max(1));
    let cut = run(translate, &asked, decoder(), bytes, usize::from(size).max(1));
    assert_eq!((&text, whole), (&cut.0, cut.1));
    let text = String::from_utf8(text).expect("UTF-8");
    for event in text.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("data");
        let json = serde_json::from_str::<serde_json::Value>(data);
        assert!(data == "[DONE]" || json.is_ok(), "{data}");
    }
    assert!(!whole || text.ends_with("data: [DONE]\n\n"));
    if let Ok(answer) = translate.answer(&asked, Bytes::copy_from_slice(bytes)) {
        serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON");
    }
}
