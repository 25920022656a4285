#![allow(missing_docs)]

mod support;

use std::{
    convert::Infallible,
    future::Future as _,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{Stream, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use tower::Service;
use tower_completions::{
    Dialect,
    parse::{Chat, ChatBody},
    reframe::ReframeLayer,
    sse::Decoder,
    time::NoTimer,
};

/// Bytes of one stream.
const TOTAL: usize = 10_000_000;

/// An event as a large provider sends it, 284 bytes with its blank line.
fn event(number: usize) -> String {
    // The first names the role.
    let role = if number == 0 {
        r#""role":"assistant","#
    } else {
        ""
    };
    let start = format!(
        r#"data: {{"id":"chatcmpl-BqXk2v9PZcW1sYd7LmNoRtUvWxYz0","object":"chat.completion.chunk","created":1755000000,"model":"gpt-4o-mini","system_fingerprint":"fp_0123456789","choices":[{{"index":0,"delta":{{{role}"content":" word{:04}"}},"finish_reason":null}}],"obfuscation":""#,
        number % 10_000
    );
    let filler = "aB3".repeat(100);
    format!("{start}{}\"}}\n\n", &filler[..284 - start.len() - 4])
}

fn recorded() -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < TOTAL {
        text.push_str(&event(number));
        number += 1;
    }
    text
}

fn chunks(text: &str, size: usize) -> Vec<Bytes> {
    // One allocation an upstream read, as a connection's buffer gives them.
    text.as_bytes()
        .chunks(size)
        .map(|chunk| {
            let chunk = Bytes::from(chunk.to_vec());
            // Already shared, as what a connection hands out is.
            drop(chunk.clone());
            chunk
        })
        .collect()
}

fn drain<S: Stream + Unpin>(mut stream: S) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut events = 0;
    while let Poll::Ready(Some(item)) = Pin::new(&mut stream).poll_next(&mut cx) {
        black_box(item);
        events += 1;
    }
    events
}

struct Chunks(std::vec::IntoIter<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// A whole stream through the service, for a client that asked for this model.
fn reframe(layer: &ReframeLayer<NoTimer>, model: &str, chunks: Vec<Bytes>) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let body = Chunks(chunks.into_iter());
    let mut body = Some(body);
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .body(body.take().expect("called once"))
            .expect("a response");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let ask = format!(
        r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let chat = Chat::parse(ask.into()).expect("a request");
    let mut service = layer.alone(inner);
    let mut future = pin!(service.call(Request::new(ChatBody::new(chat))));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        unreachable!("the inner service is ready at once")
    };
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        bytes += frame.into_data().map_or(0, |data| data.len());
    }
    bytes
}

fn main() {
    let text = recorded();
    let events = text.matches("\n\n").count();
    eprintln!("{events} events of 284 bytes a run: divide by that");
    let layer = ReframeLayer::new(Dialect::openai()).timer(NoTimer);
    support::main(|bench| {
        bench.bytes = Some(text.len() as u64);
        for (name, size) in [("284B", 284), ("1KB", 1024), ("16KB", 16 * 1024)] {
            let chunks = chunks(&text, size);
            bench.case(&format!("newlines/{name}"), || {
                let mut lines = 0;
                for chunk in &chunks {
                    for at in memchr::memchr_iter(b'\n', chunk) {
                        black_box(at);
                        lines += 1;
                    }
                }
                lines
            });
            bench.case(&format!("decoder/{name}"), || {
                let mut decoder = Decoder::new();
                let mut events = 0;
                for chunk in &chunks {
                    decoder.push(chunk.clone());
                    while let Some(event) = decoder.next() {
                        black_box(&event);
                        events += 1;
                    }
                }
                events
            });
            let source = || stream::iter(chunks.clone().into_iter().map(Ok::<_, Infallible>));
            bench.case(&format!("eventsource-stream/{name}"), || {
                drain(source().eventsource())
            });
            bench.case(&format!("sse-stream/{name}"), || {
                drain(sse_stream::SseByteStream::new(source()))
            });
            bench.case(&format!("sseer/{name}"), || {
                drain(sseer::EventStream::new(source()))
            });
            bench.case(&format!("reframe/{name}"), || {
                reframe(&layer, "gpt-4o-mini", chunks.clone())
            });
            bench.case(&format!("reframe-renamed/{name}"), || {
                reframe(&layer, "openai/gpt-4o-mini", chunks.clone())
            });
        }
    });
}
