//! Whatever the upstream streams or answers, however it is cut, what goes out is events of JSON, and the
//! cuts do not matter.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use tower_completions::{
    Target,
    parse::Chat,
    provider::{Asked, Translate, TranslateStream, anthropic::Anthropic},
    sse::Decoder,
};

fn run(asked: &Asked, pieces: &[&[u8]]) -> (BytesMut, bool) {
    let translate = Anthropic::new("http://host").expect("a URL");
    let mut stream = translate.stream(asked).expect("translated");
    let mut decoder = Decoder::new();
    let mut out = BytesMut::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            let Ok(event) = event else { return (out, false) };
            if stream.event(event.name(), event.data(), &mut out).is_err() {
                return (out, false);
            }
        }
    }
    let whole = stream.finish(&mut out).is_ok();
    (out, whole)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (at, bytes) = input;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let asked = Asked::new(&chat, &Target::new("p", "m"));
    let _ = asked.id();
    let (out, whole) = run(&asked, &[bytes]);
    let text = std::str::from_utf8(&out).expect("UTF-8");
    for event in text.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("an event of one line");
        if data != "[DONE]" {
            serde_json::from_str::<serde_json::Value>(data).expect("JSON");
        }
    }
    assert_eq!(whole, text.ends_with("data: [DONE]\n\n"));
    let at = usize::from(at).min(bytes.len());
    assert_eq!(run(&asked, &[&bytes[..at], &bytes[at..]]), (out, whole));
    let translate = Anthropic::new("http://host").expect("a URL");
    if let Ok(answer) = translate.answer(&asked, Bytes::copy_from_slice(bytes)) {
        serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON");
    }
});
