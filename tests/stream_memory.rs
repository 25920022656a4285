//! What a stream on its way through the re-framer allocates and holds.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tower::{Layer, Service};
use tower_completions::{
    Dialect,
    parse::{Chat, ChatBody},
    reframe::{ReframeLayer, ResponseBody},
    router::CommitLayer,
    sse::Decoder,
    time::NoTimer,
};

/// Reads that are there already, given out again and again; then nothing, for ever.
struct Reads {
    chunks: Vec<Bytes>,
    at: usize,
    times: usize,
}

impl Body for Reads {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.at == self.chunks.len() * self.times {
            return Poll::Pending;
        }
        let chunk = self.chunks[self.at % self.chunks.len()].clone();
        self.at += 1;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

type Stream = ResponseBody<Reads, NoTimer>;

/// A stream for a client that asked for this model.
fn stream(model: &str, reads: Reads) -> Stream {
    stream_of(&layer(), model, reads)
}

fn layer() -> ReframeLayer<NoTimer> {
    ReframeLayer::new(Dialect::openai()).timer(NoTimer)
}

fn stream_of(layer: &ReframeLayer<NoTimer>, model: &str, reads: Reads) -> Stream {
    let ask = format!(
        r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let chat = Chat::parse(ask.into()).expect("a request");
    let mut reads = Some(reads);
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let body = reads.take().expect("called once");
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(
            response.body(body).expect("a response"),
        ))
    });
    let mut service = layer.alone(inner);
    let future = pin!(service.call(Request::new(ChatBody::new(chat))));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response.into_body(),
        _ => panic!("the head goes out at once"),
    }
}

fn poll(body: &mut Pin<Box<Stream>>) -> Option<Bytes> {
    let mut cx = Context::from_waker(Waker::noop());
    match body.as_mut().poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => Some(frame.into_data().expect("data")),
        Poll::Ready(None) => panic!("it never ends"),
        Poll::Pending => None,
    }
}

/// An event of a large provider, with this text in it.
fn event(word: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-BqXk2v9PZcW1sYd7LmNoRtUvWxYz0\",\"object\":\"chat.completion.chunk\",\"created\":1755000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"{word}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"obfuscation\":\"aB3xYz\"}}\n\n"
    )
}

/// One read, as what a connection hands out: already shared.
fn shared(text: &str) -> Bytes {
    let chunk = Bytes::copy_from_slice(text.as_bytes());
    drop(chunk.clone());
    chunk
}

/// What the last of these events costs, each in a read of its own.
fn last_of(model: &str, words: &[&str]) -> AllocationInfo {
    let chunks: Vec<Bytes> = words.iter().map(|word| shared(&event(word))).collect();
    let all = chunks.len();
    let mut body = Box::pin(stream(
        model,
        Reads {
            chunks,
            at: 0,
            times: 1,
        },
    ));
    for _ in 1..all {
        assert!(poll(&mut body).is_some());
    }
    let mut frame = None;
    let info = measure(|| frame = poll(&mut body));
    let frame = frame.expect("a frame an event");
    assert!(frame.ends_with(b"\n\n"));
    let name = format!("\"model\":\"{model}\"");
    assert!(std::str::from_utf8(&frame).is_ok_and(|text| text.contains(&name)));
    info
}

#[test]
fn an_event_that_passes_allocates_nothing() {
    for words in [
        &["a", "b", "c", "d"][..],
        // With escapes, without text, longer than any before.
        &["a", "b", "c\\n", "\\u00e9"],
        &["a", "b", "", ""],
        &["a", "b", "\\\"", &"long".repeat(1000)],
    ] {
        let info = last_of("gpt-4o-mini", words);
        assert_eq!(info.count_total, 0, "{words:.20?} {info:?}");
    }
}

#[test]
fn an_event_whose_model_is_rewritten_allocates_once() {
    for words in [
        &["a", "b", "c", "d"][..],
        &["a", "b", "c\\n", "\\u00e9"],
        &["a", "b", "", ""],
        &["a", "b", "\\\"", &"long".repeat(1000)],
    ] {
        let info = last_of("openai/gpt-4o-mini", words);
        assert_eq!(info.count_total, 1, "{words:.20?} {info:?}");
    }
}

#[test]
fn the_decoder_gives_events_of_a_chunk_without_allocating() {
    let chunk = shared(&event("a").repeat(50));
    let mut decoder = Decoder::new();
    decoder.push(shared(&event("first")));
    while decoder.next().is_some() {}
    let mut events = 0;
    let info = measure(|| {
        decoder.push(chunk.clone());
        while let Some(event) = decoder.next() {
            events += usize::from(event.is_ok());
        }
    });
    assert_eq!((events, info.count_total), (50, 0));
}

#[test]
fn the_decoder_copies_an_event_that_spans_chunks_once() {
    let text = event("a").repeat(2);
    let mut decoder = Decoder::new();
    for cut in [1, 5, 6, 7, 100, 270] {
        let (a, b) = text.split_at(text.len() - cut);
        for warm in [shared(a), shared(b)] {
            decoder.push(warm);
            while decoder.next().is_some() {}
        }
        let (a, b) = (shared(a), shared(b));
        let mut events = 0;
        let info = measure(|| {
            for chunk in [a, b] {
                decoder.push(chunk);
                while let Some(event) = decoder.next() {
                    events += usize::from(event.is_ok());
                }
            }
        });
        assert_eq!((events, info.count_total), (2, 1), "{cut} {info:?}");
    }
}

#[test]
fn an_idle_stream_holds_less_than_2_kib() {
    for (model, size) in [
        ("gpt-4o-mini", 277),
        ("gpt-4o-mini", 1024),
        ("openai/gpt-4o-mini", 277),
        ("openai/gpt-4o-mini", 16 << 10),
    ] {
        // Cut so that events span reads, and that the last one is half there.
        let text = event("word").repeat(200);
        let text = &text[..text.len() - 150];
        let chunks: Vec<Bytes> = text.as_bytes().chunks(size).map(shared_bytes).collect();
        let reads = Reads {
            chunks,
            at: 0,
            times: 1,
        };
        let layer = layer();
        let mut body = None;
        let info = measure(|| {
            let mut open = Box::pin(stream_of(&layer, model, reads));
            while poll(&mut open).is_some() {}
            body = Some(open);
        });
        // The box of the body is in it; what the upstream itself holds is not ours.
        let held = info.bytes_current - size_of::<Reads>() as i64;
        assert!(held <= 2048, "{model} {size}: {held} bytes");
        assert!(held > 150, "half an event at least");
        drop(body);
    }
}

#[test]
fn what_was_looked_at_is_let_go_of_once_it_is_handed_on() {
    let chunks = ["first", "second"].map(|word| shared(&event(word)));
    let mut reads = Some(Reads {
        chunks: chunks.to_vec(),
        at: 0,
        times: 1,
    });
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let body = reads.take().expect("called once");
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(
            response.body(body).expect("a response"),
        ))
    });
    let ask = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let chat = Chat::parse(ask.into()).expect("a request");
    let mut service = CommitLayer::new().timer(NoTimer).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = Box::pin(service.call(Request::new(ChatBody::new(chat))));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        panic!("the first event has content");
    };
    drop(future);
    let mut body = pin!(response.into_body());
    let mut frames = 0;
    let info = measure(|| {
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
            frames += usize::from(frame.is_ok());
        }
    });
    assert_eq!((frames, info.count_total), (2, 0));
    // The place that the frames stood in, for the stream stays open.
    assert!(info.bytes_current < 0, "{info:?}");
}

#[test]
fn a_million_events_go_through_flat_memory() {
    // `EVENTS=1000000`, as `scripts/long-stream` sets it, is the long form.
    let events: usize = std::env::var("EVENTS")
        .ok()
        .and_then(|events| events.parse().ok())
        .unwrap_or(20_000);
    for model in ["gpt-4o-mini", "openai/gpt-4o-mini"] {
        let text = event("word").repeat(100);
        let size = 1000;
        let chunks: Vec<Bytes> = text.as_bytes().chunks(size).map(shared_bytes).collect();
        let reads = Reads {
            chunks,
            at: 0,
            times: events.div_ceil(100),
        };
        let (mut bytes, mut frames) = (0, 0);
        let info = measure(|| {
            let mut body = Box::pin(stream(model, reads));
            while let Some(frame) = poll(&mut body) {
                bytes += frame.len();
                frames += 1;
            }
        });
        assert!(bytes > events * 250 && frames > events / 4);
        assert!(info.bytes_max < 16 << 10, "{info:?}");
        assert!(info.bytes_current <= 0, "{info:?}");
    }
}

fn shared_bytes(chunk: &[u8]) -> Bytes {
    let chunk = Bytes::copy_from_slice(chunk);
    drop(chunk.clone());
    chunk
}
