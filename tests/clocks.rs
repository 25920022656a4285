//! One clock, moved by hand, drives every layer that waits or looks at the time.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Principal,
    body::Full,
    cost::{Budgets, CostLayer, DrainLayer, MemoryLedger, Period, Price, Prices, Scope},
    mock::{Clock, Script, Upstream},
    parse::{Chat, ChatBody, ParseLayer},
    provider::{Provider, anthropic::Anthropic, openai::OpenAi},
    router::CommitLayer,
};

const SECOND: Duration = Duration::from_secs(1);

fn chat(stream: bool) -> Request<ChatBody> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    Request::new(ChatBody::new(Chat::parse(body.into()).expect("readable")))
}

fn silent() -> Provider<Upstream, OpenAi> {
    let upstream = Upstream::new().with_default(Script::silent());
    Provider::new("p", upstream, OpenAi::new("http://u/v1").expect("a URL"))
}

#[test]
fn a_stream_that_says_nothing_has_failed() {
    let clock = Clock::new();
    let service = CommitLayer::new().timer(clock.clone()).layer(silent());
    let mut call = tokio_test::task::spawn(service.oneshot(chat(true)));
    assert!(call.poll().is_pending());
    clock.advance(29 * SECOND);
    assert!(call.poll().is_pending());
    clock.advance(SECOND);
    let response = tokio_test::assert_ready!(call.poll()).expect("infallible");
    assert_eq!(response.status(), 504);
}

#[test]
fn a_rest_is_drained_for_so_long() {
    let clock = Clock::new();
    let rests: Arc<Mutex<Vec<_>>> = Arc::default();
    let spawned = Arc::clone(&rests);
    let drain = DrainLayer::new(move |rest| spawned.lock().expect("sound").push(rest))
        .within(5 * SECOND)
        .timer(clock.clone());
    let service = drain.layer(ParseLayer::new().layer(silent()));
    let mut call = tokio_test::task::spawn(service.oneshot(chat(true)));
    assert!(call.poll().is_pending());
    drop(call);
    let rest = rests.lock().expect("sound").pop().expect("it was left");
    let mut rest = tokio_test::task::spawn(rest);
    assert!(rest.poll().is_pending());
    clock.advance(5 * SECOND);
    tokio_test::assert_ready!(rest.poll());
}

#[tokio::test]
async fn a_budget_begins_anew_with_the_day() {
    let clock = Clock::new();
    let ledger = MemoryLedger::new();
    ledger.grant("a", "5".parse().expect("an amount"));
    let amount = "0.0012".parse().expect("an amount");
    let prices = Prices::new().with("m", Price::new("1", "1").expect("amounts"));
    let layer = CostLayer::new(prices, ledger)
        .budgets(Budgets::new().with(Scope::Key("a".into()), amount, Period::Day))
        .wall_clock(clock.wall_clock());
    let answer = r#"{"choices":[],"usage":{"prompt_tokens":500,"completion_tokens":500,"total_tokens":1000}}"#;
    let service = layer.layer(service_fn(move |_: Request<ChatBody>| async move {
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::new(answer)).expect("valid"))
    }));
    let ask = async || {
        let mut request = chat(false);
        request.extensions_mut().insert(Principal::new("a"));
        let response = service.clone().oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        response.into_body().collect().await.expect("whole");
        status
    };
    assert_eq!((ask().await, ask().await), (200, 402));
    clock.advance(86_400 * SECOND);
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn an_answer_without_a_date_is_dated_by_the_providers_clock() {
    let client = service_fn(async |_: Request<Full>| {
        let message = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::new(message)).expect("valid"))
    });
    let translate = Anthropic::new("http://u").expect("a URL");
    let provider = Provider::new("p", client, translate)
        .with_wall_clock(|| SystemTime::UNIX_EPOCH + 1_795_608_000 * SECOND);
    let response = provider.oneshot(chat(false)).await.expect("infallible");
    let body = response.into_body().collect().await.expect("whole");
    let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
    assert!(body.contains("\"created\":1795608000"), "{body}");
}
