//! Where a chunk ends makes no difference to the events, and two other decoders read the same.
#![no_main]

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use libfuzzer_sys::fuzz_target;
use tower_completions::sse::Decoder;

/// An event's type and its data; `None` where a limit was passed.
type Told = Option<(Option<String>, Vec<u8>)>;

fn ours(pieces: &[Bytes]) -> Vec<Told> {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(event) = decoder.next() {
            let Ok(event) = event else {
                found.push(None);
                return found;
            };
            found.push(Some((
                event.name().map(str::to_owned),
                event.data().to_vec(),
            )));
        }
    }
    assert!(decoder.finish().is_none(), "an unfinished event is dropped");
    found
}

fn drain<T>(stream: impl Stream<Item = T>) -> Vec<T> {
    let mut stream = pin!(stream);
    let mut cx = Context::from_waker(Waker::noop());
    let mut items = Vec::new();
    while let Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut cx) {
        items.push(item);
    }
    items
}

fn source(pieces: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + use<> {
    stream::iter(pieces.to_vec().into_iter().map(Ok))
}

fn sse_stream(pieces: &[Bytes]) -> Vec<Told> {
    drain(sse_stream::SseByteStream::new(source(pieces)))
        .into_iter()
        .filter_map(|event| {
            let event = event.expect("UTF-8");
            // It gives blocks without data too.
            let name = event.event.filter(|name| !name.is_empty());
            Some(Some((name, event.data?.into_bytes())))
        })
        .collect()
}

fn sseer(pieces: &[Bytes]) -> Vec<Told> {
    drain(sseer::EventStream::new(source(pieces)))
        .into_iter()
        .map(|event| {
            let event = event.expect("UTF-8");
            let name = Some(event.event.to_string()).filter(|name| name != "message");
            Some((name, event.data.as_bytes().to_vec()))
        })
        .collect()
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = ours(&[Bytes::copy_from_slice(bytes)]);
    let pieces: Vec<Bytes> = bytes
        .chunks(usize::from(size).max(1))
        .map(Bytes::copy_from_slice)
        .collect();
    assert_eq!(ours(&pieces), whole);

    // Both end at what is not UTF-8, and an event named `message` is no other than one without a
    // name to one of them. `sseer` keeps a type that `event` without a colon should clear.
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if text.contains("message") {
        return;
    }
    assert_eq!(sse_stream(&pieces), whole, "sse-stream");
    if !text
        .split(['\n', '\r'])
        .any(|line| line.trim_start_matches('\u{feff}') == "event")
    {
        assert_eq!(sseer(&pieces), whole, "sseer");
    }
});
