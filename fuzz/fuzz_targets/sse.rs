//! Where a chunk ends makes no difference to the events.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tower_completions::sse::Decoder;

fn events<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    let mut note = |event: Result<tower_completions::sse::Event, _>| {
        let event: Option<Vec<u8>> = event.ok().map(|event| event.data().to_vec());
        found.push(event.clone());
        event.is_some()
    };
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next() {
            if !note(event) {
                return found;
            }
        }
    }
    if let Some(event) = decoder.finish() {
        note(event);
    }
    found
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = events(std::iter::once(bytes));
    assert_eq!(events(bytes.chunks(usize::from(size).max(1))), whole);
});
