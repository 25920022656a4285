use std::{convert::Infallible, time::Duration};

use http::{Request, Response, StatusCode};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::*;
use crate::{
    body::Full,
    ext::Principal,
    limit::{Fields, Limits, Rate, RateLimitLayer, Report, tests::limiter},
    meter::Tally,
    parse::{Chat, ChatBody},
    wire::Usage,
};

const PLAIN: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fn asking(limits: &Limits, text: &'static str) -> Request<Full> {
    let mut request = Request::new(Full::new(text));
    *request.method_mut() = http::Method::POST;
    request
        .extensions_mut()
        .insert(Principal::new("acme").attach(limits.clone()));
    request
}

fn with_max(tokens: u64) -> &'static str {
    let text = PLAIN.replace("}]}", &format!("}}],\"max_tokens\":{tokens}}}"));
    Box::leak(text.into_boxed_str())
}

/// Answers with this usage in the tally, or without a tally.
fn answering(
    usage: Option<Usage>,
    status: StatusCode,
) -> impl tower_service::Service<
    Request<ChatBody>,
    Response = Response<Full>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<Full>, Infallible>>,
> + Clone {
    service_fn(move |_: Request<ChatBody>| {
        let mut response = Response::new(Full::new("{}"));
        *response.status_mut() = status;
        if let Some(usage) = usage {
            let tally = Tally::new();
            tally.record_usage(usage);
            response.extensions_mut().insert(tally);
        }
        std::future::ready(Ok(response))
    })
}

fn remaining(report: &Report) -> (u64, u64) {
    let tokens = report.tokens.expect("a limit on tokens");
    (tokens.remaining, tokens.debt)
}

#[tokio::test]
async fn the_estimate_is_settled_by_the_usage() {
    let (limiter, _) = limiter();
    let layer = TokenLimitLayer::new(limiter.clone());
    let limits = Limits::new().tokens_per_minute(10_000);
    let caller = Principal::new("acme").attach(limits.clone());
    let app = layer.layer(answering(Some(Usage::new(10, 20)), StatusCode::OK));
    let response = app
        .oneshot(asking(&limits, with_max(5000)))
        .await
        .expect("infallible");
    let left: u64 = response.headers()["x-ratelimit-remaining-tokens"]
        .to_str()
        .expect("text")
        .parse()
        .expect("a number");
    assert!((4900..5000).contains(&left), "{left}");
    drop(response);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (9970, 0));
}

#[tokio::test]
async fn counts_that_cannot_be_lock_nobody_out_and_credit_nobody() {
    let mut negative = Usage::new(0, 0);
    negative.clamped = true;
    for usage in [
        Usage::new(1_000_000_000_000, 5),
        Usage::new(10, 10_000_000_000_000_000_000),
        negative,
    ] {
        let (limiter, _) = limiter();
        let layer = TokenLimitLayer::new(limiter.clone());
        let limits = Limits::new().tokens_per_minute(10_000);
        let caller = Principal::new("acme").attach(limits.clone());
        let app = layer.layer(answering(Some(usage), StatusCode::OK));
        let response = app.oneshot(asking(&limits, with_max(5000))).await;
        drop(response.expect("infallible"));
        let report = limiter.standing(&caller).await.expect("memory");
        let (left, debt) = remaining(&report);
        assert!(
            debt == 0 && (9900..10_000).contains(&left),
            "{usage:?}: {report:?}"
        );
    }
}

#[tokio::test]
async fn what_tokens_refuse_is_no_request() {
    let (limiter, _) = limiter();
    let limits = Limits::new().requests_per_minute(60).tokens_per_minute(100);
    let tokens = TokenLimitLayer::new(limiter.clone());
    let tokens = tokens.layer(answering(None, StatusCode::OK));
    let app = RateLimitLayer::new(limiter.clone())
        .with_tokens()
        .layer(tokens);
    let response = app.oneshot(asking(&limits, with_max(5000))).await;
    let response = response.expect("infallible");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let told = |name: &str| response.headers()[name].to_str().expect("text");
    assert_eq!(told("x-ratelimit-remaining-requests"), "60");
    assert_eq!(told("x-ratelimit-reset-requests"), "0s");
    let caller = Principal::new("acme").attach(limits.clone());
    drop(response);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(report.requests.expect("a limit").remaining, 60);
}

#[tokio::test]
async fn each_layer_adds_its_own_to_the_ietf_fields_of_refusals_too() {
    let (limiter, _) = limiter();
    let limits = Limits::new().requests_per_minute(60).tokens_per_minute(600);
    let tokens = TokenLimitLayer::new(limiter.clone()).fields(Fields::WithIetf);
    let tokens = tokens.layer(answering(None, StatusCode::OK));
    let app = RateLimitLayer::new(limiter)
        .with_tokens()
        .fields(Fields::WithIetf)
        .layer(tokens);
    for (most, status) in [(5, 200), (590, 429), (601, 429)] {
        let response = app.clone().oneshot(asking(&limits, with_max(most))).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), status);
        let all = |name: &str| -> Vec<String> {
            let values = response.headers().get_all(name).iter();
            values
                .map(|value| value.to_str().expect("text").to_owned())
                .collect()
        };
        let told = all("ratelimit");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("\"tokens\";r=5"), "{told:?}");
        assert!(told[1].starts_with("\"requests\";r=59;t="), "{told:?}");
        let policies = ["\"tokens\";q=600;w=60", "\"requests\";q=60;w=60"];
        assert_eq!(all("ratelimit-policy"), policies);
    }
}

#[tokio::test]
async fn a_panic_inside_is_not_the_callers() {
    let (limiter, _) = limiter();
    let layer = TokenLimitLayer::new(limiter.clone());
    let limits = Limits::new().tokens_per_minute(10_000);
    let caller = Principal::new("acme").attach(limits.clone());
    let app = layer.layer(service_fn(async |_: Request<ChatBody>| {
        if true {
            panic!("a handler's fault");
        }
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    }));
    let task = tokio::spawn(app.oneshot(asking(&limits, PLAIN)));
    assert!(task.await.expect_err("it panics").is_panic());
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (10_000, 0));
}

#[tokio::test]
async fn a_call_that_is_never_polled_uses_nothing() {
    let (limiter, _) = limiter();
    let limits = Limits::new().tokens_per_minute(10_000);
    let caller = Principal::new("acme").attach(limits.clone());
    let answer = answering(Some(Usage::new(10, 20)), StatusCode::OK);
    let mut app = TokenLimitLayer::new(limiter.clone()).layer(answer);
    // Parsed already, so that nothing is left to wait for.
    let chat = Chat::parse(with_max(5000).into()).expect("a request");
    let request = asking(&limits, PLAIN).map(|_| ChatBody::new(chat));
    let ready = tower::ServiceExt::<Request<ChatBody>>::ready(&mut app);
    let call = ready.await.expect("ready").call(request);
    let held = limiter.standing(&caller).await.expect("memory");
    assert!(remaining(&held).0 < 5000, "{held:?}");
    drop(call);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (10_000, 0));
}

#[tokio::test]
async fn debt_is_carried_shown_and_waited_for() {
    let (limiter, clock) = limiter();
    let layer = TokenLimitLayer::new(limiter.clone());
    let limits = Limits::new().tokens_per_minute(600);
    let caller = Principal::new("acme").attach(limits.clone());
    let app = layer.layer(answering(Some(Usage::new(0, 900)), StatusCode::OK));
    drop(app.clone().oneshot(asking(&limits, PLAIN)).await);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (0, 300));
    let refused = app
        .clone()
        .oneshot(asking(&limits, with_max(1)))
        .await
        .expect("infallible");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let ms = refused.headers()["retry-after-ms"].to_str().expect("text");
    clock.advance(Duration::from_millis(ms.parse().expect("a number")));
    let response = app
        .oneshot(asking(&limits, with_max(1)))
        .await
        .expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_default_never_refuses_a_first_call_but_a_maximum_may() {
    let (limiter, _) = limiter();
    let layer = TokenLimitLayer::new(limiter).expect(1_000_000);
    let limits = Limits::new()
        .tokens_per_minute(100)
        .output_tokens(Rate::per_day(50));
    let app = layer.layer(answering(None, StatusCode::OK));
    let never = app
        .clone()
        .oneshot(asking(&limits, with_max(101)))
        .await
        .expect("infallible");
    assert_eq!(never.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(never.headers()["x-should-retry"], "false");
    for name in ["retry-after", "retry-after-ms"] {
        assert!(!never.headers().contains_key(name), "{name}");
    }
    let body = http_body_util::BodyExt::collect(never.into_body()).await;
    let body = body.expect("whole").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("request_exceeds_limit"));
    let first = app
        .oneshot(asking(&limits, PLAIN))
        .await
        .expect("infallible");
    assert_eq!(first.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_failed_or_was_never_polled_costs_nothing() {
    let (limiter, _) = limiter();
    let layer = TokenLimitLayer::new(limiter.clone());
    let limits = Limits::new().tokens_per_minute(10_000);
    let caller = Principal::new("acme").attach(limits.clone());
    let app = layer.layer(answering(None, StatusCode::BAD_GATEWAY));
    drop(app.clone().oneshot(asking(&limits, PLAIN)).await);
    drop(app.clone().oneshot(asking(&limits, PLAIN)));
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (10_000, 0));
    let silent = layer.layer(answering(None, StatusCode::OK));
    drop(silent.oneshot(asking(&limits, with_max(1000))).await);
    let report = limiter.standing(&caller).await.expect("memory");
    assert!(
        remaining(&report).0 < 9000,
        "without a tally the reservation stays"
    );
}

#[tokio::test]
async fn steady_load_below_the_limit_is_never_refused() {
    let (limiter, clock) = limiter();
    let layer = TokenLimitLayer::new(limiter).count_requests();
    let limits = Limits::new()
        .tokens_per_minute(500_000)
        .requests_per_minute(600);
    let app = layer.layer(answering(Some(Usage::new(300, 500)), StatusCode::OK));
    // 600 requests of 800 tokens a minute, for ten minutes.
    for _ in 0..6000 {
        let response = app
            .clone()
            .oneshot(asking(&limits, with_max(1000)))
            .await
            .expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        clock.advance(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn cached_tokens_may_be_free_and_money_is_counted() {
    let (limiter, _) = limiter();
    let limits = Limits::new()
        .tokens_per_minute(10_000)
        .money(Rate::per_day(1_000_000));
    let caller = Principal::new("acme").attach(limits.clone());
    let layer = TokenLimitLayer::new(limiter.clone())
        .cached(Cached::Free)
        .price(|model, usage| {
            assert_eq!(model, "m");
            usage.output * 10
        });
    let mut usage = Usage::new(100, 7);
    usage.cached_input = 90;
    let app = layer.layer(answering(Some(usage), StatusCode::OK));
    drop(app.oneshot(asking(&limits, PLAIN)).await);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(remaining(&report), (9983, 0));
    assert_eq!(report.money.expect("a limit").remaining, 999_930);
}

#[tokio::test]
async fn an_answer_that_nobody_counts_is_read_for_its_usage() {
    let (limiter, _) = limiter();
    let layer = TokenLimitLayer::new(limiter.clone());
    let limits = Limits::new().tokens_per_minute(10_000);
    let caller = Principal::new("acme").attach(limits.clone());
    let mut left = 10_000;
    for (kind, text) in [
        (
            "text/event-stream",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20}}\n\n",
        ),
        (
            "application/json",
            "{\"choices\":[{}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20}}",
        ),
    ] {
        let app = layer.layer(service_fn(move |_: Request<ChatBody>| {
            let response = Response::builder().header("content-type", kind);
            std::future::ready(response.body(Full::new(text)))
        }));
        let response = app.oneshot(asking(&limits, with_max(5000))).await;
        let body = response.expect("a response").into_body();
        http_body_util::BodyExt::collect(body).await.expect("whole");
        left -= 30;
        let report = limiter.standing(&caller).await.expect("memory");
        assert_eq!(remaining(&report), (left, 0), "{kind}");
    }
}

#[tokio::test]
async fn the_larger_of_both_maxima_is_reserved_for_every_answer() {
    let prompt = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]"#;
    for (more, expected) in [
        (r#","max_tokens":300"#, 300),
        (r#","max_completion_tokens":200"#, 200),
        (r#","max_tokens":300,"max_completion_tokens":200"#, 300),
        (r#","max_tokens":200,"max_completion_tokens":300"#, 300),
        (r#","max_tokens":300,"n":3"#, 900),
        ("", 50),
        (r#","n":2"#, 100),
    ] {
        let (limiter, _) = limiter();
        let layer = TokenLimitLayer::new(limiter).expect(50);
        let limits = Limits::new().output_tokens(Rate::per_day(10_000));
        let app = layer.layer(answering(None, StatusCode::OK));
        let text = format!("{prompt}{more}}}");
        let request = asking(&limits, Box::leak(text.into_boxed_str()));
        let response = app.oneshot(request).await.expect("infallible");
        let left = &response.headers()["x-ratelimit-remaining-tokens"];
        let left: u64 = left.to_str().expect("text").parse().expect("a number");
        assert_eq!(10_000 - left, expected, "{more}");
    }
}

#[tokio::test]
async fn cached_tokens_count_unless_they_are_told_not_to() {
    for (cached, expected) in [
        (None, 107),
        (Some(Cached::Counts), 107),
        (Some(Cached::Free), 17),
    ] {
        let (limiter, _) = limiter();
        let limits = Limits::new().tokens_per_minute(10_000);
        let caller = Principal::new("acme").attach(limits.clone());
        let layer = TokenLimitLayer::new(limiter.clone());
        let layer = match cached {
            Some(cached) => layer.cached(cached),
            None => layer,
        };
        let mut usage = Usage::new(100, 7);
        usage.cached_input = 90;
        let app = layer.layer(answering(Some(usage), StatusCode::OK));
        drop(app.oneshot(asking(&limits, PLAIN)).await);
        let report = limiter.standing(&caller).await.expect("memory");
        assert_eq!(remaining(&report), (10_000 - expected, 0), "{cached:?}");
    }
}

mod endings;
mod told;
