//! A request is read without a panic, is sent as it came, and takes an edit.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tower_completions::parse::Chat;

fuzz_target!(|body: &[u8]| {
    let Ok(mut chat) = Chat::parse(Bytes::copy_from_slice(body)) else {
        return;
    };
    assert_eq!(chat.bytes(), body);
    let _ = (chat.model(), chat.stream(), chat.n(), chat.input_estimate());
    chat.set("model", "\"other\"");
    let edited = Chat::parse(chat.bytes()).expect("an edit leaves a request");
    assert_eq!(edited.model(), "other");
});
