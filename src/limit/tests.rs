//! The request layer as its users see it.

mod calendar;
mod counts;
#[cfg(feature = "tracing")]
mod hints;
mod model;
mod modelled;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{ServiceBuilder, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::*;
use crate::{body::Full, error::Error, ext::Principal, time::Timer};

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(super) struct Manual {
    start: Instant,
    now: Arc<AtomicU64>,
}

impl Manual {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            now: Arc::default(),
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).expect("short");
        self.now.fetch_add(ns, Ordering::Relaxed);
    }
}

impl Timer for Manual {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, _: Instant) -> Self::Sleep {
        std::future::pending()
    }
}

pub(super) fn limiter() -> (Limiter<Memory<Manual>>, Manual) {
    let clock = Manual::new();
    (
        Limiter::with_store(Memory::with_timer(clock.clone())),
        clock,
    )
}

pub(super) fn request(limits: Limits) -> Request<()> {
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(Principal::new("acme").attach(limits));
    request
}

async fn ok(_: Request<()>) -> Result<Response<Full>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

#[tokio::test]
async fn a_client_that_waits_as_told_is_admitted() {
    let (limiter, clock) = limiter();
    let mut app = RateLimitLayer::new(limiter.clone()).layer(service_fn(ok));
    let limits = Limits::new().requests_per_minute(7);
    for left in (0..7).rev() {
        let response = app.call(request(limits.clone())).await.expect("infallible");
        assert_eq!(response.headers()["x-ratelimit-limit-requests"], "7");
        assert_eq!(
            response.headers()["x-ratelimit-remaining-requests"],
            left.to_string().as_str()
        );
    }
    for _ in 0..20 {
        let refused = app.call(request(limits.clone())).await.expect("infallible");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let headers = refused.headers();
        assert_eq!(headers["x-should-retry"], "true");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
        let wait: u64 = headers["retry-after-ms"]
            .to_str()
            .expect("text")
            .parse()
            .expect("a number");
        clock.advance(Duration::from_millis(wait - 1));
        let early = app.call(request(limits.clone())).await.expect("infallible");
        assert_eq!(early.status(), StatusCode::TOO_MANY_REQUESTS);
        clock.advance(Duration::from_millis(1));
        let response = app.call(request(limits.clone())).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
    }
    let stats = limiter.stats();
    assert_eq!((stats.admitted, stats.refused), (27, 40));
}

#[tokio::test]
async fn a_slot_is_held_to_the_end_of_the_body() {
    let (limiter, _) = limiter();
    let app = RateLimitLayer::new(limiter.clone()).layer(service_fn(ok));
    let limits = Limits::new().max_concurrent(1);
    let caller = Principal::new("acme").attach(limits.clone());
    let ask = || app.clone().oneshot(request(limits.clone()));
    let in_use = async || {
        let report = limiter.standing(&caller).await.expect("memory");
        report.concurrent.expect("a limit").in_use
    };

    let first = ask().await.expect("infallible");
    assert_eq!(in_use().await, 1);
    let second = ask().await.expect("infallible");
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.headers()["retry-after"], "1");
    // Read to the end: the known length ends it with the last frame.
    let read = first.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(read, "hello");
    assert_eq!(in_use().await, 0);
    // Dropped unread, dropped before the first poll.
    drop(ask().await.expect("infallible"));
    assert_eq!(in_use().await, 0);
    drop(ask());
    let mut unpolled = app.clone();
    let future = unpolled.call(request(limits.clone()));
    assert_eq!(in_use().await, 1);
    drop(future);
    assert_eq!(in_use().await, 0);
}

#[tokio::test]
async fn a_service_made_ready_for_a_refused_request_keeps_no_place() {
    let (limiter, _) = limiter();
    let inner = ConcurrencyLimit::new(service_fn(ok), 1);
    let mut first = RateLimitLayer::new(limiter).layer(inner);
    let mut second = first.clone();
    let none = Limits::new().requests_per_minute(0);
    let refused = first.ready().await.expect("ready").call(request(none));
    let refused = refused.await.expect("infallible");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let ready = second.ready().now_or_never().expect("the place is free");
    let call = ready.expect("ready").call(request(Limits::new()));
    assert_eq!(call.await.expect("infallible").status(), StatusCode::OK);
}

/// A store that decides later, whatever it is asked at once.
#[derive(Clone)]
struct Later(Memory<Manual>);

impl Store for Later {
    type Hold = MemoryHold<Manual>;
    type Take = Pin<Box<dyn Future<Output = Result<Decision<Self::Hold>, Error>> + Send>>;

    fn take(&self, ask: Ask) -> Self::Take {
        let store = self.0.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(store.decide(&ask))
        })
    }
}

#[tokio::test]
async fn a_store_that_decides_later_is_waited_for_and_the_ready_service_called() {
    let (mock, mut handle) = tower_test::mock::pair::<Request<()>, Response<Full>>();
    let limiter = Limiter::with_store(Later(Memory::with_timer(Manual::new())));
    let mut app = RateLimitLayer::new(limiter).layer(mock);
    handle.allow(1);
    let limits = Limits::new().requests_per_minute(1);
    let ready = app.ready().await.expect("ready");
    let call = ready.call(request(limits.clone()));
    let answer = async {
        let (_, send) = handle.next_request().await.expect("a call");
        send.send_response(Response::new(Full::default()));
    };
    let (response, ()) = tokio::join!(call, answer);
    let headers = response.expect("answered").headers().clone();
    assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
    handle.allow(1);
    let call = app.ready().await.expect("ready").call(request(limits));
    let refused = call.await.expect("refused without being asked");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn several_limits_admit_together_or_take_nothing() {
    let (limiter, _) = limiter();
    let limiter = limiter.rules([
        Rule::per_principal(),
        Rule::global(Limits::new().requests_per_minute(3).max_concurrent(3)),
    ]);
    let app = RateLimitLayer::new(limiter.clone()).layer(service_fn(ok));
    let limits = Limits::new().requests_per_minute(10);
    for _ in 0..10 {
        let _ = app.clone().oneshot(request(limits.clone())).await;
    }
    let caller = Principal::new("acme").attach(limits);
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.extensions.insert(caller);
    let rules = [Rule::per_principal()];
    limiter.set_rules(rules);
    let report = limiter.standing_of(&parts).await.expect("memory");
    assert_eq!(report.requests.expect("a limit").remaining, 7);
}

#[tokio::test]
async fn shadow_mode_refuses_nothing_and_says_what_it_would() {
    let (limiter, _) = limiter();
    let app = RateLimitLayer::new(limiter.clone())
        .mode(Mode::Shadow)
        .layer(service_fn(ok));
    let limits = Limits::new().requests_per_minute(1);
    let first = app
        .clone()
        .oneshot(request(limits.clone()))
        .await
        .expect("infallible");
    assert!(!first.headers().contains_key("x-ratelimit-shadow"));
    let second = app
        .clone()
        .oneshot(request(limits))
        .await
        .expect("infallible");
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(
        second.headers()["x-ratelimit-shadow"],
        "refused; limit=\"requests\"; retry=\"1m0s\""
    );
    assert_eq!(limiter.stats().shadowed, 1);
}

#[tokio::test]
async fn a_limit_changed_live_gives_no_fresh_burst() {
    let (limiter, _) = limiter();
    let app = RateLimitLayer::new(limiter).layer(service_fn(ok));
    let mut admitted = 0;
    for amount in [5, 8, 6, 8, 8] {
        for _ in 0..10 {
            let limits = Limits::new().requests_per_minute(amount);
            let response = app
                .clone()
                .oneshot(request(limits))
                .await
                .expect("infallible");
            admitted += u32::from(response.status() == StatusCode::OK);
        }
    }
    assert_eq!(admitted, 8);
}

#[tokio::test]
async fn the_ietf_fields_and_no_fields() {
    let (limiter, _) = limiter();
    let limits = Limits::new().requests_per_minute(60);
    let layer = RateLimitLayer::new(limiter.clone()).fields(Fields::WithIetf);
    let response = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(ok))
        .oneshot(request(limits.clone()))
        .await
        .expect("infallible");
    assert_eq!(response.headers()["ratelimit"], "\"requests\";r=59;t=1");
    assert_eq!(
        response.headers()["ratelimit-policy"],
        "\"requests\";q=60;w=60"
    );
    let layer = RateLimitLayer::new(limiter).fields(Fields::None);
    let response = layer
        .layer(service_fn(ok))
        .oneshot(request(limits))
        .await
        .expect("infallible");
    assert!(response.headers().is_empty());
}

#[tokio::test]
async fn a_limit_of_zero_never_admits() {
    let (limiter, _) = limiter();
    let app = RateLimitLayer::new(limiter).layer(service_fn(ok));
    let limits = Limits::new().requests_per_minute(0);
    let response = app.oneshot(request(limits)).await.expect("infallible");
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert!(!response.headers().contains_key("retry-after"));
    let body = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("request_exceeds_limit"));
}

#[test]
fn a_store_that_is_shared_may_be_configured_and_is_another() {
    let limits = Limits::new().requests_per_minute(1);
    let limiter = Limiter::with_store(Memory::with_timer(Manual::new()));
    let (parts, ()) = request(limits).into_parts();
    let ask = limiter.ask(&parts, Weights::new().with(Unit::Requests, 1));
    let admits = |store: &Memory<Manual>| match store.decide(&ask) {
        Decision::Admitted(hold, _) => {
            hold.settle(&Weights::new().with(Unit::Requests, 1));
            true
        }
        Decision::Refused(_) => false,
    };
    assert!(admits(limiter.store()) && !admits(limiter.store()));
    let other = limiter.store().clone().capacity(7);
    let other = other.clone().wall_clock(std::time::SystemTime::now);
    assert!(other.is_empty());
    assert!(admits(&other) && !admits(limiter.store()));
}
