//! Streams as each vendor frames them, through the public layer: what comes out is written down
//! beside what goes in, in `tests/fixtures/streams`. Each input says in its first line what it is
//! written after. `UPDATE=1` writes the outputs anew, to be read before they are kept.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use serde_json::Value;
use tower::Service;
use tower_completions::{
    Dialect,
    meter::{Outcome, Tally},
    parse::{Chat, ChatBody},
    reframe::{ReframeLayer, fold},
    time::NoTimer,
};

/// An upstream's reads.
#[derive(Default)]
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

/// What a client sees of an upstream that is read in these pieces.
fn reframe(pieces: &[&[u8]], include_usage: bool) -> (String, Tally) {
    let options = if include_usage {
        r#","stream_options":{"include_usage":true}"#
    } else {
        ""
    };
    let ask = format!(
        r#"{{"model":"asked","stream":true{options},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let chat = Chat::parse(ask.into()).expect("a request");
    let mut pieces = Some(Pieces(
        pieces
            .iter()
            .map(|piece| Bytes::copy_from_slice(piece))
            .collect(),
    ));
    let inner = tower::service_fn(move |_: Request<ChatBody>| {
        let body = pieces.take().expect("called once");
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(
            response.body(body).expect("a response"),
        ))
    });
    let layer = ReframeLayer::new(Dialect::openai()).timer(NoTimer);
    let mut service = layer.alone(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let future = pin!(service.call(Request::new(ChatBody::new(chat))));
    let Poll::Ready(Ok(response)) = future.poll(&mut cx) else {
        panic!("the head goes out at once")
    };
    let tally = response.extensions().get::<Tally>().expect("kept").clone();
    let mut body = pin!(response.into_body());
    let mut out = Vec::new();
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.into_data().expect("data");
                assert!(data.starts_with(b"data: ") && data.ends_with(b"\n\n"));
                out.extend_from_slice(&data);
            }
            // After many reads that complete nothing it lets others have their turn.
            Poll::Pending => {}
        }
    }
    assert!(body.is_end_stream());
    (hide(&String::from_utf8(out).expect("UTF-8")), tally)
}

/// Ids that were made up differ from run to run.
fn hide(out: &str) -> String {
    let mut pieces = out.split("\"call_");
    let mut hidden = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let id = piece.split('"').next().unwrap_or_default();
        hidden.push_str("\"call_");
        hidden.push_str(if id.len() == 24 { "NEW" } else { id });
        hidden.push_str(&piece[id.len()..]);
    }
    hidden
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/streams")
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "sse"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("readable"))
        })
        .collect();
    all.sort();
    assert!(all.len() >= 42, "every quirk has its stream");
    all
}

/// What holds of every stream that leaves the layer.
fn is_canonical(name: &str, out: &str, include_usage: bool, whole: bool) {
    let mut events: Vec<&str> = out
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("data"))
        .collect();
    let last = events.pop().expect("an end");
    assert!(!out.contains(['\r']) && events.iter().all(|event| !event.contains('\n')));
    if whole {
        assert_eq!(last, "[DONE]", "{name}");
    } else {
        let error: Value = serde_json::from_str(last).expect("JSON");
        for member in ["message", "type", "param", "code"] {
            assert!(error["error"].get(member).is_some(), "{name}: {last}");
        }
    }
    let chunks: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let mut opened = BTreeSet::new();
    let mut calls = BTreeSet::new();
    for (at, chunk) in chunks.iter().enumerate() {
        for member in ["id", "created", "model", "object"] {
            assert_eq!(chunk[member], chunks[0][member], "{name}");
        }
        assert!(chunk["id"].as_str().is_some_and(|id| !id.is_empty()));
        assert_eq!(chunk["model"], "asked", "{name}");
        let choices = chunk["choices"]
            .as_array()
            .expect("choices are always there");
        match (include_usage, whole && at + 1 == chunks.len()) {
            (false, _) => assert!(chunk.get("usage").is_none(), "{name}"),
            (true, false) => assert!(chunk.get("usage").is_some_and(Value::is_null), "{name}"),
            (true, true) => {
                assert!(choices.is_empty(), "{name}");
                assert!(chunk["usage"]["prompt_tokens"].is_u64(), "{name}");
            }
        }
        for choice in choices {
            let index = choice["index"].as_u64().expect("an index");
            let delta = &choice["delta"];
            assert!(choice.get("message").is_none() && choice.get("usage").is_none());
            if opened.insert(index) {
                assert_eq!(delta["role"], "assistant", "{name}");
            }
            assert!(delta.get("reasoning").is_none(), "{name}");
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let at = call["index"].as_u64().expect("an index");
                let opens = calls.insert((index, at));
                assert_eq!(call.get("id").is_some(), opens, "{name}");
                assert_eq!(call.get("type").is_some(), opens, "{name}");
                assert_eq!(call["function"].get("name").is_some(), opens, "{name}");
                assert!(call["function"]["arguments"].is_string(), "{name}");
                if opens {
                    let before = calls.range((index, 0)..(index, at)).count() as u64;
                    assert_eq!(before, at, "{name}: calls are counted from 0");
                }
            }
        }
    }
}

#[test]
fn each_vendors_stream_comes_out_as_written_down() {
    let update = std::env::var_os("UPDATE").is_some();
    for (name, input) in inputs() {
        assert!(input.starts_with(b": "), "{name} says what it is after");
        for (include_usage, suffix) in [(false, "out"), (true, "usage.out")] {
            let (out, tally) = reframe(&[&input], include_usage);
            let outcome = tally.outcome().expect("it has ended");
            let whole = matches!(outcome, Outcome::Complete);
            is_canonical(&name, &out, include_usage, whole);
            let path = folder().join(format!("{name}.{suffix}"));
            if update {
                fs::write(&path, &out).expect("written");
            }
            let kept = fs::read_to_string(&path).expect("an output beside the input");
            assert_eq!(out, kept, "{name}.{suffix}");
        }
    }
}

#[test]
fn where_a_vendors_stream_is_cut_makes_no_difference() {
    // Every pair of cuts takes minutes: `EVERY_PAIR=1`. The short form takes each cut, and with it
    // another one that runs through the rest.
    let every = std::env::var_os("EVERY_PAIR").is_some();
    for (name, input) in inputs() {
        let (expected, _) = reframe(&[&input], true);
        for i in 0..=input.len() {
            let (a, rest) = input.split_at(i);
            let seconds: Vec<usize> = if every {
                (0..=rest.len()).collect()
            } else {
                vec![0, i * 7919 % (rest.len() + 1)]
            };
            for j in seconds {
                let (b, c) = rest.split_at(j);
                let (out, _) = reframe(&[a, b, c], true);
                assert_eq!(out, expected, "{name} cut at {i}, {}", i + j);
            }
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(reframe(&bytes, true).0, expected, "{name} byte by byte");
    }
}

#[test]
fn a_stream_cut_off_anywhere_is_never_dressed_as_whole() {
    for (name, input) in inputs() {
        let (whole, _) = reframe(&[&input], false);
        for end in 0..input.len() {
            let (out, tally) = reframe(&[&input[..end]], false);
            let complete = matches!(tally.outcome(), Some(Outcome::Complete));
            is_canonical(&name, &out, false, complete);
            if complete {
                // Nothing of what the client was to read may be missing.
                let text = |out: &str| {
                    let events = out.split_terminator("\n\n").map(|event| &event[6..]);
                    events
                        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
                        .flat_map(|chunk| chunk["choices"].as_array().cloned().unwrap_or_default())
                        .map(|choice| choice["delta"]["content"].as_str().unwrap_or("").to_owned())
                        .collect::<String>()
                };
                assert_eq!(text(&out), text(&whole), "{name} ends at {end}");
            }
        }
    }
}

#[test]
fn each_vendors_stream_folds_into_what_was_streamed() {
    for (name, input) in inputs() {
        let (out, tally) = reframe(&[&input], true);
        let folded = fold(&input);
        if !matches!(tally.outcome(), Some(Outcome::Complete)) {
            assert!(folded.is_err(), "{name}");
            continue;
        }
        let folded: Value = serde_json::from_slice(&folded.expect("whole")).expect("JSON");
        assert_eq!(folded["object"], "chat.completion", "{name}");
        assert!(folded["usage"]["prompt_tokens"].is_u64(), "{name}");
        for choice in folded["choices"].as_array().expect("choices") {
            assert!(choice["finish_reason"].is_string(), "{name}");
            // The text of the deltas, put together.
            for member in ["content", "reasoning_content"] {
                let streamed: String = out
                    .split_terminator("\n\n")
                    .filter_map(|event| serde_json::from_str::<Value>(&event[6..]).ok())
                    .flat_map(|chunk| chunk["choices"].as_array().cloned().unwrap_or_default())
                    .filter(|delta| delta["index"] == choice["index"])
                    .map(|delta| delta["delta"][member].as_str().unwrap_or("").to_owned())
                    .collect();
                let message = choice["message"][member].as_str().unwrap_or_default();
                assert_eq!(message, streamed, "{name}");
            }
            for call in choice["message"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let arguments = call["function"]["arguments"].as_str().expect("a string");
                serde_json::from_str::<Value>(arguments).expect("whole arguments");
                assert!(call["id"].is_string() && call["function"]["name"].is_string());
            }
        }
    }
}
