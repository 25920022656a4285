//! What a store of limits is asked, and its answers.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::time::{Duration, Instant};

use tower_completions::limit::{
    Ask, Decision, Demand, Key, Limits, Refusal, Report, Store as _, Unit, Weights,
    redis::{Redis, RedisBuilder, RedisHold},
};

/// A store that does not mind a slow machine.
pub fn patient(url: &str) -> RedisBuilder {
    Redis::open(url)
        .expect("an address")
        .budget(Duration::from_secs(10))
}

pub fn demand(rule: &str, key: &str, limits: &Limits) -> Demand {
    Demand {
        rule: rule.into(),
        key: Key::new(key),
        limits: limits.clone(),
    }
}

pub fn one(key: &str, limits: &Limits, weights: Weights) -> Ask {
    Ask::new([demand("key", key, limits)], weights)
}

pub fn request() -> Weights {
    Weights::new().with(Unit::Requests, 1)
}

pub fn tokens(amount: u64) -> Weights {
    Weights::new().with(Unit::Tokens, amount)
}

pub async fn decide(store: &Redis, ask: Ask) -> Result<(RedisHold, Report), Refusal> {
    match store.take(ask).await.expect("Redis answers") {
        Decision::Admitted(hold, report) => Ok((hold, report)),
        Decision::Refused(refusal) => Err(refusal),
    }
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !so().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn standing(store: &Redis, key: &str, limits: &Limits) -> Report {
    let mut ask = one(key, limits, request().with(Unit::Tokens, 0).with_slot());
    ask.peek = true;
    decide(store, ask).await.expect("a look").1
}

pub fn hasty(url: &str) -> RedisBuilder {
    Redis::open(url).expect("an address").nodes(2)
}
