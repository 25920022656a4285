//! The decoder beside two others, over the same bytes in the same pieces.
//!
//! Known faults, which are kept out of what is compared:
//! - `sse-stream` 0.3 gives blocks without data too (left out here), ends at the first byte that is
//!   not UTF-8, and hands an id on to no later event (so ids are not compared).
//! - `sseer` 0.3 keeps the type of an `event` line when a second one without a colon should clear it,
//!   takes a `retry` with a plus sign, calls the default type `message`, and ends at the first byte
//!   that is not UTF-8.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use proptest::prelude::*;
use tower_completions::sse::Decoder;

/// An event's type and its data.
type Told = (Option<String>, String);

fn ours(pieces: &[Bytes]) -> Vec<Told> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(event) = decoder.next() {
            let event = event.expect("no limit");
            let name = event.name().map(str::to_owned);
            events.push((name, event.text().into_owned()));
        }
    }
    assert!(decoder.finish().is_none(), "an unfinished event is dropped");
    events
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
    let pieces: VecDeque<Bytes> = pieces.iter().cloned().collect();
    stream::iter(pieces.into_iter().map(Ok))
}

fn sse_stream(pieces: &[Bytes]) -> Vec<Told> {
    drain(sse_stream::SseByteStream::new(source(pieces)))
        .into_iter()
        .filter_map(|event| {
            let event = event.expect("UTF-8");
            Some((event.event.filter(|name| !name.is_empty()), event.data?))
        })
        .collect()
}

fn sseer(pieces: &[Bytes]) -> Vec<Told> {
    drain(sseer::EventStream::new(source(pieces)))
        .into_iter()
        .map(|event| {
            let event = event.expect("UTF-8");
            let name = Some(event.event.to_string()).filter(|name| name != "message");
            (name, event.data.to_string())
        })
        .collect()
}

/// Cuts at these places.
fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let bytes = text.as_bytes();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let pairs = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    pairs
        .map(Bytes::copy_from_slice)
        .filter(|piece| !piece.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_two_other_decoders_read(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "data: ", "data:", "data", "event: ", "id: ", "retry: 7", ":", ": x", "x: y", " ",
                "a", "{\"b\":1}", "[DONE]", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "ü", "\u{2028}",
                "data: {\"c\":2}\n\n", "event: ping\ndata: 1\n\n",
            ]),
            0..40,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let pieces = cut(&parts.concat(), &cuts);
        let told = ours(&pieces);
        prop_assert_eq!(&told, &sse_stream(&pieces), "sse-stream");
        prop_assert_eq!(&told, &sseer(&pieces), "sseer");
    }
}

#[test]
fn the_known_faults_of_the_others_are_still_there() {
    let read = |text: &str| vec![Bytes::copy_from_slice(text.as_bytes())];
    let cleared = read("event: x\nevent\ndata: a\n\n");
    assert_eq!(ours(&cleared), [(None, "a".to_owned())]);
    assert_eq!(sseer(&cleared)[0].0.as_deref(), Some("x"));

    let broken = [Bytes::from_static(b"data: \xff\n\ndata: b\n\n")];
    assert_eq!(ours(&broken).len(), 2);
    assert!(drain(sseer::EventStream::new(source(&broken)))[0].is_err());
    assert!(drain(sse_stream::SseByteStream::new(source(&broken)))[0].is_err());

    let bare = read("id: 1\n\ndata: a\n\n");
    assert_eq!(
        drain(sse_stream::SseByteStream::new(source(&bare))).len(),
        2
    );
    assert_eq!(ours(&bare).len(), 1);
}
