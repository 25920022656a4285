//! A request is read without a panic and sent as it came; with changes, what is sent parses to the
//! same values but for these; and serde_json finds in it what this crate finds;
//! what is without a fault is read as types.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_completions::parse::Chat;

fuzz_target!(|body: &[u8]| {
    let Ok(chat) = Chat::parse(Bytes::copy_from_slice(body)) else {
        return;
    };
    assert_eq!(chat.bytes(), body);
    for fault in chat.request().faults() {
        assert!(fault.message(body).len() < 4096);
    }
    // What is without a fault can be read as types too, whatever else stands in it.
    if chat.request().fault_count() == 0 {
        tower_completions::wire::chat::Request::parse(body).expect("readable as types");
    }
    // Two things are known to be read by one alone: the last level, and numbers next to the largest.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    assert_eq!(chat.model(), value["model"].as_str().unwrap_or_default());
    assert_eq!(chat.stream(), value["stream"].as_bool().unwrap_or_default());
    let _ = (chat.n(), chat.input_estimate(), chat.max_output_tokens());

    let mut changed = chat.clone();
    changed.set("model", "\"other\"");
    changed.set("added", "[1]");
    changed.remove("n");
    let mut expected = value.clone();
    let members = expected.as_object_mut().expect("a request is an object");
    members.insert("model".to_owned(), "other".into());
    members.insert("added".to_owned(), serde_json::json!([1]));
    members.remove("n");
    let sent = changed.bytes();
    assert_eq!(serde_json::from_slice::<Value>(&sent).expect("JSON"), expected);
    let again = Chat::parse(sent).expect("an edit leaves a request");
    assert_eq!(again.model(), "other");

    // What is unknown can be taken out, at whatever level, and nothing else goes.
    let mut known = chat.clone();
    for member in chat.request().unknown() {
        known.remove_unknown(member);
    }
    let known = Chat::parse(known.bytes()).expect("a cut leaves a request");
    assert_eq!(known.request().fault_count(), chat.request().fault_count());
    if !chat.request().has_more_unknown() {
        assert_eq!(known.request().unknown().len(), 0);
    }
});
