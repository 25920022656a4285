//! A stream of a provider, whole, byte by byte and cut at every place.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use bytes::{Bytes, BytesMut};
use tower_completions::{
    Error, Target,
    parse::Chat,
    provider::{Asked, Framing, Translate, TranslateStream as _},
    sse::{self, Decode, aws},
};

pub fn asked() -> Asked {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let chat = Chat::parse(body.into()).expect("a request");
    let asked = Asked::new(&chat, &Target::new("p", "m"), std::time::SystemTime::now());
    // Drawn once, so that every run has the same.
    let _ = asked.id();
    asked
}

pub fn decoder(framing: Framing) -> Box<dyn Decode> {
    match framing {
        Framing::JsonLines => Box::new(sse::ndjson::Decoder::new()),
        Framing::AwsEventStream => Box::new(aws::Decoder::new()),
        _ => Box::new(sse::Decoder::new()),
    }
}

/// What comes of a stream in these pieces: what was written, and the error that ended it.
pub fn run<T: Translate>(
    translate: &T,
    asked: &Asked,
    pieces: &[&[u8]],
) -> (String, Option<Error>) {
    let mut stream = translate.stream(asked).expect("translated");
    let mut decoder = decoder(stream.framing());
    let mut out = BytesMut::new();
    let mut feed = || {
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next() {
                let event = event.expect("well framed");
                stream.event(event.name(), event.data(), &mut out)?;
            }
        }
        stream.finish(&mut out)
    };
    let error = feed().err();
    (String::from_utf8(out.to_vec()).expect("UTF-8"), error)
}

/// The same however it is cut.
pub fn streamed<T: Translate>(translate: &T, text: &[u8]) -> (String, Option<Error>) {
    let asked = asked();
    let (out, error) = run(translate, &asked, &[text]);
    let told = |error: &Option<Error>| error.as_ref().map(|it| (it.class(), it.to_string()));
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    let by_byte = run(translate, &asked, &bytes);
    assert_eq!((&by_byte.0, told(&by_byte.1)), (&out, told(&error)));
    for at in 0..text.len() {
        let cut = run(translate, &asked, &[&text[..at], &text[at..]]);
        assert_eq!((&cut.0, told(&cut.1)), (&out, told(&error)), "{at}");
    }
    (out, error)
}
