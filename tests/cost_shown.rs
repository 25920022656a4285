//! The cost that a stream shows is the cost that is charged for it, wherever its events are cut.

#[path = "support/books.rs"]
mod books;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_completions::{
    Dialect, Principal,
    body::Full,
    cost::{Amount, CostLayer, MemoryLedger, Price, Prices},
    parse::ChatBody,
    reframe::ReframeLayer,
};

/// 162 bytes, which are 41 tokens by the estimate.
const TEXT: &str =
    "Здравствуйте! Конечно, я с удовольствием помогу вам разобраться с этим вопросом сегодня.";
const DONE: &str = "data: [DONE]\n\n";

fn chunk(delta: &str, finish: &str, usage: Option<u64>) -> String {
    choice(0, delta, finish, usage)
}

fn choice(index: u64, delta: &str, finish: &str, usage: Option<u64>) -> String {
    let usage = usage.map(counts).unwrap_or_default();
    format!(
        r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]{usage}}}"#
    ) + "\n\n"
}

fn alone(output: u64) -> String {
    let usage = counts(output);
    format!(
        r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]{usage}}}"#
    ) + "\n\n"
}

fn counts(output: u64) -> String {
    let total = 10 + output;
    format!(
        r#","usage":{{"prompt_tokens":10,"completion_tokens":{output},"total_tokens":{total}}}"#
    )
}

fn text(usage: Option<u64>) -> String {
    chunk(&format!(r#"{{"content":"{TEXT}"}}"#), "null", usage)
}

fn finish(usage: Option<u64>) -> String {
    chunk("{}", r#""stop""#, usage)
}

/// Each of these is a read of its own; between two the stream is looked at in vain.
struct Reads {
    reads: VecDeque<String>,
    ready: bool,
    ends: bool,
}

impl Body for Reads {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.ready = !self.ready;
        if !self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.reads.pop_front() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(read))))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// What a client is sent, and what its account is charged: it reads as long as something comes, and leaves.
async fn ask(
    dialect: Dialect,
    fields: &str,
    reads: &[String],
    max: Option<&str>,
) -> (String, Amount) {
    let ledger = MemoryLedger::new();
    ledger.grant("a", "1".parse().expect("an amount"));
    let reads: VecDeque<String> = reads.iter().cloned().collect();
    let ends = reads.back().is_some_and(|last| last == DONE);
    let inner = service_fn(move |_: Request<ChatBody>| {
        let body = Reads {
            reads: reads.clone(),
            ready: true,
            ends,
        };
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.body(body).expect("a response");
        async { Ok::<_, Infallible>(response) }
    });
    let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let service = ServiceBuilder::new()
        .layer(CostLayer::new(prices, ledger.clone()).dialect(&dialect))
        .layer(ReframeLayer::new(dialect).keep_alive(None))
        .service(inner);
    let body = format!(
        r#"{{"model":"m","max_tokens":200,"stream":true,{fields}"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut request = Request::new(Full::new(body));
    request.extensions_mut().insert(Principal::new("a"));
    if let Some(max) = max {
        let max = max.parse().expect("a header");
        request.headers_mut().insert("x-max-cost", max);
    }
    let response = service.oneshot(request).await.expect("infallible");
    let mut body = Box::pin(response.into_body());
    let mut out = Vec::new();
    let mut idle = 0;
    while idle < 9 {
        match body.frame().now_or_never() {
            None => idle += 1,
            Some(None) => break,
            Some(Some(frame)) => {
                idle = 0;
                let data = frame.expect("no error").into_data().expect("data");
                out.extend_from_slice(&data);
            }
        }
    }
    drop(body);
    let out = String::from_utf8(out).expect("UTF-8");
    (out, books::settled(&ledger, "a").spent)
}

fn shown(text: &str) -> Vec<Amount> {
    let costs = text.split(r#""cost":{"amount":"#).skip(1);
    costs
        .map(|rest| {
            rest.split(',')
                .next()
                .expect("text")
                .parse()
                .expect("an amount")
        })
        .collect()
}

fn pico(output: i128) -> Amount {
    Amount::from_pico(10_000_000 + output * 2_000_000)
}

#[tokio::test]
async fn what_a_stream_shows_is_what_is_charged() {
    let hi = || chunk(r#"{"role":"assistant","content":"hi"}"#, "null", None);
    let done = || DONE.to_owned();
    for (name, reads, output) in [
        (
            "a long text",
            vec![text(None), finish(None), alone(18), done()],
            18,
        ),
        ("zero", vec![text(None), finish(None), alone(0), done()], 0),
        (
            "zero all the way",
            vec![text(Some(0)), finish(Some(0)), alone(0), done()],
            0,
        ),
        (
            "a placeholder",
            vec![text(Some(0)), finish(None), alone(50), done()],
            50,
        ),
        (
            "running counts",
            vec![text(Some(1)), hi(), finish(Some(3)), alone(50), done()],
            50,
        ),
        (
            "with the finish",
            vec![hi(), finish(Some(5)), alone(50), done()],
            50,
        ),
        (
            "with the finish, and that is it",
            vec![text(None), finish(Some(18)), done()],
            18,
        ),
        (
            "first of all",
            vec![alone(0), text(None), finish(None), alone(50), done()],
            50,
        ),
        (
            "two choices",
            vec![
                hi(),
                choice(1, r#"{"content":"hi"}"#, "null", None),
                finish(Some(1)),
                choice(1, r#"{"content":"data: [DONE]"}"#, "null", Some(2)),
                choice(1, "{}", r#""stop""#, Some(3)),
                alone(50),
                done(),
            ],
            50,
        ),
    ] {
        for include in [false, true] {
            let fields = format!(r#""stream_options":{{"include_usage":{include}}},"#);
            for reads in [reads.clone(), vec![reads.concat(), done()]] {
                let (text, charged) = ask(Dialect::onysoft(), &fields, &reads, None).await;
                assert_eq!(charged, pico(output), "{name}: {text}");
                assert_eq!(shown(&text), [charged], "{name}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_without_a_finish_shows_its_cost_on_one() {
    let done = || DONE.to_owned();
    let hi = |index| choice(index, r#"{"content":"hi"}"#, "null", None);
    for (name, reads, reasons) in [
        ("none", vec![text(None), alone(18), done()], 1),
        (
            "null with the counts",
            vec![text(None), chunk("{}", "null", Some(18)), done()],
            1,
        ),
        (
            "of one of two",
            vec![
                hi(0),
                hi(1),
                choice(1, "{}", r#""stop""#, None),
                alone(18),
                done(),
            ],
            2,
        ),
    ] {
        for include in [false, true] {
            let fields = format!(r#""stream_options":{{"include_usage":{include}}},"#);
            for reads in [reads.clone(), vec![reads.concat(), done()]] {
                let (text, charged) = ask(Dialect::onysoft(), &fields, &reads, None).await;
                assert_eq!(charged, pico(18), "{name}: {text}");
                assert_eq!(shown(&text), [charged], "{name}: {text}");
                assert!(text.ends_with("data: [DONE]\n\n"), "{name}: {text}");
                let told = text.matches(r#""finish_reason":"stop""#).count();
                // With the usage there is another place for it, and nothing is put in.
                let wanted = if include { reasons - 1 } else { reasons };
                assert_eq!(told, wanted, "{name}: {text}");
            }
        }
        // Where no cost is shown it is taken at its word.
        let (text, _) = ask(Dialect::openai(), "", &reads, None).await;
        let told = text.matches(r#""finish_reason":"stop""#).count();
        assert_eq!(told, reasons - 1, "{name}: {text}");
    }
}

#[tokio::test]
async fn no_more_than_the_ceiling_is_shown() {
    let reads = [text(None), finish(None), alone(500), DONE.to_owned()];
    let (text, charged) = ask(Dialect::onysoft(), "", &reads, Some("0.0005")).await;
    assert_eq!(charged.to_string(), "0.0005");
    assert_eq!(shown(&text), [charged], "{text}");
}

#[tokio::test]
async fn the_cost_is_there_before_the_end_is() {
    // The last counts have come, and the stream stays open.
    for placeholder in [None, Some(0)] {
        let reads = [text(placeholder), finish(None), alone(18)];
        let (text, charged) = ask(Dialect::onysoft(), "", &reads, None).await;
        assert_eq!(charged, pico(18));
        assert_eq!(shown(&text), [charged], "{text}");
    }
}

#[tokio::test]
async fn who_leaves_after_the_usage_is_charged_the_usage() {
    let first = chunk(r#"{"role":"assistant","content":""}"#, "null", None);
    for (name, reads, output) in [
        (
            "with the finish",
            vec![first.clone(), text(None), finish(Some(18))],
            18,
        ),
        (
            "behind it",
            vec![first.clone(), text(None), finish(None), alone(18)],
            18,
        ),
        (
            "zero",
            vec![first.clone(), text(Some(0)), finish(Some(0))],
            0,
        ),
        // A placeholder is none.
        ("before", vec![first, text(Some(0)), finish(None)], 41),
    ] {
        let (_, charged) = ask(Dialect::openai(), "", &reads, None).await;
        assert_eq!(charged, pico(output), "{name}");
    }
}
