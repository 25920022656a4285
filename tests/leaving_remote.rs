//! A client that leaves at any moment, with the accounts in PostgreSQL and the limits in Redis: nothing stays
//! held, and what limits count is what is charged.

#![cfg(all(feature = "ledger-postgres", feature = "redis", feature = "mock"))]

#[path = "support/asks.rs"]
mod asks;
#[path = "support/late.rs"]
mod late;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/redis.rs"]
mod redis_server;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use asks::{patient, until};
use futures_util::FutureExt as _;
use http::Request;
use http_body::Body as _;
use late::Far;
use tower::ServiceExt as _;
use tower_completions::{
    Principal,
    auth::Keys,
    body::Full,
    cost::{Amount, PostgresLedger, Price, Prices},
    limit::{Limiter, Limits, Store, Unit, Window, Zone, redis::Leased},
    mock::Upstream,
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
};

const ALL: u64 = 1_000_000_000;

/// What becomes of a future that is looked at so often at most, each time that it is woken.
async fn looked_at<F: Future>(looks: &mut u32, mut inner: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        let Some(left) = looks.checked_sub(1) else {
            return Poll::Ready(None);
        };
        *looks = left;
        inner.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Whether a client had all of its answer.
async fn has_it(
    mut looks: u32,
    call: impl Future<Output = http::Response<tower_completions::body::BoxBody>>,
) -> bool {
    let mut call = Box::pin(call);
    let Some(response) = looked_at(&mut looks, call.as_mut()).await else {
        return false;
    };
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match looked_at(&mut looks, std::pin::pin!(frame)).await {
            Some(Some(frame)) => drop(frame.expect("whole")),
            Some(None) => return true,
            None => return false,
        }
    }
}

async fn leaves_at_every_look<St: Store>(
    name: &str,
    ledger: &PostgresLedger,
    limiter: Limiter<St>,
    streams: bool,
) {
    for looks in 0.. {
        assert!(looks < 1_000, "{name}: there is no end to it");
        let account = format!("{name} {looks}");
        let granted = ledger.grant(&account, "5".parse().expect("an amount"), "first");
        assert!(granted.await.expect("reachable"));
        let limits = Limits::new()
            .limit(
                Unit::Money,
                Window::Daily {
                    amount: ALL,
                    zone: Zone::utc(),
                },
            )
            .tokens_daily(1_000_000, Zone::utc())
            .max_concurrent(8);
        let caller = Principal::new(account.as_str()).attach(limits);
        let keys = Keys::new();
        keys.insert("sk-demo", caller.clone());
        let client = Far::new(Upstream::new(), 1);
        let calls: Arc<AtomicU64> = Arc::clone(&client.calls);
        let translate = OpenAi::new("http://upstream/v1").expect("a URL");
        let price = Price::new("1", "2").expect("decimals");
        let gateway = Gateway::builder(keys)
            .cost(Prices::new().with("m", price), ledger.clone())
            .limiter(limiter.clone())
            .build(Provider::new("a", client, translate));
        let body = format!(
            r#"{{"model":"m","stream":{streams},"messages":[{{"role":"user","content":"one two three"}}],"max_tokens":9}}"#
        );
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .body(Full::new(body))
            .expect("a request");
        let call = gateway.oneshot(request).map(|it| it.expect("infallible"));
        let whole = has_it(looks, call).await;
        ledger.flush().await.expect("reachable");
        let statement = ledger.statement(&account).await.expect("reachable");
        assert_eq!(statement.held, Amount::ZERO, "{account}");
        // What was not waited for is given back as soon as Redis has decided.
        let (mut tokens, mut money) = (0, 0);
        until(&format!("{account} is settled"), async || {
            let report = limiter.standing(&caller).await.expect("reachable");
            tokens = 1_000_000 - report.tokens.expect("a limit").remaining;
            money = i128::from(ALL - report.money.expect("a limit").remaining);
            let in_use = report.concurrent.expect("a limit").in_use;
            in_use == 0 && money == statement.spent.pico()
        })
        .await;
        if calls.load(Ordering::Relaxed) == 0 {
            assert_eq!((tokens, statement.spent), (0, Amount::ZERO), "{account}");
        }
        if whole {
            assert_eq!(statement.spent.pico(), 13_000_000, "{account}");
            assert!(looks > 3, "{account}: few");
            return;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_behind_far_away() {
    if postgres::missing() || redis_server::missing() {
        return;
    }
    let database = postgres::Postgres::start().await;
    let server = redis_server::Server::start();
    let ledger = PostgresLedger::connect(&database.url()).await;
    let ledger = ledger.expect("reachable");
    for streams in [false, true] {
        let redis = patient(&server.url()).tag("each").build();
        let name = format!("redis {streams}");
        leaves_at_every_look(&name, &ledger, Limiter::with_store(redis), streams).await;
        let leased = Leased::new(patient(&server.url()).tag("leased").build());
        let name = format!("leased {streams}");
        leaves_at_every_look(&name, &ledger, Limiter::with_store(leased), streams).await;
    }
    assert_eq!(ledger.reconcile().await.expect("reachable"), []);
}
