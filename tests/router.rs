//! What the router offers beside the failures of `scenarios.rs`, through its public layers.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_completions::{
    Attempts, Cached, Dialect, Error, Principal, Served, Target,
    auth::Keys,
    body::Full,
    cache::CacheLayer,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    error::TimeOut,
    mock::{Fault, Script, Upstream},
    observe::{Breaker, Event, Watch},
    parse::{Chat, ChatBody},
    provider::{Provider, openai::OpenAi},
    router::{
        Adaptive, Balance, Builder, Candidate, Commit, CommitLayer, Hedge, Live, Model, Next,
        Policy, Probe, Router, Sticky, Table,
    },
    stack::Gateway,
};

type Providers = Commit<Provider<Upstream, OpenAi>>;

fn provider(name: &'static str, upstream: &Upstream) -> Providers {
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new(name, upstream.clone(), translate);
    CommitLayer::new().layer(provider.with_keys([format!("sk-{name}")]))
}

/// A builder over the providers `a` and `b`, with two keys each.
fn builder(
    models: impl IntoIterator<Item = Model>,
) -> (Upstream, Upstream, Builder<Providers, Live>) {
    let (a, b) = (Upstream::new(), Upstream::new());
    let table = Table::new(models).expect("sound");
    let builder = Router::builder(Live::new(table))
        .provider("a", provider("a", &a), 2)
        .provider("b", provider("b", &b), 2);
    (a, b, builder)
}

/// One model at `a`, and at `b` as a reserve.
fn pair() -> [Model; 1] {
    let reserve = Candidate::new("b", "y").priority(1);
    [Model::new("m")
        .target(Candidate::new("a", "x"))
        .target(reserve)]
}

fn chat(more: &str) -> Request<ChatBody> {
    let text = if more.starts_with(r#","messages""#) {
        format!(r#"{{"model":"m"{more}}}"#)
    } else {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}]{more}}}"#)
    };
    Request::new(ChatBody::new(Chat::parse(text.into()).expect("readable")))
}

fn attempts<B>(response: &Response<B>) -> u32 {
    let value = response.headers()["x-attempts"].to_str().expect("text");
    value.parse().expect("a number")
}

fn served<B>(response: &Response<B>) -> String {
    let served = response.extensions().get::<Served>();
    served.map_or_else(String::new, |to| format!("{}/{}", to.provider, to.model))
}

fn code<B>(response: &Response<B>) -> String {
    let error = response.extensions().get::<Error>().and_then(Error::code);
    error.unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_gets_a_rival_and_the_loser_is_dropped() {
    for stream in ["", r#","stream":true"#] {
        let (a, b, builder) = builder(pair());
        let router = builder.hedge(Hedge::after(Duration::from_secs(2))).build();
        a.queue(Script::echo().with_delay(Duration::from_secs(9)));
        let start = Instant::now();
        let response = router
            .clone()
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        assert_eq!((served(&response), attempts(&response)), ("b/y".into(), 2));
        assert_eq!(start.elapsed().as_secs(), 2);
        let tried = response.extensions().get::<Attempts>().expect("the loser");
        assert_eq!(
            (&*tried[0].target.provider, tried[0].error.is_none()),
            ("a", true)
        );
        response.into_body().collect().await.expect("whole");
        assert_eq!(a.log().counts().cancelled, 1);
        // The first may still win, and then the rival is dropped.
        a.queue(Script::echo().with_delay(Duration::from_secs(3)));
        b.queue(Script::echo().with_delay(Duration::from_secs(3)));
        let response = router
            .clone()
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        assert_eq!((served(&response), attempts(&response)), ("a/x".into(), 2));
        response.into_body().collect().await.expect("whole");
        assert_eq!(
            (a.log().counts().cancelled, b.log().counts().cancelled),
            (1, 1)
        );
        // A failure of either leaves it to the other.
        a.queue(Script::failed().with_delay(Duration::from_secs(3)));
        b.queue(Script::echo().with_delay(Duration::from_secs(3)));
        let response = router
            .clone()
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        assert_eq!((served(&response), attempts(&response)), ("b/y".into(), 2));
        drop(response);
        a.queue(Script::echo().with_delay(Duration::from_secs(9)));
        b.queue(Script::failed());
        let response = router
            .clone()
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        assert_eq!((served(&response), attempts(&response)), ("a/x".into(), 2));
        drop(response);
        // A caller that leaves while both are asked leaves nothing behind.
        a.queue(Script::silent());
        b.queue(Script::silent());
        let call = router.clone().oneshot(chat(stream));
        assert!(
            tokio::time::timeout(Duration::from_secs(5), call)
                .await
                .is_err()
        );
        assert!(router.health().iter().all(|one| one.in_flight == 0));
        assert_eq!(a.log().counts().open + b.log().counts().open, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_waits_as_long_as_nineteen_of_twenty_answers_take() {
    let (a, b, builder) = builder(pair());
    let router = builder.hedge(Hedge::late()).build();
    for _ in 0..40 {
        a.queue(Script::echo().with_delay(Duration::from_millis(500)));
        router.clone().oneshot(chat("")).await.expect("infallible");
    }
    let rivals = b.log().counts().calls;
    assert!(rivals <= 4, "{rivals} of 40");
    a.queue(Script::silent());
    let start = Instant::now();
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(served(&response), "b/y");
    let waited = start.elapsed().as_millis();
    assert!((400..700).contains(&waited), "{waited} ms");
    // The budget is that of retries: with every answer late, a tenth gets a rival.
    for _ in 0..200 {
        a.queue(Script::echo().with_delay(Duration::from_secs(60)));
        router.clone().oneshot(chat("")).await.expect("infallible");
    }
    let rivals = b.log().counts().calls;
    assert!(rivals <= 1 + 24 + 10 + 60, "{rivals}");
}

#[tokio::test(start_paused = true)]
async fn probes_close_a_breaker_before_a_request_has_to() {
    let (a, _, builder) = builder(pair());
    let router = builder.build();
    for _ in 0..5 {
        a.queue(Script::failed());
        router.clone().oneshot(chat("")).await.expect("infallible");
    }
    let breaker = || router.health()[0].breaker;
    assert_eq!(breaker(), Breaker::Open);
    let (asked, watched) = (a.log().counts().calls, Arc::new(AtomicU32::new(0)));
    a.queue(Script::failed());
    router.probe(Probe::Unwell, |_: &Target| chat("")).await;
    assert_eq!(
        (breaker(), a.log().counts().calls),
        (Breaker::Open, asked + 1)
    );
    router.probe(Probe::Unwell, |_: &Target| chat("")).await;
    assert_eq!(breaker(), Breaker::Closed);
    router.probe(Probe::Unwell, |_: &Target| chat("")).await;
    assert_eq!(a.log().counts().calls, asked + 2, "only who is not well");
    router.probe(Probe::All, |_: &Target| chat("")).await;
    assert_eq!(a.log().counts().calls, asked + 3);
    // A probe that is never answered ends with the attempt's time.
    a.queue(Script::silent());
    let start = Instant::now();
    router.probe(Probe::All, |_: &Target| chat("")).await;
    assert_eq!(start.elapsed().as_secs(), 120);
    // A breaker that moves is told of.
    let count = Arc::clone(&watched);
    let watch = Watch::new(move |event: &Event<'_>| {
        if let Event::Breaker {
            state: Breaker::Open,
            ..
        } = event
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..5 {
        a.queue(Script::failed());
        let mut request = chat("");
        request.extensions_mut().insert(watch.clone());
        drop(router.clone().oneshot(request).await.expect("infallible"));
    }
    assert_eq!(
        (breaker(), watched.load(Ordering::Relaxed)),
        (Breaker::Open, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_recovered_target_comes_back_slowly() {
    let model = Model::new("m")
        .target(Candidate::new("a", "x"))
        .target(Candidate::new("b", "y"));
    let (a, _, builder) = builder([model]);
    let router = builder.build();
    while router.health()[0].breaker == Breaker::Closed {
        a.queue(Script::failed());
        router.clone().oneshot(chat("")).await.expect("infallible");
    }
    while router.health()[0].breaker != Breaker::Closed {
        router.probe(Probe::Unwell, |_: &Target| chat("")).await;
    }
    let share = async || {
        let before = a.log().counts().calls;
        for _ in 0..400 {
            router.clone().oneshot(chat("")).await.expect("infallible");
        }
        a.log().counts().calls - before
    };
    let at_first = share().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    let later = share().await;
    assert!(
        at_first < 80 && (150..250).contains(&later),
        "{at_first} {later}"
    );
}

#[tokio::test(start_paused = true)]
async fn places_on_targets_and_keys_are_kept_until_the_body_ends() {
    let one = NonZeroU32::MIN;
    let [model] = pair();
    let (_, _, builder) = builder([model]);
    let router = builder
        .key_concurrency("a", one)
        .key_concurrency("b", one)
        .build();
    let mut open = Vec::new();
    for want in ["a/x", "a/x", "b/y", "b/y"] {
        let response = router.clone().oneshot(chat("")).await.expect("infallible");
        assert_eq!(served(&response), want);
        open.push(response);
    }
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (503, "no_upstream".into())
    );
    assert_eq!(response.headers()["retry-after"], "1");
    let first = open.remove(0);
    first.into_body().collect().await.expect("whole");
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(served(&response), "a/x");
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_target_gets_fewer_requests_at_once() {
    let (a, _, builder) = builder(pair());
    let least = NonZeroU32::new(2).expect("not 0");
    let most = NonZeroU32::new(16).expect("not 0");
    let router = builder
        .adaptive_concurrency(Adaptive::new().start(most).between(least, most))
        .build();
    let most = || router.health()[0].max_concurrent;
    assert_eq!(most(), Some(16));
    a.queue(Script::overloaded());
    router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(most(), Some(8));
    let open: Vec<_> = {
        let mut open = Vec::new();
        for _ in 0..9 {
            open.push(router.clone().oneshot(chat("")).await.expect("infallible"));
        }
        open
    };
    assert_eq!(open.iter().filter(|one| served(one) == "b/y").count(), 1);
    // A round of answers, with all places in use, makes it one more.
    for response in open {
        response.into_body().collect().await.expect("whole");
    }
    assert!(most() >= Some(8), "{:?}", most());
}

#[tokio::test(start_paused = true)]
async fn the_clients_wishes_are_obeyed_where_that_is_allowed() {
    let models = || {
        let m = Model::new("m")
            .target(Candidate::new("a", "x"))
            .target(Candidate::new("b", "y"));
        [
            m,
            Model::new("n").target(Candidate::new("b", "z")),
            Model::new("p/*").target(Candidate::new("b", "*")),
        ]
    };
    let wishes = r#","models":["p/q","n"],"provider":{"order":["b"],"ignore":["none"]}"#;
    let (_, b, plain) = builder(models());
    let response = plain
        .build()
        .oneshot(chat(wishes))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
    let (a, b2, obeying) = builder(models());
    let router = obeying.client_wishes(true).build();
    for _ in 0..9 {
        let response = router
            .clone()
            .oneshot(chat(wishes))
            .await
            .expect("infallible");
        assert_eq!(served(&response), "b/y");
    }
    assert_eq!(
        b2.log().last().and_then(|seen| seen.json("/provider")),
        None
    );
    let _ = b;
    b2.queue(Script::failed());
    a.queue(Script::of_model("gone").expect("built in"));
    let response = router
        .clone()
        .oneshot(chat(wishes))
        .await
        .expect("infallible");
    assert_eq!((served(&response), attempts(&response)), ("b/q".into(), 3));
    let only = r#","provider":{"only":["a"]}"#;
    a.queue(Script::failed());
    let response = router
        .clone()
        .oneshot(chat(only))
        .await
        .expect("infallible");
    assert_eq!(
        (served(&response), attempts(&response)),
        ("a/x".into(), 2),
        "and after a pause again"
    );
    let nobody = r#","provider":{"only":["c"]}"#;
    let response = router
        .clone()
        .oneshot(chat(nobody))
        .await
        .expect("infallible");
    assert_eq!(code(&response), "no_upstream");
    let unknown = r#","models":["zz"]"#;
    let response = router
        .clone()
        .oneshot(chat(unknown))
        .await
        .expect("infallible");
    assert_eq!(code(&response), "model_not_found");
    let mut forbidden = chat(r#","models":["n"]"#);
    forbidden
        .extensions_mut()
        .insert(Principal::new("k").with_models(["m"]));
    let response = router.clone().oneshot(forbidden).await.expect("infallible");
    assert_eq!(code(&response), "model_not_allowed");
}

#[tokio::test(start_paused = true)]
async fn a_target_is_chosen_by_what_it_can_do() {
    let model = Model::new("m")
        .target(
            Candidate::new("a", "small")
                .without_tools()
                .without_images()
                .without_audio()
                .context(500),
        )
        .target(Candidate::new("b", "large").priority(1));
    let (_, _, builder) = builder([model]);
    let router = builder.build();
    let tool = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
    let part = |part: &str| format!(r#","messages":[{{"role":"user","content":[{part}]}}]"#);
    let image = &part(r#"{"type":"image_url","image_url":{"url":"https://x/y","detail":"low"}}"#);
    let sound = &part(r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#);
    for (more, want) in [
        ("", "a/small"),
        (tool, "b/large"),
        (image, "b/large"),
        (sound, "b/large"),
        (r#","max_tokens":400"#, "a/small"),
        (r#","max_tokens":600"#, "b/large"),
    ] {
        let response = router
            .clone()
            .oneshot(chat(more))
            .await
            .expect("infallible");
        assert_eq!(served(&response), want, "{more}");
    }
    // Where nobody can, the upstream may say so itself.
    let (_, _, builder) =
        self::builder([Model::new("m").target(Candidate::new("a", "x").without_tools())]);
    let response = builder
        .build()
        .oneshot(chat(tool))
        .await
        .expect("infallible");
    assert_eq!(served(&response), "a/x");
}

#[tokio::test(start_paused = true)]
async fn requests_that_belong_together_stay_together() {
    for sticky in [Sticky::Key, Sticky::Conversation, Sticky::Prompt] {
        let mut model = Model::new("m").balance(Balance::Sticky(sticky));
        for nth in 0..8 {
            model = model.target(Candidate::new("a", format!("x{nth}")));
        }
        let (_, _, builder) = builder([model]);
        let router = builder.build();
        let mut found = std::collections::BTreeSet::new();
        for caller in ["k1", "k2", "k3", "k4", "k5", "k6"] {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..5 {
                let mut request = chat("");
                request.extensions_mut().insert(Principal::new(caller));
                let response = router.clone().oneshot(request).await.expect("infallible");
                seen.insert(served(&response));
            }
            assert_eq!(seen.len(), 1, "{sticky:?} {caller}");
            found.extend(seen);
        }
        let callers_differ = sticky != Sticky::Prompt;
        assert_eq!(found.len() > 1, callers_differ, "{sticky:?} {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_may_insist_on_the_same_target() {
    let (a, b, builder) = builder(pair());
    let policy = Policy::default().on(tower_completions::error::Class::Transient, Next::SameTarget);
    let router = builder.policy(policy).build();
    a.queue(Script::failed());
    let start = Instant::now();
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!((served(&response), attempts(&response)), ("a/x".into(), 2));
    assert!(
        start.elapsed() >= Duration::from_millis(50),
        "after a pause"
    );
    assert_eq!(b.log().counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_end_with_the_total_time() {
    let (a, b, builder) = builder(pair());
    let router = builder
        .attempt_timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(30))
        .build();
    for _ in 0..3 {
        a.queue(Script::silent());
        b.queue(Script::silent());
    }
    let start = Instant::now();
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (504, "upstream_timeout".into())
    );
    assert_eq!((start.elapsed().as_secs(), attempts(&response)), (30, 2));
    let error = response.extensions().get::<Error>().expect("refused");
    assert_eq!(error.time_out(), Some(TimeOut::Total));
}

#[tokio::test(start_paused = true)]
async fn only_allowed_headers_travel_either_way_and_bodies_are_not_copied() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |request: Request<ChatBody>| {
        let names: Vec<_> = request
            .headers()
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        let bytes = request.body().chat().bytes();
        log.lock()
            .expect("sound")
            .push((names, bytes.as_ptr() as usize));
        let fails = log.lock().expect("sound").len() == 1;
        async move {
            let response = Response::builder()
                .status(if fails { 500 } else { 200 })
                .header("content-type", "application/json")
                .header("set-cookie", "a=b")
                .header("openai-organization", "ours")
                .header("x-own", "1");
            Ok::<_, std::convert::Infallible>(response.body(Full::new("{}")).expect("valid"))
        }
    });
    let router = Router::builder(Table::new(pair()).expect("sound"))
        .provider("a", service.clone(), 0)
        .provider("b", service, 0)
        .forward(http::HeaderName::from_static("x-tag"))
        .backward(http::HeaderName::from_static("x-own"))
        .build();
    let mut request = chat("");
    let original = request.body().chat().bytes().as_ptr() as usize;
    for name in [
        "authorization",
        "cookie",
        "x-api-key",
        "connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "accept-encoding",
        "host",
        "x-tag",
        "traceparent",
        "x-other",
    ] {
        let name = http::HeaderName::from_static(name);
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static("secret"));
    }
    let response = router.oneshot(request).await.expect("infallible");
    let mut back: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    back.sort_unstable();
    assert_eq!(back, ["content-type", "x-attempts", "x-own"]);
    let seen = seen.lock().expect("sound");
    assert_eq!(seen.len(), 2);
    for (names, bytes) in &*seen {
        let mut names = names.clone();
        names.sort_unstable();
        assert_eq!(names, ["traceparent", "x-tag"]);
        assert_eq!(*bytes, original, "the very bytes that came, each time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let (a, b, builder) = builder(pair());
    let to = HeaderValue::from_static("http://elsewhere/");
    for upstream in [&a, &b] {
        let script = Script::bytes(http::StatusCode::FOUND, "moved");
        upstream.queue(script.with_header(http::header::LOCATION, to.clone()));
        upstream.queue(Script::bytes(http::StatusCode::FOUND, "moved"));
    }
    let response = builder.build().oneshot(chat("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (502, "bad_upstream_response".into())
    );
    assert!(response.headers().get("location").is_none());
}

/// The same over sockets, with the client that ships: who is pointed to gets no call.
#[cfg(feature = "client")]
#[tokio::test]
async fn the_client_does_not_follow_a_redirect() {
    use tower_completions::{mock::Server, provider::client::Client};

    let elsewhere = Server::start(Upstream::new()).await.expect("a port");
    let from = Server::start(Upstream::new()).await.expect("a port");
    let location = format!("{}/chat/completions", elsewhere.base_url());
    let location = HeaderValue::from_str(&location).expect("a URL");
    for status in [301, 302, 303, 307, 308] {
        let status = http::StatusCode::from_u16(status).expect("valid");
        let script = Script::bytes(status, "moved");
        let script = script.with_header(http::header::LOCATION, location.clone());
        from.upstream().queue(script);
        let translate = OpenAi::new(&from.base_url()).expect("a URL");
        let provider = Provider::new("a", Client::default(), translate).with_keys(["sk-a"]);
        let table = Table::new([Model::new("m").target(Candidate::new("a", "x"))]);
        let response = Router::builder(table.expect("sound"))
            .provider("a", CommitLayer::new().layer(provider), 1)
            .attempts(NonZeroU32::MIN)
            .build()
            .oneshot(chat(""))
            .await
            .expect("infallible");
        assert_eq!(
            (response.status().as_u16(), code(&response)),
            (502, "bad_upstream_response".into()),
            "{status}"
        );
        assert!(response.headers().get("location").is_none());
        let text = response.into_body().collect().await.expect("whole");
        let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
        assert!(
            !text.contains(&elsewhere.addr().port().to_string()),
            "{text}"
        );
    }
    assert_eq!(from.upstream().log().counts().calls, 5);
    assert_eq!(elsewhere.upstream().log().counts().calls, 0);
    // And it would have answered.
    let translate = OpenAi::new(&elsewhere.base_url()).expect("a URL");
    let provider = Provider::new("a", Client::default(), translate).with_keys(["sk-a"]);
    let mut request = chat("");
    request.extensions_mut().insert(Target::new("a", "x"));
    let response = provider.oneshot(request).await.expect("answered");
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn each_time_that_runs_out_is_an_error_of_its_own() {
    // Connecting: said by the client below the provider, and kept on the way.
    let service = service_fn(async |_: Request<Full>| {
        let error = Error::timed_out(TimeOut::Connect);
        Err::<Response<Full>, tower::BoxError>(error.into())
    });
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let connecting = Provider::new("a", service, translate);
    let table = || Table::new([Model::new("m").target(Candidate::new("a", "x"))]).expect("sound");
    let of = |response: &Response<_>| {
        let error = response.extensions().get::<Error>().expect("refused");
        assert_eq!(error.code(), Some("upstream_timeout"));
        (error.time_out().expect("ours"), error.message().to_owned())
    };
    let response = Router::builder(table())
        .provider("a", connecting, 0)
        .build()
        .oneshot(chat(""))
        .await
        .expect("infallible");
    let mut seen = vec![of(&response.map(drop))];
    // An attempt, the first event and all of it. The time between two events is the re-framer's.
    for (script, stream) in [
        (Script::silent(), ""),
        (
            Script::echo().with_fault(0, Fault::Stall),
            r#","stream":true"#,
        ),
    ] {
        let upstream = Upstream::new().with_default(script);
        let response = Router::builder(table())
            .provider("a", provider("a", &upstream), 1)
            .attempts(NonZeroU32::MIN)
            .build()
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        seen.push(of(&response.map(drop)));
    }
    let upstream = Upstream::new().with_default(Script::silent());
    let response = Router::builder(table())
        .provider("a", provider("a", &upstream), 1)
        .attempt_timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(30))
        .build()
        .oneshot(chat(""))
        .await
        .expect("infallible");
    seen.push(of(&response.map(drop)));
    let (which, messages): (Vec<_>, std::collections::BTreeSet<_>) = seen.into_iter().unzip();
    let want = [
        TimeOut::Connect,
        TimeOut::Attempt,
        TimeOut::FirstEvent,
        TimeOut::Total,
    ];
    assert_eq!((which, messages.len()), (want.to_vec(), 4));
}

#[tokio::test(start_paused = true)]
async fn a_target_is_asked_no_more_often_than_it_may_from_many_threads() {
    // Real threads over one router: a place that two want goes to one of them.
    let limit = NonZeroU32::new(3).expect("not 0");
    let model = Model::new("m").target(Candidate::new("a", "x").max_concurrent(limit));
    let inside = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let (now, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let service = service_fn(move |_: Request<ChatBody>| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let now = Arc::clone(&now);
        async move {
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(Response::new(Full::new("{}")))
        }
    });
    let router = Router::builder(Table::new([model]).expect("sound"))
        .provider("a", service, 0)
        .build();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let router = router.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                runtime.expect("a runtime").block_on(async {
                    for _ in 0..500 {
                        let response = router.clone().oneshot(chat("")).await.expect("infallible");
                        assert!([200, 503].contains(&response.status().as_u16()));
                    }
                });
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    assert_eq!(router.health()[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn choosing_among_a_hundred_allocates_nothing() {
    // What a call allocates does not depend on how many targets there are or how they are chosen.
    let service = service_fn(async |_: Request<ChatBody>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new("{}")))
    });
    let allocations = |targets: usize, balance: Balance| {
        let mut model = Model::new("m").balance(balance);
        for nth in 0..targets {
            model = model.target(Candidate::new("a", format!("x{nth}")).price(nth as u64, 1));
        }
        let router = Router::builder(Table::new([model]).expect("sound"));
        let mut router = router.provider("a", service, 3).build();
        let mut ask = || {
            let request = chat("");
            let mut info = None;
            let counted = allocation_counter::measure(|| {
                info = Some(tokio_test::task::spawn(router.call(request)));
                assert!(info.as_mut().expect("just made").poll().is_ready());
            });
            counted.count_total
        };
        ask();
        ask()
    };
    let one = allocations(1, Balance::Weighted);
    for balance in [
        Balance::Weighted,
        Balance::LeastLoad,
        Balance::Cheapest,
        Balance::Fastest,
        Balance::Sticky(Sticky::Conversation),
    ] {
        assert_eq!(allocations(100, balance), one, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_costs_nothing_wherever_the_cache_is() {
    let (a, _, builder) = builder(pair());
    let router = builder.build();
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "5.00".parse().expect("an amount"));
    let prices = || Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let cache = || CacheLayer::new(Duration::from_secs(60));
    let ask = |stream: bool| {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream}}}"#
        );
        let request = Request::post("/v1/chat/completions");
        let request = request.header("authorization", "Bearer sk-demo");
        let request = request.header("content-type", "application/json");
        request
            .extension(Principal::new("demo"))
            .body(Full::new(body))
            .expect("a request")
    };
    // Inside: what is given is made canonical, and the layer that charges sees the mark.
    let inside = Gateway::builder(keys)
        .cost(prices(), ledger.clone())
        .build(cache().layer(router.clone()));
    for stream in [false, true] {
        let mut texts = Vec::new();
        for (how, spent) in [("miss", true), ("hit", false), ("hit", false)] {
            let before = ledger.statement("demo").spent;
            let response = inside
                .clone()
                .oneshot(ask(stream))
                .await
                .expect("infallible");
            assert_eq!(response.headers()["x-cache"], how);
            assert_eq!(response.extensions().get::<Cached>().is_some(), !spent);
            assert_eq!(
                response.headers().contains_key("x-completion-cost"),
                spent && !stream
            );
            let text = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            texts.push(String::from_utf8_lossy(&text).into_owned());
            let after = books::settled(&ledger, "demo");
            assert_eq!(after.spent > before, spent);
        }
        assert_eq!(texts[0], texts[1]);
        assert!(texts[1].contains("three"));
    }
    assert_eq!(a.log().counts().calls, 2);
    // Outside: it is not even asked for.
    let cost = CostLayer::new(prices(), ledger.clone()).dialect(&Dialect::openai());
    let outside = cache().layer(cost.layer(router));
    for how in ["miss", "hit"] {
        let before = ledger.statement("demo").spent;
        let response = outside
            .clone()
            .oneshot(ask(false))
            .await
            .expect("infallible");
        assert_eq!(response.headers()["x-cache"], how);
        assert_eq!(
            response.headers().contains_key("x-completion-cost"),
            how == "miss"
        );
        drop(response.into_body().collect().await);
        let after = books::settled(&ledger, "demo");
        assert_eq!(after.spent > before, how == "miss");
    }
}
