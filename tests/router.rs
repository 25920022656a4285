//! What the router offers beside the failures of `scenarios.rs`, through its public layers.

#![cfg(feature = "mock")]

#[path = "support/routes.rs"]
mod routes;

use std::{
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use routes::{attempts, builder, chat, code, pair, served};
use tokio::time::Instant;
use tower::{Service as _, ServiceExt as _};
use tower_completions::{
    Attempts, Principal, Target,
    mock::Script,
    observe::{Breaker, Event, Watch},
    parse::{Chat, ChatBody},
    router::{Adaptive, Balance, Candidate, Hedge, Model, Next, Policy, Probe, Sticky},
};

#[tokio::test]
async fn a_future_that_is_polled_after_its_answer_panics_and_asks_nobody() {
    let (a, _, builder) = builder(pair());
    let mut router = builder.build().expect("sound");
    let unknown = r#"{"model":"other","messages":[{"role":"user","content":"one"}]}"#;
    let unknown = Chat::parse(unknown.into()).expect("readable");
    for (request, status) in [(chat(""), 200), (Request::new(ChatBody::new(unknown)), 404)] {
        let mut call = router.call(request);
        let response = (&mut call).await.expect("infallible");
        assert_eq!(response.status(), status);
        let again = catch_unwind(AssertUnwindSafe(|| call.now_or_never()));
        let why = again.expect_err("a panic");
        let why = why.downcast_ref::<String>().expect("a message");
        assert!(why.contains("polled after completion"), "{why}");
    }
    assert_eq!(a.log().requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_gets_a_rival_and_the_loser_is_dropped() {
    for stream in ["", r#","stream":true"#] {
        let (a, b, builder) = builder(pair());
        let router = builder
            .hedge(Hedge::after(Duration::from_secs(2)))
            .build()
            .expect("sound");
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
    let router = builder.hedge(Hedge::late()).build().expect("sound");
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
    let router = builder.build().expect("sound");
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
    let router = builder.build().expect("sound");
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
        .build()
        .expect("sound");
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
        .build()
        .expect("sound");
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
    // Rounds of answers, with all places in use at first, make it one more by and by.
    for response in open {
        response.into_body().collect().await.expect("whole");
    }
    assert!(most() >= Some(8), "{:?}", most());
    for _ in 0..2 {
        let mut open = Vec::new();
        for _ in 0..8 {
            open.push(router.clone().oneshot(chat("")).await.expect("infallible"));
        }
        assert!(open.iter().all(|one| served(one) == "a/x"));
        for response in open {
            response.into_body().collect().await.expect("whole");
        }
    }
    assert_eq!(most(), Some(9));
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
        .expect("sound")
        .oneshot(chat(wishes))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
    let (a, b2, obeying) = builder(models());
    let router = obeying.obey_client_wishes().build().expect("sound");
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
    let router = builder.build().expect("sound");
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
        .expect("sound")
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
        let router = builder.build().expect("sound");
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
    let router = builder.policy(policy).build().expect("sound");
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
