//! What the router learns of its targets, and what it must not: from answers that were not waited for,
//! from probes, from many failures of one moment.

#![cfg(feature = "mock")]

#[path = "support/routes.rs"]
mod routes;

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use routes::{Providers, attempts, builder, chat, pair, served};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_completions::{
    Target,
    mock::{Script, Upstream},
    observe::{Breaker, Event, Watch},
    provider::{Provider, openai::OpenAi},
    router::{Adaptive, Balance, Candidate, Hedge, Live, Model, Probe, Router, Table},
};

type Routed = Router<Providers, Live>;

const fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not 0")
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A request for a model, read to its end; who served it, and the attempts.
async fn ask(router: &Routed, model: &str) -> (String, u32) {
    let text = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"a"}}]}}"#);
    let chat = tower_completions::parse::Chat::parse(text.into()).expect("readable");
    let request = http::Request::new(tower_completions::parse::ChatBody::new(chat));
    let response = router.clone().oneshot(request).await.expect("infallible");
    let said = (served(&response), attempts(&response));
    response.into_body().collect().await.expect("whole");
    said
}

/// Upstreams by name, each reached with these keys.
fn router(
    models: impl IntoIterator<Item = Model>,
    upstreams: &[(&'static str, &Upstream, &[&'static str])],
) -> tower_completions::router::Builder<Providers, Live> {
    let table = Live::new(Table::new(models).expect("sound"));
    let translate = || OpenAi::new("http://upstream/v1").expect("a URL");
    let mut builder = Router::builder(table);
    for (name, upstream, keys) in upstreams {
        let provider = Provider::new(*name, (*upstream).clone(), translate());
        builder = builder.provider(*name, provider.with_keys(keys.iter().copied()));
    }
    builder
}

fn later(status: u16, seconds: &'static str) -> Script {
    let status = StatusCode::from_u16(status).expect("a status");
    Script::failed().with_status(status).with_header(
        HeaderName::from_static("retry-after"),
        HeaderValue::from_static(seconds),
    )
}

#[tokio::test(start_paused = true)]
async fn a_target_that_serves_one_at_a_time_serves_more_again() {
    let (a, _, builder) = builder(pair());
    let router = builder
        .adaptive_concurrency(Adaptive::new().start(number(2)))
        .build()
        .expect("sound");
    let most = || router.health()[0].max_concurrent;
    a.queue(Script::overloaded());
    assert_eq!(ask(&router, "m").await, ("b/y".into(), 2));
    assert_eq!(most(), Some(1));
    for _ in 0..2 {
        assert_eq!(ask(&router, "m").await, ("a/x".into(), 1));
    }
    assert_eq!(most(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn many_failures_of_one_moment_halve_the_concurrency_once() {
    let (a, _, builder) = builder(pair());
    let router = builder
        .adaptive_concurrency(Adaptive::new().start(number(16)))
        .build()
        .expect("sound");
    let most = || router.health()[0].max_concurrent;
    let mut under_way = Vec::new();
    for _ in 0..4 {
        a.queue(Script::overloaded().with_delay(ms(10)));
        let router = router.clone();
        under_way.push(tokio::spawn(async move { ask(&router, "m").await }));
    }
    for one in under_way {
        assert_eq!(one.await.expect("no panic"), ("b/y".into(), 2));
    }
    assert_eq!(most(), Some(8));
    // One that was sent since is another trouble.
    tokio::time::advance(ms(10)).await;
    a.queue(Script::overloaded().with_delay(ms(10)));
    ask(&router, "m").await;
    assert_eq!(most(), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_later_begins_as_those_that_were_there() {
    let (a, b) = (Upstream::new(), Upstream::new());
    let live = Live::new(Table::new(pair()).expect("sound"));
    let router = Router::builder(live.clone())
        .provider("a", routes::provider("a", &a))
        .provider("b", routes::provider("b", &b))
        .adaptive_concurrency(Adaptive::new().start(number(2)))
        .build()
        .expect("sound");
    let reserve = Candidate::new("b", "y").priority(1);
    let new = Model::new("m").target(Candidate::new("a", "new"));
    live.replace([new.target(reserve)]).expect("sound");
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(router.clone().oneshot(chat("")).await.expect("infallible"));
    }
    let by: Vec<_> = open.iter().map(served).collect();
    assert_eq!(by, ["a/new", "a/new", "b/y"]);
}

/// Fifty milliseconds in which a target has not answered do not say that it takes so long.
#[tokio::test(start_paused = true)]
async fn a_loser_is_not_taken_for_faster_than_it_is() {
    let [m] = pair();
    let alone = Model::new("n").target(Candidate::new("b", "y"));
    let (a, b) = (Upstream::new(), Upstream::new());
    let upstreams: [(_, _, &[_]); 2] = [("a", &a, &["k"]), ("b", &b, &["k"])];
    let router = router([m, alone], &upstreams)
        .hedge(Hedge::after(ms(100)))
        .build()
        .expect("sound");
    let of_b = || router.health().pop().expect("two");
    b.queue(Script::echo().with_delay(ms(500)));
    ask(&router, "n").await;
    assert_eq!(of_b().latency, ms(500));
    for delay in [500, 3_000] {
        a.queue(Script::echo().with_delay(ms(150)));
        b.queue(Script::echo().with_delay(ms(delay)));
        assert_eq!(ask(&router, "m").await, ("a/x".into(), 2));
        assert_eq!(of_b().latency, ms(500));
    }
    // One that was waited for longer than it usually takes is slower.
    a.queue(Script::echo().with_delay(ms(900)));
    b.queue(Script::silent());
    assert_eq!(ask(&router, "m").await, ("a/x".into(), 2));
    assert!(of_b().latency >= ms(800), "{:?}", of_b().latency);
    // Nor has its key served: what has been found of it meanwhile stays.
    a.queue(Script::echo().with_delay(ms(300)));
    b.queue(Script::silent());
    let hedged = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "m").await }
    });
    tokio::time::sleep(ms(150)).await;
    b.queue(later(401, "0"));
    assert_eq!(ask(&router, "n").await, (String::new(), 1));
    assert_eq!(of_b().dead_keys, 1);
    assert_eq!(hedged.await.expect("no panic"), ("a/x".into(), 2));
    assert_eq!(of_b().dead_keys, 1);
}

/// Clients seldom wait as long as the router would: a target that falls silent would stay the fastest.
#[tokio::test(start_paused = true)]
async fn a_target_whose_callers_leave_does_not_stay_the_fastest() {
    for balance in [Balance::Fastest, Balance::LeastLoad] {
        let model = Model::new("m").balance(balance);
        let model = model
            .target(Candidate::new("a", "x"))
            .target(Candidate::new("b", "y"));
        let (a, b, builder) = builder([model]);
        let router = builder.build().expect("sound");
        b.queue(Script::echo().with_delay(ms(50)));
        a.queue(Script::echo().with_delay(ms(10)));
        while a.log().counts().calls == 0 || b.log().counts().calls == 0 {
            ask(&router, "m").await;
        }
        let before = a.log().counts().calls;
        for _ in 0..20 {
            a.queue(Script::silent());
        }
        for _ in 0..8 {
            let _ = timeout(ms(5_000), ask(&router, "m")).await;
        }
        let to_a = a.log().counts().calls - before;
        assert!(to_a <= 4, "{balance:?}: {to_a} of 8");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_goes_with_a_key_that_is_not_dead_and_is_told() {
    let a = Upstream::new().with_fn(|seen| {
        let gone = seen.header("authorization") == Some("Bearer gone");
        gone.then(|| later(401, "0"))
    });
    let model = Model::new("m").target(Candidate::new("a", "x"));
    let upstreams: [(_, _, &[_]); 1] = [("a", &a, &["gone", "good"])];
    let router = router([model], &upstreams).build().expect("sound");
    let health = || router.health().remove(0);
    while health().breaker == Breaker::Closed {
        a.queue(Script::failed());
        let response = router.clone().oneshot(chat("")).await.expect("infallible");
        drop(response);
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let watch = {
        let told = Arc::clone(&told);
        Watch::new(move |event: &Event<'_>| {
            if let Event::Breaker { state, .. } = event {
                told.lock().expect("sound").push(*state);
            }
        })
    };
    for _ in 0..2 {
        let ask = |_: &Target| {
            let mut request = chat("");
            request.extensions_mut().insert(watch.clone());
            request
        };
        router.probe(Probe::Unwell, ask).await;
    }
    assert_eq!((health().breaker, health().dead_keys), (Breaker::Closed, 1));
    assert_eq!(*told.lock().expect("sound"), [Breaker::Closed]);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_be_dead_for_ever() {
    for probes in [false, true] {
        let a = Upstream::new().with_fn(|_| Some(later(401, "0")));
        let model = Model::new("m").target(Candidate::new("a", "x"));
        let router = router([model], &[("a", &a, &["gone"])]);
        let router = router.dead_for(ms(u64::MAX)).build().expect("sound");
        tokio::time::advance(ms(1)).await;
        if probes {
            router.probe(Probe::All, |_: &Target| chat("")).await;
        } else {
            let response = router.clone().oneshot(chat("")).await;
            assert_eq!(response.expect("infallible").status(), 502);
        }
        tokio::time::advance(ms(1_000_000_000)).await;
        assert_eq!(router.health()[0].dead_keys, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_tells_each_of_its_states() {
    let (a, _, builder) = builder(pair());
    let router = builder.build().expect("sound");
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let watch = Watch::new(move |event: &Event<'_>| {
        if let Event::Breaker { state, .. } = event {
            notes.lock().expect("sound").push(*state);
        }
    });
    let watched = async || {
        let mut request = chat("");
        request.extensions_mut().insert(watch.clone());
        let response = router.clone().oneshot(request).await.expect("infallible");
        response.into_body().collect().await.expect("whole");
    };
    for _ in 0..5 {
        a.queue(Script::failed());
        watched().await;
    }
    tokio::time::advance(ms(5_000)).await;
    a.queue(Script::failed());
    watched().await;
    tokio::time::advance(ms(10_000)).await;
    watched().await;
    use Breaker::{Closed, HalfOpen, Open};
    let told = told.lock().expect("sound");
    assert_eq!(*told, [Open, HalfOpen, Open, HalfOpen, Closed]);
}

/// What all requests share is not spent where nobody is left to ask.
#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_be_made_costs_no_leave() {
    let lone = Model::new("n").target(Candidate::new("b", "z"));
    let [m] = pair();
    let (a, b) = (Upstream::new(), Upstream::new());
    let upstreams: [(_, _, &[_]); 2] = [("a", &a, &["k"]), ("b", &b, &["k"])];
    let router = router([m, lone], &upstreams).build().expect("sound");
    for _ in 0..20 {
        b.queue(later(429, "60"));
        assert_eq!(ask(&router, "n").await, (String::new(), 1));
        tokio::time::advance(ms(60_000)).await;
    }
    a.queue(Script::failed());
    assert_eq!(ask(&router, "m").await, ("b/y".into(), 2));
}
