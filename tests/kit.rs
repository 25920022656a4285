//! The testing kit as its users write with it: a whole gateway, one way for the upstream to fail, what
//! the client sees, and books that add up whatever happened.

use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header::CONTENT_ENCODING};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_completions::{
    Principal,
    auth::Keys,
    body::Full,
    cost::{MemoryLedger, Price, Prices},
    mock::{Fault, Script, Upstream, assert_settled},
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
};

enum Answer {
    Whole,
    Stream,
}

/// What a client gets of an upstream that plays `script`: the status, and the text as far as it came.
async fn play(script: Script, answer: Answer) -> (StatusCode, String) {
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "100".parse().expect("an amount"));
    let price = Price::new("1", "2").expect("a price");
    let upstream = Provider::new(
        "mock",
        Upstream::new().with_default(script),
        OpenAi::new("http://upstream/v1").expect("a URL"),
    );
    let gateway = Gateway::builder(keys)
        .cost(Prices::new().with("m", price), ledger.clone())
        .build(upstream);
    let stream = matches!(answer, Answer::Stream);
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"one two three four"}}]}}"#
    );
    let ask = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .body(Full::new(body))
        .expect("a request");
    // Time is paused: what waits an hour takes none, and what would wait for ever fails here.
    let exchange = async {
        let response = gateway.oneshot(ask).await.expect("an answer");
        let status = response.status();
        let mut body = Box::pin(response.into_body());
        let mut text = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        (status, String::from_utf8(text).expect("UTF-8"))
    };
    let seen = tokio::time::timeout(Duration::from_secs(86_400), exchange).await;
    assert_settled(&ledger, "demo");
    seen.expect("an end within a day")
}

/// A test that an upstream's failure reaches the client as an error, never as success.
macro_rules! fails {
    ($($name:ident: $script:expr, $answer:ident => $status:literal;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let (status, text) = play($script, Answer::$answer).await;
            assert_eq!(status, $status, "{text}");
            assert!(text.contains(r#""error":{"#), "{text}");
            assert!(!text.contains("[DONE]"), "{text}");
        }
    )*};
}

fails! {
    // Before the head of the answer.
    a_refusal: Script::overloaded(), Whole => 503;
    a_hostile_retry_after: Script::rate_limited("-1e99"), Whole => 429;
    a_reset_before_the_head: Script::reset(), Whole => 502;
    no_head_at_all: Script::silent(), Whole => 504;
    no_head_of_a_stream: Script::silent(), Stream => 504;
    // In an answer of one piece.
    a_reset_in_the_body: Script::echo().with_fault(0, Fault::Cut), Whole => 502;
    a_truncated_body: Script::truncated(), Whole => 502;
    a_stall_in_the_body: Script::echo().with_fault(0, Fault::Stall), Whole => 504;
    a_body_longer_than_its_answer: Script::overlong(), Whole => 502;
    a_body_over_the_limit: Script::endless(), Whole => 502;
    garbage: Script::garbage(), Whole => 502;
    a_page_with_200: Script::html(), Whole => 502;
    a_gzip_bomb: Script::gzip_bomb(), Whole => 502;
    // In a stream, before its first event and after it. The head has gone out: it is an event.
    a_stall_before_the_first_event: Script::echo().with_fault(0, Fault::Stall), Stream => 200;
    a_line_without_end: Script::infinite_line(), Stream => 200;
    a_reset_in_the_stream: Script::echo().with_fault(3, Fault::Cut), Stream => 200;
    a_stall_in_the_stream: Script::echo().with_fault(3, Fault::Stall), Stream => 200;
    an_early_end: Script::echo().with_fault(3, Fault::End), Stream => 200;
    an_event_that_is_no_json: Script::echo().with_fault(3, Fault::Malformed), Stream => 200;
    an_error_in_the_stream: Script::echo().with_fault(3, Fault::Error), Stream => 200;
}

#[tokio::test(start_paused = true)]
async fn what_comes_compressed_is_told_as_what_it_is() {
    let gzip = HeaderValue::from_static("gzip");
    for script in [
        Script::gzip_bomb(),
        Script::echo().with_header(CONTENT_ENCODING, gzip),
    ] {
        for answer in [Answer::Whole, Answer::Stream] {
            let (status, text) = play(script.clone(), answer).await;
            assert_eq!(status, 502, "{text}");
            assert!(text.contains("compressed"), "{text}");
        }
    }
    let identity = HeaderValue::from_static("Identity");
    let script = Script::echo().with_header(CONTENT_ENCODING, identity);
    assert_eq!(play(script, Answer::Whole).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_end_of_a_stream_is_not_passed_on() {
    let late = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"late\"}}]}\n\n";
    for script in [Script::overlong(), Script::echo().with_excess(late)] {
        let (status, text) = play(script, Answer::Stream).await;
        assert_eq!(status, 200);
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(text.matches("[DONE]").count(), 1, "{text}");
        assert!(
            !text.contains("late") && !text.contains("another"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_in_slices_across_events_and_characters() {
    let script = Script::text("naïve 木").with_slices(1, Duration::from_millis(1));
    let (status, text) = play(script, Answer::Stream).await;
    assert_eq!(status, 200);
    assert!(text.contains("naïve") && text.contains('木'), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_is_slow_and_whole_or_an_error() {
    let (_, text) = play(Script::drip(), Answer::Stream).await;
    assert_ne!(
        text.contains(r#""error":{"#),
        text.contains("[DONE]"),
        "{text}"
    );
}
