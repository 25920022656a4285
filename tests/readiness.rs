//! What a layer had made ready for a request that it answers itself is let go: whoever else waits for
//! the place has it, though the service that refused lives on.

use std::{convert::Infallible, future::poll_fn, num::NonZeroU32, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_completions::{
    Dialect, Principal,
    auth::{AuthLayer, Keys},
    body::Full,
    cache::CacheLayer,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    idempotency::IdempotencyLayer,
    limit::{Limits, RateLimitLayer, TokenLimitLayer},
    parse::{Chat, ChatBody, ParseLayer},
    provider::{ParallelLayer, Provider, openai::OpenAi},
    validate::ValidateLayer,
};

/// A service with one place.
fn one<Q>()
-> impl Service<Request<Q>, Response = Response<Full>, Error = Infallible, Future: Send + 'static>
+ Clone {
    let answer = |_: Request<Q>| std::future::ready(Ok(Response::new(Full::new("{}"))));
    ConcurrencyLimit::new(service_fn(answer), 1)
}

async fn lets_go<S, Q, R>(service: S, request: Request<Q>, expected: u16)
where
    S: Service<Request<Q>, Response = Response<R>, Error = Infallible> + Clone,
    R: http_body::Body<Data = Bytes>,
{
    let (mut refuses, mut waits) = (service.clone(), service);
    let ready = refuses.ready().await.expect("infallible");
    let response = ready.call(request).await.expect("infallible");
    let status = response.status();
    assert_eq!(status, StatusCode::from_u16(expected).expect("a status"));
    drop(response);
    let ready = poll_fn(|cx| Poll::Ready(waits.poll_ready(cx).is_ready())).await;
    assert!(ready, "the place is still kept after a {expected}");
    drop(refuses);
}

#[tokio::test]
async fn a_refusal_lets_the_place_go() {
    const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let ask = |body: &'static str| Request::post("/").body(Full::new(body)).expect("a request");
    let caller = |limits| {
        let mut request = ask(BODY);
        let caller = Principal::new("a").attach::<Limits>(limits);
        request.extensions_mut().insert(caller);
        request
    };
    let with = |name: &'static str, value: &'static str| {
        let mut request = caller(Limits::new());
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
        request
    };

    lets_go(AuthLayer::new(Keys::new()).layer(one()), ask(BODY), 401).await;

    let none = || caller(Limits::new().requests_per_minute(0));
    lets_go(RateLimitLayer::default().layer(one()), none(), 429).await;
    let few = || caller(Limits::new().tokens_per_minute(1));
    lets_go(TokenLimitLayer::default().layer(one()), few(), 429).await;

    let parse = || ParseLayer::new().layer(one::<ChatBody>());
    lets_go(parse(), with("content-type", "text/plain"), 415).await;
    lets_go(parse(), with("content-length", "99999999999"), 413).await;
    lets_go(parse(), ask("["), 400).await;

    let validate = ValidateLayer::new(Dialect::openai());
    lets_go(validate.layer(one()), ask(r#"{"model":"m"}"#), 400).await;

    let ledger = MemoryLedger::new();
    ledger.grant("a", "0.0000001".parse().expect("an amount"));
    let prices = Prices::new().with("m", Price::new("1", "1").expect("decimals"));
    let cost = || CostLayer::new(prices.clone(), ledger.clone());
    lets_go(cost().layer(one()), caller(Limits::new()), 402).await;
    lets_go(cost().layer(one()), with("x-dry-run", "1"), 200).await;
    lets_go(cost().layer(one()), with("x-max-cost", "0"), 402).await;
    let known = cost().require_principal();
    lets_go(known.layer(one()), ask(BODY), 401).await;
}

#[tokio::test]
async fn an_answer_that_is_kept_lets_the_place_go() {
    const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let keyed = |key| {
        let request = Request::post("/").header("idempotency-key", key);
        request.body(Full::new(BODY)).expect("a request")
    };

    let cached = CacheLayer::new(Duration::from_secs(60)).layer(one());
    for cache in ["miss", "hit"] {
        let response = cached.clone().oneshot(keyed("k")).await;
        let response = response.expect("infallible");
        assert_eq!(response.headers()["x-cache"], cache);
        let _ = response.into_body().collect().await.expect("whole");
    }
    lets_go(cached, keyed("k"), 200).await;

    let replayed = IdempotencyLayer::new().layer(one());
    for _ in 0..2 {
        let response = replayed.clone().oneshot(keyed("k")).await;
        let body = response.expect("infallible").into_body();
        let _ = body.collect().await.expect("whole");
    }
    lets_go(replayed.clone(), keyed("k"), 200).await;
    lets_go(replayed, keyed("two words"), 400).await;
}

#[tokio::test]
async fn too_many_answers_at_once_let_the_place_go() {
    let one_a_call = ParallelLayer::new().per_call(NonZeroU32::MIN).at_most(2);
    let mut request = chat();
    request.body_mut().chat_mut().set("n", "3");
    lets_go(one_a_call.layer(one()), request, 400).await;
}

fn chat() -> Request<ChatBody> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    Request::new(ChatBody::new(Chat::parse(body.into()).expect("a request")))
}

fn provider<C>(client: C, key: &'static str) -> Provider<C, OpenAi> {
    let openai = OpenAi::new("http://upstream/v1").expect("an address");
    Provider::new("p", client, openai).with_keys([key])
}

async fn is_free(mut client: impl Service<Request<Full>>) -> bool {
    poll_fn(|cx| Poll::Ready(client.poll_ready(cx).is_ready())).await
}

#[tokio::test]
async fn a_provider_is_ready_before_its_client_and_waits_for_it_in_its_answer() {
    let client = one::<Full>();
    let mut busy = client.clone();
    busy.ready().await.expect("infallible");
    let mut provider = provider(client.clone(), "sk");
    let ready = ServiceExt::<Request<ChatBody>>::ready(&mut provider).await;
    let mut answer = Box::pin(ready.expect("infallible").call(chat()));
    assert!((&mut answer).now_or_never().is_none());
    drop(busy);
    answer.await.expect("infallible");
    // The place was for that request alone.
    assert!(is_free(client).await);
}

#[tokio::test]
async fn a_provider_lets_the_place_go_for_a_request_that_it_cannot_send() {
    let client = one::<Full>();
    let mut provider = provider(client.clone(), "no\nheader");
    let ready = ServiceExt::<Request<ChatBody>>::ready(&mut provider).await;
    let answer = ready.expect("infallible").call(chat()).await;
    let answer = answer.expect("infallible");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(is_free(client).await);
    drop(provider);
}
