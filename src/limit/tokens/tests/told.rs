//! What a refusal says of the limits is how they stand behind it.

use std::time::SystemTime;

use super::*;
use crate::{
    ext::Cached as OutOfCache,
    limit::{Limiter, Memory, Standing, Unit, Zone, headers::go_duration},
};

fn told(response: &Response<impl http_body::Body>, name: &str) -> String {
    let name = format!("x-ratelimit-{name}-tokens");
    let value = response.headers()[name.as_str()].to_str();
    value.expect("text").to_owned()
}

#[tokio::test]
async fn who_is_refused_is_told_what_was_given_back() {
    for (status, usage, left) in [
        (402, None, 9_900),
        (502, None, 9_900),
        (502, Some(Usage::new(10, 20)), 9_870),
    ] {
        for limits in [
            Limits::new().tokens_per_minute(10_000),
            Limits::new().tokens(Rate::per_minute(20_000).burst(10_000)),
            Limits::new().tokens_daily(10_000, Zone::utc()),
        ] {
            let (_, clock) = limiter();
            let memory = Memory::with_timer(clock).wall_clock(|| SystemTime::UNIX_EPOCH);
            let limiter = Limiter::with_store(memory);
            let layer = TokenLimitLayer::new(limiter.clone());
            let caller = Principal::new("acme").attach(limits.clone());
            // Something is used before.
            let app = layer.layer(answering(Some(Usage::new(60, 40)), StatusCode::OK));
            let used = app.oneshot(asking(&limits, with_max(100))).await;
            drop(used.expect("infallible"));
            let status = StatusCode::from_u16(status).expect("a status");
            let app = layer.layer(answering(usage, status));
            let response = app.oneshot(asking(&limits, with_max(5000))).await;
            let response = response.expect("infallible");
            let (remaining, reset) = (told(&response, "remaining"), told(&response, "reset"));
            drop(response);
            let report = limiter.standing(&caller).await.expect("memory");
            let standing = report.tokens.expect("a limit");
            assert_eq!(standing.remaining, left, "{limits:?}");
            assert_eq!(remaining, left.to_string(), "{status} {limits:?}");
            assert_eq!(reset, go_duration(standing.reset), "{status} {limits:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_out_of_a_cache_is_told_that_it_took_nothing() {
    let (limiter, _) = limiter();
    let limits = Limits::new().tokens_per_minute(10_000);
    let app = TokenLimitLayer::new(limiter).layer(service_fn(|_: Request<ChatBody>| async {
        let mut response = Response::new(Full::new("{}"));
        response.extensions_mut().insert(OutOfCache);
        Ok::<_, Infallible>(response)
    }));
    let response = app.oneshot(asking(&limits, with_max(5000))).await;
    let response = response.expect("infallible");
    assert_eq!(told(&response, "remaining"), "10000");
    assert_eq!(told(&response, "reset"), "0s");
}

#[test]
fn what_is_owed_is_paid_before_anything_remains() {
    for (remaining, debt, reserved, used, after) in [
        (0, 30, 20, 0, (0, 10)),
        (0, 30, 50, 0, (20, 0)),
        (10, 0, 5, 30, (0, 15)),
        (u64::MAX, 0, 0, u64::MAX, (0, 0)),
        (0, u64::MAX, 0, u64::MAX, (0, u64::MAX)),
        (5, 0, u64::MAX, 0, (u64::MAX, 0)),
    ] {
        let mut report = Report::default();
        report.add(Standing {
            unit: Unit::Tokens,
            limit: u64::MAX,
            remaining,
            debt,
            reset: Duration::from_secs(1),
            window: Duration::MAX,
        });
        let of = |amount| crate::limit::Weights::new().with(Unit::Tokens, amount);
        report.settle(&of(reserved), &of(used));
        let tokens = report.tokens.expect("added");
        assert_eq!((tokens.remaining, tokens.debt), after);
    }
}
