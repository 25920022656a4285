//! Translated streams over a scripted upstream.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use http::HeaderMap;

use bytes::BytesMut;

use super::*;
use crate::{error::Error, meter::Outcome, provider::Framing};

/// What the upstream does when it is polled; at the end of the script it is silent for ever.
enum Step {
    Data(&'static str),
    Trailers,
    Break,
    End,
}

struct Script {
    steps: VecDeque<Step>,
    dropped: Arc<AtomicBool>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl HttpBody for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.steps.pop_front() {
            None => Poll::Pending,
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Break) => Poll::Ready(Some(Err("reset".into()))),
            Some(Step::End) => Poll::Ready(None),
        }
    }
}

/// Repeats each number; a 0 is the end of the answer.
struct Say {
    over: bool,
}

impl TranslateStream for Say {
    fn framing(&self) -> Framing {
        Framing::JsonArray
    }

    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        self.over |= data == b"0";
        let data = if data == b"0" { b"[DONE]" } else { data };
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(data);
        out.extend_from_slice(b"\n\n");
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        if self.over { Ok(()) } else { Err(cut()) }
    }

    fn usage(&self) -> Option<crate::wire::Usage> {
        None
    }
}

/// What comes out, whether it has come to its end, how, and whether the upstream is gone.
fn read(steps: impl IntoIterator<Item = Step>) -> (String, bool, Tally, bool) {
    let dropped = Arc::new(AtomicBool::new(false));
    let script = Script {
        steps: steps.into_iter().collect(),
        dropped: Arc::clone(&dropped),
    };
    let tally = Tally::new();
    let mut body = Box::pin(Body::stream(
        script,
        Some(Say { over: false }),
        &tally,
        Spellings::default(),
        Told::AsTheyAre,
    ));
    let mut cx = Context::from_waker(Waker::noop());
    let mut out = Vec::new();
    let ended = loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(None) => break true,
            Poll::Pending => break false,
            Poll::Ready(Some(frame)) => {
                let data = frame.expect("told in the stream").into_data();
                let data = data.expect("data alone");
                assert!(!data.is_empty());
                out.extend_from_slice(&data);
            }
        }
    };
    assert_eq!(body.is_end_stream(), ended);
    let out = String::from_utf8(out).expect("UTF-8");
    (out, ended, tally, dropped.load(Ordering::SeqCst))
}

#[test]
fn nothing_follows_a_finished_answer() {
    use Step::{Break, Data, End, Trailers};
    for steps in [
        vec![Data("[1,0]"), End],
        vec![Data("[1"), Data(",0]"), Trailers, End],
        vec![Data("[1,0]"), Break],
        vec![Data("[1,0,"), Break],
        vec![Data("[1,0,"), End],
        // Not an array, in the same read and in one of its own.
        vec![Data("[1,0 2]")],
        vec![Data("[1,0"), Data(" "), Data("2"), End],
        vec![Data("[1,0]x")],
        vec![Data("[1,0]"), Data("x")],
        vec![Data("[1,0,2]"), End],
        // It says nothing more, nor does it end.
        vec![Data("[1,0,")],
    ] {
        let (out, ended, tally, dropped) = read(steps);
        assert_eq!(out, "data: 1\n\ndata: [DONE]\n\n");
        assert!(ended && dropped, "nothing more is wanted of the upstream");
        assert!(tally.outcome().is_none(), "{:?}", tally.outcome());
    }
}

#[test]
fn an_answer_that_breaks_off_ends_with_an_error() {
    use Step::{Break, Data, End, Trailers};
    for steps in [
        vec![Data("[1,"), Break],
        vec![Data("[1,"), End],
        vec![Data("[1"), Trailers, Data(" 2"), End],
        vec![Data("[1 2"), Data(",0]"), End],
    ] {
        let (out, ended, tally, dropped) = read(steps);
        let rest = out.strip_prefix("data: 1\n\n").expect("what came before");
        assert!(rest.starts_with("data: {\"error\":"), "{out}");
        assert_eq!(rest.matches("\n\n").count(), 1, "{out}");
        assert!(ended && dropped);
        assert!(matches!(tally.outcome(), Some(Outcome::Failed(_))));
    }
}

/// What comes of a stream that ends after these bytes.
fn translated(text: &[u8]) -> String {
    let asked = crate::provider::testing::asked("anthropic", "m");
    let stream = crate::provider::anthropic::Stream::new(&asked);
    let mut machine = Machine::new(
        Some(stream),
        &Tally::new(),
        Spellings::default(),
        Told::AsTheyAre,
    );
    machine.take(Some(Bytes::copy_from_slice(text)));
    if !machine.ended {
        machine.take(None);
    }
    String::from_utf8(machine.out.to_vec()).expect("UTF-8")
}

#[test]
fn the_last_event_needs_no_blank_line_and_has_to_be_whole() {
    let events = concat!(
        "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"c\"}}\r\n\r\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"H\u{e9}\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    );
    let end = translated(events.as_bytes());
    assert!(end.ends_with("data: [DONE]\n\n"), "{end}");
    for more in ["\n", "\r\n", "\n\n"] {
        assert_eq!(translated(format!("{events}{more}").as_bytes()), end);
    }
    for at in 0..events.len() {
        let out = translated(&events.as_bytes()[..at]);
        assert!(!out.contains("[DONE]"), "cut at {at}: {out}");
        let last = out.trim_end().rsplit("\n\n").next().expect("an event");
        assert!(
            last.contains("upstream_cut") || last.contains("\"error\""),
            "{last}"
        );
        assert!(
            !out.contains("cannot be read") && !out.contains("not JSON"),
            "{out}"
        );
    }
}

/// Those outside are told that something was heard, once a read and only where nothing goes out.
#[test]
fn what_gives_nothing_to_relay_is_heard() {
    for (text, heard) in [
        ("event: ping\ndata: {\"type\":\"ping\"}\n\n", 1),
        (": ping\n\n", 0),
        ("event: ping\n\n", 0),
        ("data: {\"type\":\"pi", 0),
    ] {
        let tally = Tally::new();
        let asked = crate::provider::testing::asked("a", "m");
        let translate = crate::provider::anthropic::Anthropic::new("http://host").expect("a URL");
        let state = crate::provider::Translate::stream(&translate, &asked);
        let mut machine = Machine::new(state, &tally, Spellings::default(), Told::AsTheyAre);
        machine.take(Some(Bytes::from_static(text.as_bytes())));
        assert_eq!((machine.out.len(), tally.heard()), (0, heard), "{text}");
    }
}
